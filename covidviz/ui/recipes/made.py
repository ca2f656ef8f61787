"""The runs of this runs folder that were made from recipes, with their scores. Read once per file version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from covidviz.evaluation.counts import Score, constant, score
from covidviz.evaluation.ranking import labels_of
from covidviz.recipes.compare import data_kind, differences, made_from
from covidviz.recipes.load import Report, reports
from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.ui import datasets, queries
from covidviz.ui.recipes.rows import Made
from covidviz.ui.results import Version, measured, results, versions

__all__ = ["made"]


def made(report: Report, runs: Sequence[RunSummary]) -> list[Made]:
    """The runs made from the recipes of `report`, newest first; archived ones are left out."""
    own = {recipe.name for recipe in report.recipes}
    found = []
    for one in runs:
        origin = None if one.archived else made_from(one.settings)
        if origin is not None and origin[0] in own:
            found.append(_made(report, one, *origin))
    return found


def _made(report: Report, one: RunSummary, recipe: str, described: bool) -> Made:
    run = queries.run(one.run_id)
    split, own, kind, said, base = "", None, "", "", None
    if run is not None and one.state == "completed":
        split, own, kind, said, base = _judged(report.part, str(run.dir), versions(run))
    return Made(
        one.run_id, one.name, recipe, described, one.state, one.progress, datasets.title(one.data), kind,
        differences(one.settings), one.task or report.task, split, own, said, base,
    )  # fmt: skip


@st.cache_resource(show_spinner=False, max_entries=256)
def _judged(
    part: str,
    folder: str,
    known: tuple[Version, Version, Version],  # noqa: ARG001  the cache key
) -> tuple[str, Score | None, str, str, Score | None]:
    """The split that counts, the score there, the kind of data, and the constant predictor there."""
    report, run = reports()[part], Run(Path(folder))
    found = results(run)
    if found is None:
        return "", None, "", "", None
    split = next((one for one in (report.split, "test", "val") if one in found.splits), "")
    if not split:
        return "", None, "", "", None
    sets = {
        name: _sets(labels_of(found.frame[found.frame["split"] == name], found.classes), found.classes)
        for name in found.splits
    }
    sources = set(found.frame["source"].dropna().astype(str)) if "source" in found.frame else set()
    of = measured(run, split)
    exact = of.metrics.get("exact_match", of.metrics.get("accuracy"))
    said, base = constant(sets[split], found.classes)
    return split, score(of.confusion, exact=exact), data_kind(report, sets, sources), said, base


def _sets(labels: object, classes: Sequence[str]) -> dict[str, int]:
    """Images by their set of labels, written `covid19|pneumonia`."""
    rows = labels.tolist()  # type: ignore[attr-defined]
    named = ("|".join(sorted(name for name, yes in zip(classes, row, strict=True) if yes)) for row in rows)
    return dict(Counter(named))
