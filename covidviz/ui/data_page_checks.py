"""A report of the data doctor as its component draws it: one line per check, and what lies behind an open one.

Plain data in, plain data out; no streamlit. All texts are shown as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from covidviz.data.doctor import Check, Report
from covidviz.data.doctor.report import LISTED
from covidviz.data.manifest import Manifest
from covidviz.evaluation.metric_names import metric_name
from covidviz.ui.text import number, percent, shorten

__all__ = ["EACH", "MORE", "WORDS", "paths_of", "view"]

WORDS = {"ok": ("✓", "fine"), "note": ("i", "note"), "warn": ("!", "warning"), "bad": ("✕", "problem")}
EACH = 8  # groups of images shown at once
MORE = 24  # how many more "Show more" brings
TOGETHER = 6  # images shown of those that belong together
_SHOWN = ("rows", "auc", "low", "high", "model", "chance", "splits", "groups", "error")
_FACTS = 40
_CONSTANT = ("accuracy", "exact_match", "macro_f1")  # what is told of the constant answer


def paths_of(report: Report, shown: Mapping[str, int]) -> list[str]:
    """The images that the lines show, by path: what the browser will ask for."""
    return [path for check in report.checks for group in _groups(check, shown) for path in group[:TOGETHER]]


def view(report: Report, manifest: Manifest, shown: Mapping[str, int]) -> list[dict[str, Any]]:
    """The lines, the worst first.

    Args:
        manifest: of the dataset, for what is known about each image.
        shown: groups of images to show by check, where they are not `EACH`.
    """
    about = _about(manifest, set(paths_of(report, shown)))
    return [_line(check, shown, about) for check in report.worst_first()]


def _line(check: Check, shown: Mapping[str, int], about: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    shape, word = WORDS[check.severity]
    error = check.details.get("error")
    if error:
        shape, word = "?", "not done"
    groups = _groups(check, shown)
    return {
        "id": check.id, "title": check.title, "severity": "failed" if error else check.severity, "shape": shape,
        "word": word, "summary": check.summary, "meaning": check.meaning, "remedy": check.remedy,
        "failed": str(error) if error else "",
        "bars": _bars(check.details), "tables": _tables(check.details),
        "groups": [
            {"images": [about.get(path, _unknown(path)) for path in group[:TOGETHER]],
             "more": _others(group, row), "note": _note(row)}
            for group, row in zip(groups, _rows(check, len(groups)), strict=True)
        ],
        "listed": len(check.samples), "cut": check.n if len(check.samples) >= LISTED else 0,
        "facts": _facts(check.details),
    }  # fmt: skip


# --- images ---


def _groups(check: Check, shown: Mapping[str, int]) -> list[list[str]]:
    most = shown.get(check.id, EACH)
    return [[one] if isinstance(one, str) else list(one) for one in check.samples[:most]]


def _about(manifest: Manifest, paths: Collection[str]) -> dict[str, dict[str, Any]]:
    frame = manifest.samples[manifest.samples["path"].isin(paths)]
    labels = frame[[f"label_{name}" for name in manifest.classes]].to_numpy()
    extra = [name for name in ("patient_id", "source") if name in frame]
    found = {}
    for row, given in zip(frame.to_dict("records"), labels, strict=True):
        names = [name for name, one in zip(manifest.classes, given, strict=True) if one]
        known = [str(row[name]) for name in extra if isinstance(row[name], str) and row[name]]
        found[str(row["path"])] = {
            "id": str(row["sample_id"]), "path": str(row["path"]), "split": str(row["split"] or ""),
            "label": " + ".join(names) or "no label", "about": " · ".join(known),
        }  # fmt: skip
    return found


def _unknown(path: str) -> dict[str, Any]:
    """An image that is no sample (any more), such as one that can't be read."""
    return {"id": "", "path": path, "split": "", "label": "", "about": ""}


def _rows(check: Check, n: int) -> list[Mapping[str, Any]]:
    """What is said about each of the first `n` samples."""
    rows = check.details.get("rows")
    given = [row if isinstance(row, Mapping) else {} for row in rows[:n]] if isinstance(rows, list) else []
    return [*given, *({} for _ in range(n - len(given)))]


def _note(row: Mapping[str, Any]) -> str:
    """What is said about one image, pair or patient, in words."""
    parts = []
    if "suggested" in row:
        how_sure = f" ({percent(row['probability'])})" if isinstance(row.get("probability"), float) else ""
        parts.append(f"labelled {_text(row.get('given'))}, looks like {_text(row['suggested'])}{how_sure}")
    parts += [_text(row[key]) for key in ("reason", "what") if row.get(key)]
    if isinstance(row.get("splits"), Mapping):
        parts.append(", ".join(f"{_text(n)} in {split}" for split, n in row["splits"].items()))
    # Beside the picture anyway.
    said = {"given", "suggested", "probability", "reason", "what", "patient", "split", "splits", "label", "labels"}
    parts += [f"{key.replace('_', ' ')} {_text(value)}" for key, value in row.items() if key not in said]
    return shorten(", ".join(part for part in parts if part), 160)


