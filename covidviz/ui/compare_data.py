"""What the Compare page compares: the runs of its link, their numbers, settings and data, as plain tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import bidirectional

import pandas as pd
import streamlit as st

from covidviz.catalog import LOSSES
from covidviz.config import TrainConfig
from covidviz.evaluation.metric_names import OVERALL, PER_CLASS, metric_name
from covidviz.evaluation.shares import class_rows
from covidviz.store import layout
from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.store.summary import better, is_number
from covidviz.ui import queries, wording
from covidviz.ui.fields import LABELS
from covidviz.ui.results import SPLIT_TITLES, Results, measured, results, spread
from covidviz.ui.text import number, shorten

__all__ = [
    "MARK", "MAX_RUNS", "Compared", "Judged", "compared", "curve_frames", "curve_metrics", "data_groups", "isolated",
    "judged", "largest_changes", "metrics_table", "monitored", "named_in", "settings_table", "splits",
]  # fmt: skip

MAX_RUNS = 50
MARK = "★"

Version = tuple[int, int]


@dataclass(frozen=True)
class Compared:
    """One of the runs; `number` counts them from 1 in the order of the link, and picks the colour."""

    number: int
    summary: RunSummary
    run: Run

    @property
    def id(self) -> str:
        return self.run.id

    def now(self) -> RunSummary:
        """The summary as it is by now: a run that lives has more epochs than when the page began."""
        rows = queries.index().snapshot(max_age=1).runs
        return next((row for row in rows if row.run_id == self.id), self.summary)

    def title(self, length: int = 40) -> str:
        """`2 · lower rate`: the number tells runs of one name apart, and needs no colour."""
        return f"{self.number} · {isolated(shorten(self.summary.name, length))}"


def isolated(text: str) -> str:
    """`text` so that words of a right-to-left script leave what stands beside them in its place."""
    return f"\u2068{text}\u2069" if any(bidirectional(letter) in ("R", "AL") for letter in text) else text


def named_in(link: str | None, known: Mapping[str, RunSummary]) -> tuple[list[str], list[str]]:
    """The ids of a link (joined by commas) as (runs that exist, what is no run), each once and in order."""
    asked = list(dict.fromkeys(part.strip() for part in (link or "").split(",") if part.strip()))
    return [text for text in asked if text in known], [text for text in asked if text not in known]


def compared(ids: Sequence[str], known: Mapping[str, RunSummary]) -> list[Compared]:
    """The runs of `ids` that are still there."""
    runs = [(known[run_id], run) for run_id in ids if run_id in known and (run := queries.run(run_id)) is not None]
    return [Compared(number, summary, run) for number, (summary, run) in enumerate(runs, start=1)]


# --- curves ---


def curve_frames(runs: Sequence[Compared], *, train: bool) -> dict[str, pd.DataFrame]:
    """The metrics over the epochs, by run id: `epoch`, `split`, a column per metric.

    Args:
        train: with those of the train split, for which the file of each run is read. Those of the validation split are
            known already: of fifty long runs that is two seconds.
    """
    if train:
        return {one.id: queries.metrics(one.run) for one in runs}
    frames = {}
    for one in runs:
        curves = one.now().curves
        frames[one.id] = pd.DataFrame({"epoch": curves.epochs, "split": "val", **curves.values})
    return frames


def curve_metrics(runs: Sequence[Compared], frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """The metrics that any of the runs has curves of, without the loss, in the order to offer them.

    Args:
        frames: by run id: `curve_frames`.
    """
    columns: dict[str, None] = {}
    classes: dict[str, None] = {}
    for one in runs:
        columns |= dict.fromkeys(frames[one.id].columns)
        config = queries.config(one.run)
        classes |= dict.fromkeys(config.classes if config else ())
    per_class = [f"{kind}_{name}" for kind in PER_CLASS for name in classes]
    return [key for key in ("macro_f1", *(k for k in OVERALL if k not in ("loss", "macro_f1")), *per_class)
            if key in columns]  # fmt: skip


def monitored(runs: Sequence[Compared], offered: Sequence[str]) -> str | None:
    """What to show first: the metric that most runs choose their best epoch by."""
    wanted = [one.summary.monitor.removeprefix("val_") for one in runs]
    votes = [key for key in wanted if key in offered]
    return max(votes, key=votes.count) if votes else (offered[0] if offered else None)


# --- metrics ---


def metrics_table(runs: Sequence[Compared], *, mark: bool = True) -> list[dict[str, Any]]:
    """Numbers at the best epoch: one row per metric with `metric` and, by run id, the value with its interval as text.

    The rows of a split follow one that says how many images were judged, where that is known.

    Args:
        mark: put `MARK` behind the highest value of a row (of a loss: the lowest); equal values get none.
    """
    table: list[dict[str, Any]] = []
    rows = {one.id: one.now() for one in runs}
    table.append({"metric": "Best epoch", **{run_id: str(row.best_epoch or "–") for run_id, row in rows.items()}})
    said = {one.id: judged(one.run) for one in runs}
    tested = {run_id: found.test if found else {} for run_id, found in said.items()}
    for split, values in (
        ("val", {run_id: row.metrics for run_id, row in rows.items()}),
        ("test", tested),
    ):
        if any(values.values()):
            images = {run_id: f"{found.splits[split]:,}" if found and split in found.splits else "–"
                      for run_id, found in said.items()}  # fmt: skip
            table.append({"metric": f"{SPLIT_TITLES[split].upper()}, images", **images})
        for key in _in_order(values.values()):
            row = {run_id: _number(found.get(key)) for run_id, found in values.items()}
            winners = _winners(row, key) if mark else set()
            texts = {
                run_id: number(value) + _interval(said[run_id], split, key, value) for run_id, value in row.items()
            }
            cells = {run_id: f"{MARK} {text}" if run_id in winners else text for run_id, text in texts.items()}
            table.append({"metric": metric_name(key), **cells})
    return table


def _interval(found: Judged | None, split: str, key: str, value: float | None) -> str:
    """` (.67–.77)`, or nothing where it is not known, or belongs to another value than this."""
    low, high = (found.ends.get(split, {}) if found is not None else {}).get(key, (1.0, 0.0))
    if value is None or not low <= value <= high:
        return ""
    ends = (f"{end:.2f}".removeprefix("0") if end < 1 else "1" for end in (low, high))
    return f" ({'–'.join(ends)})"


def _in_order(rows: Any) -> list[str]:
    """Overall metrics first, then the recall, precision and F1 of each class."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if is_number(value))
    kinds = [[key for key in keys if key.startswith(f"{kind}_")] for kind in PER_CLASS]
    return [*(key for key in OVERALL if key in keys), *(key for kind in kinds for key in kind)]


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _winners(row: Mapping[str, float | None], key: str) -> set[str]:
    there = {run_id: value for run_id, value in row.items() if value is not None}
    if len({number(value) for value in there.values()}) < 2:
        return set()
    top = None
    for value in there.values():
        if top is None or better(value, top, key):
            top = value
    return {run_id for run_id, value in there.items() if number(value) == number(top)}


