"""The table of one report: published numbers and matrices, and beside them the runs made from each recipe here.

Plain data in, plain data out for the component; all texts are shown as text. No streamlit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from covidviz.evaluation.counts import Score
from covidviz.recipes.load import Recipe, Report
from covidviz.recipes.worth import METRICS, baseline, is_useless, of_recipe, reported_score
from covidviz.setting_names import LABELS, setting
from covidviz.ui.text import shorten

__all__ = ["Made", "columns", "rows"]

SHOWN = 4  # runs of one recipe; the Runs page has them all
OPEN = ("queued", "running")


@dataclass(frozen=True)
class Made:
    """A run made from a recipe.

    score: on `split`, None until it is completed. base: what saying `base_said` for every image of that split scores.
    kind: of `covidviz.recipes.compare.data_kind`, empty where unknown.
    changed: settings that are not those of the recipe.
    """

    run_id: str
    name: str
    recipe: str
    described: bool
    state: str
    progress: float
    data: str
    kind: str
    changed: Mapping[str, Any]
    task: str
    split: str = ""
    score: Score | None = None
    base_said: str = ""
    base: Score | None = None


def columns(report: Report) -> list[dict[str, str]]:
    """The head of the table: `id`, `title`, `group`, `own` (what the report calls accuracy or F1)."""
    named = [("label_accuracy", "per label"), ("exact_match", "exact match")]
    if report.task == "single-label":
        named = [("accuracy", "accuracy")]
    named += [("micro_f1", "micro"), ("macro_f1", "macro"), *((f"f1_{name}", name) for name in report.classes)]
    own = {report.accuracy, *report.f1}
    group = {"label_accuracy": "Accuracy, %", "exact_match": "Accuracy, %", "accuracy": "Accuracy, %"}
    found = [
        {"id": metric, "title": title, "group": group.get(metric, "F1"), "own": "1" if metric in own else ""}
        for metric, title in named
    ]
    return [*found, {"id": "recall", "title": "95 % interval", "group": f"{report.critical} found", "own": ""}]


def rows(report: Report, made: Sequence[Made]) -> list[dict[str, Any]]:
    """The constant predictor, then each recipe followed by its newest runs.

    Each has `kind` (`base`, `recipe`, `run`), `id`, `name`, `cells` in the order of `columns`. A recipe has also
    `published`, `worth`, `settings`, `described`, `notes`; a run `state`, `marks`, `about`.
    """
    said, base = baseline(report, report.split)
    found: list[dict[str, Any]] = [{
        "kind": "base", "id": "base", "name": f"Saying {said} for every image", "published": "–",
        "cells": _cells(report, base),
    }]  # fmt: skip
    for recipe in report.recipes:
        found.append(_recipe(report, recipe))
        own = [one for one in made if one.recipe == recipe.name]
        found += [_run(report, one) for one in own[:SHOWN]]
        if len(own) > SHOWN:
            found[-1]["about"] += f" · {len(own) - SHOWN} older ones on the Runs page"
    return found


def _recipe(report: Report, recipe: Recipe) -> dict[str, Any]:
    one = recipe.reported.get(report.split)
    accuracy = "–" if one is None or one.accuracy is None else one.accuracy
    f1 = "" if one is None else " ".join(one.f1)
    score = reported_score(recipe, report.split)
    described = []
    if recipe.described is not None:
        described = [f"{LABELS[name]}: {setting(name, value, report.task)}"
                     for name, value in recipe.described.items() if recipe.settings.get(name) != value]  # fmt: skip
    return {
        "kind": "recipe", "id": recipe.name, "name": recipe.short, "title": recipe.summary,
        "published": accuracy, "f1": f1,
        "wrong": bool(one and one.disagrees),
        "marks": ["! constant predictor"] if is_useless(report, recipe) else [],
        "cells": _cells(report, score), "worth": of_recipe(report, recipe), "notes": list(recipe.notes),
        "settings": [f"{LABELS[name]}: {setting(name, _plain(value), report.task)}"
                     for name, value in recipe.settings.items()],
        "described": described,
    }  # fmt: skip


def _run(report: Report, one: Made) -> dict[str, Any]:
    marks = []
    if one.kind == "phantoms":
        marks.append("phantoms")
    elif one.kind == "other":
        marks.append("other data")
    elif one.kind == "course":
        marks.append("course's counts")
    if one.described:
        marks.append("as described")
    if one.split and one.split != report.split:
        marks.append(f"on {one.split}")
    about = [
        f"{LABELS[name]} {shorten(setting(name, _plain(value), one.task), 40)}" for name, value in one.changed.items()
    ]
    if one.score is not None and one.base is not None:
        metric = report.accuracy
        level, own = one.base.value(metric), one.score.value(metric)
        if level is not None and own is not None:
            worse = "no better than " if own <= level else ""
            about.append(
                f"{worse}saying {one.base_said or 'nothing'} for every image: {100 * level:.1f} % {METRICS[metric]}"
            )
            if own <= level:
                marks.append("! constant predictor")
    state = one.state if one.state != "running" else f"running, {100 * one.progress:.0f} %"
    return {
        "kind": "run", "id": one.run_id, "name": shorten(one.data, 40), "title": one.run_id, "state": state,
        "marks": marks, "about": " · ".join(about), "published": "" if one.state == "completed" else state,
        "cells": _cells(report, one.score),
    }  # fmt: skip


def _cells(report: Report, score: Score | None) -> list[dict[str, str]]:
    """`text`, `note` (smaller, below) and `title` (the whole of it in words) of each column."""
    return [_cell(report, score, column["id"]) for column in columns(report)]


def _cell(report: Report, score: Score | None, metric: str) -> dict[str, str]:
    if score is None:
        return {"text": "–", "note": "", "title": "not known"}
    if metric == "recall":
        if report.critical not in score.labels:
            return {"text": "–", "note": "", "title": "not known"}
        hits, support, (low, high) = score.recall(report.critical)
        if not support:
            return {"text": "–", "note": "", "title": f"no image of {report.critical}"}
        ends = f"{100 * low:.0f} to {100 * high:.0f} %"
        title = f"{100 * hits / support:.1f} % of {report.critical} found, 95 % interval (Wilson) {ends}"
        return {"text": f"{hits} of {support}", "note": ends, "title": title}
    value = score.value(metric)
    if value is None and metric in ("exact_match", "accuracy"):
        low, high = (100 * end for end in score.exact_match)
        return {"text": f"{low:.0f} to {high:.0f}", "note": "not known",
                "title": f"matrices per label only tell that it lies between {low:.1f} and {high:.1f} %"}  # fmt: skip
    if value is None:
        return {"text": "–", "note": "", "title": "not known"}
    if metric in ("accuracy", "exact_match", "label_accuracy"):
        return {"text": f"{100 * value:.2f}", "note": "", "title": f"{100 * value:.3f} % {METRICS[metric]}"}
    return {"text": f"{value:.3f}".lstrip("0") if value < 1 else "1", "note": "", "title": f"{value:.4f}"}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