def _others(group: Sequence[str], row: Mapping[str, Any]) -> int:
    """How many of those that belong together are not shown: the report names some images of a patient only."""
    counts = row.get("splits")
    named = sum(n for n in counts.values() if isinstance(n, int)) if isinstance(counts, Mapping) else 0
    return max(len(group), named) - len(group[:TOGETHER])


# --- numbers ---


def _bars(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """AUCs as bars from chance: `name`, `value`, `low`, `high` (0..1 or None), `says` for everyone."""
    auc = details.get("auc")
    if not isinstance(auc, int | float):
        return []
    bars = [_bar("this alone", auc, details.get("low"), details.get("high"), "first")]
    model = details.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("auc"), int | float):
        bars.append(_bar("the trained model", model["auc"], model.get("low"), model.get("high"), "model"))
    per_class = details.get("per_class")
    if isinstance(per_class, Mapping):
        for name, given in per_class.items():
            value, low, high = given if isinstance(given, list | tuple) and len(given) == 3 else (given, None, None)
            if isinstance(value, int | float):
                bars.append(_bar(str(name), value, low, high, "class"))
    return bars


def _bar(name: str, value: float, low: Any, high: Any, kind: str) -> dict[str, Any]:
    ends = isinstance(low, int | float) and isinstance(high, int | float)
    says = number(value, 2) + (f" ({number(low, 2)} to {number(high, 2)})" if ends else "")
    return {"name": name, "value": value, "low": low if ends else None, "high": high if ends else None, "kind": kind,
            "says": says}  # fmt: skip


def _tables(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`title`, `columns`, `rows` of text, from what the checks `support` and `subgroups` count."""
    tables = []
    if isinstance(splits := details.get("splits"), Mapping) and all(isinstance(v, Mapping) for v in splits.values()):
        tables.append(_counted("split", splits))
    if isinstance(groups := details.get("groups"), Mapping):
        tables += [_counted(str(name), values) for name, values in groups.items() if isinstance(values, Mapping)]
    tables += [_crossed(key, value) for key, value in details.items() if key not in _SHOWN and _is_crossed(value)]
    return tables


def _is_crossed(value: Any) -> bool:
    """Whether it counts two things against each other, such as sources and classes."""
    return isinstance(value, Mapping) and bool(value) and all(
        isinstance(row, Mapping) and row and all(isinstance(n, int) for n in row.values()) for row in value.values()
    )  # fmt: skip


def _crossed(name: str, value: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    columns = list(dict.fromkeys(column for row in value.values() for column in row))
    body = [[str(what) or "unknown", *(_text(row.get(column, 0)) for column in columns)] for what, row in value.items()]
    return {"title": name.replace("_", " ").capitalize(), "columns": ["", *columns], "rows": body}


def _counted(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    rows = {str(name): row for name, row in values.items() if isinstance(row, Mapping)}
    classes = list(dict.fromkeys(name for row in rows.values() for name in (row.get("per_class") or {})))
    patients = any(row.get("patients") is not None for row in rows.values())
    constant = [name for name in _CONSTANT if any(name in (row.get("constant") or {}) for row in rows.values())]
    judged = any(isinstance(row.get("accuracy"), int | float) for row in rows.values())
    columns = [what, "images", *(["patients"] if patients else []), *classes,
               *(f"always the commonest: {metric_name(name)}" for name in constant),
               *(["accuracy of the run"] if judged else [])]  # fmt: skip
    body = []
    for name, row in rows.items():
        per_class, floor = row.get("per_class") or {}, row.get("constant") or {}
        cells = [name or "unknown", _text(row.get("n"))]
        cells += [_text(row.get("patients"))] if patients else []
        cells += [_text(per_class.get(one, 0)) for one in classes]
        cells += [_text(floor.get(one)) for one in constant]
        if judged:
            cells.append(_bar("", row["accuracy"], row.get("low"), row.get("high"), "")["says"]
                         if isinstance(row.get("accuracy"), int | float) else "–")  # fmt: skip
        body.append(cells)
    return {"title": f"By {what}", "columns": columns, "rows": body}


def _facts(details: Mapping[str, Any]) -> list[list[str]]:
    """The numbers behind a summary, as pairs of text."""
    flat: list[list[str]] = []
    for key, value in details.items():
        told = key in _SHOWN or _is_crossed(value) or (key == "per_class" and details.get("auc") is not None)
        if not told:
            _flatten(key.replace("_", " "), value, flat)
    return flat[:_FACTS]


def _flatten(name: str, value: Any, into: list[list[str]]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{name}, {key}".replace("_", " "), inner, into)
    elif not _empty(value):
        into.append([name, shorten(_text(value), 300)])


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | Sequence) and not len(value))


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, Sequence) else str(value)