# --- settings ---


def settings_table(runs: Sequence[Compared], *, equal: bool = False) -> list[dict[str, str]]:
    """One row per setting with `setting` and, by run id, its value; only rows that differ unless `equal`."""
    configs = {one.id: queries.config(one.run) for one in runs}
    rows = []
    for name in TrainConfig.model_fields:
        if name in ("name", "tags"):
            continue
        values = {run_id: _setting(config, name) for run_id, config in configs.items()}
        known = {value for value in values.values() if value is not None}
        if not known or (known == {_UNUSED}) or (len(known) < 2 and not equal):
            continue
        rows.append({"setting": LABELS.get(name, name), **{k: "?" if v is None else v for k, v in values.items()}})
    return rows


_UNUSED = "–"


def _setting(config: TrainConfig | None, name: str) -> str | None:
    if config is None:
        return None
    focal = config.loss is not None and LOSSES[config.loss].focal
    if name.startswith("focal_") and not focal:
        return _UNUSED
    return wording.setting(name, getattr(config, name), config.task)


# --- data ---


def data_groups(runs: Sequence[Compared]) -> list[list[Compared]]:
    """The runs by the images, splits and labels they saw, where that is known; one group means all saw the same."""
    groups: dict[str, list[Compared]] = {}
    for one in runs:
        environment = queries.environment(one.run)
        data = environment.get("data")
        seen = data.get("fingerprint") if isinstance(data, dict) else environment.get("data_fingerprint")
        if isinstance(seen, str) and seen:
            groups.setdefault(seen, []).append(one)
    return list(groups.values())


# --- predictions ---


@dataclass(frozen=True)
class Judged:
    """What the predictions of a run come to: images and the `confusion` document per split, metrics of the test split.

    `ends`: 95 % intervals by split and metric, Wilson's of recall and precision, bootstrap of the others.

    Small, so that fifty runs can be kept; the predictions themselves are not.
    """

    classes: tuple[str, ...]
    task: str
    splits: dict[str, int]
    confusion: dict[str, dict[str, Any]]
    test: dict[str, float]
    ends: dict[str, dict[str, tuple[float, float]]]


def judged(run: Run) -> Judged | None:
    """The numbers of `results(run)`; None where it has no predictions."""
    versions = [run.version(name) for name in (layout.CONFIG, layout.SAMPLES, layout.PREDICTIONS)]
    return _judged(str(run.dir), *versions)


@st.cache_resource(show_spinner=False, max_entries=256)
def _judged(folder: str, config: Version, samples: Version, predictions: Version) -> Judged | None:  # noqa: ARG001
    run = Run(Path(folder))
    found = results(run)
    if found is None:
        return None
    numbers = {split: measured(run, split) for split in found.splits}
    return Judged(
        found.classes, found.task, found.splits, {split: one.confusion for split, one in numbers.items()},
        numbers["test"].metrics if "test" in numbers else {},
        {split: _ends(run, found, split) for split in found.splits if split != "train"},
    )  # fmt: skip


def _ends(run: Run, found: Results, split: str) -> dict[str, tuple[float, float]]:
    try:
        drawn = spread(run, split)
    except ValueError:  # probabilities that are no numbers
        return {}
    ends = {name: (one.low, one.high) for name, one in drawn.intervals.items() if one.low < one.high}
    for row in class_rows(measured(run, split).confusion, found.classes, found.task):
        for kind in ("recall", "precision"):
            if row[kind]["value"] is not None:
                ends[f"{kind}_{row['name']}"] = row[kind]["low"], row[kind]["high"]
    return ends


def splits(found: Sequence[Judged]) -> list[str]:
    """The splits that any of these has, in the order to offer them."""
    return [name for name in SPLIT_TITLES if any(name in one.splits for one in found)]


def largest_changes(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], n: int = 8) -> list[dict[str, Any]]:
    """The cells of two matrices (see `matrix_groups`) that differ most: `cell` in words, `from`, `to`, `change`."""
    pairs = [
        (x, y)
        for a, b in zip(one, other, strict=True)
        for left, right in zip(a["rows"], b["rows"], strict=True)
        for x, y in zip(left["cells"], right["cells"], strict=True)
        if x["n"] != y["n"]
    ]
    pairs.sort(key=lambda pair: -abs(pair[1]["n"] - pair[0]["n"]))
    return [
        {
            "cell": x["name"],
            "from": x["n"],
            "to": y["n"],
            "change": f"{y['n'] - x['n']:+,}".replace("-", "\N{MINUS SIGN}"),
        }
        for x, y in pairs[:n]
    ]
