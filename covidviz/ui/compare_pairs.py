"""The two sides of a paired verdict on the Compare page, each a run or the seeds of one setting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from covidviz.errors import InputError
from covidviz.evaluation.matched import Judgement, Matched, match
from covidviz.evaluation.paired import Paired, compare, flips_of
from covidviz.evaluation.ranking import prob_of
from covidviz.evaluation.verdict import Verdict, verdict
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.thresholds import read_thresholds
from covidviz.ui import queries, state
from covidviz.ui.compare_data import Compared, isolated
from covidviz.ui.results import SPLIT_TITLES, results, versions
from covidviz.ui.seed_group import group_of
from covidviz.ui.text import shorten

__all__ = ["Outcome", "Side", "chosen", "judged_pair", "offered_splits", "sides"]

SEEDS = "seeds-"  # before the id of a group's first run, in the link
Versions = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Side:
    """What can be the baseline or the other: `key` in the link, a plain `title`, and its runs, one per seed."""

    key: str
    title: str
    runs: tuple[Compared, ...]


def sides(runs: Sequence[Compared]) -> dict[str, Side]:
    """Every run that has predictions, then every group of seeds among them."""
    able = [one for one in runs if one.run.version(layout.PREDICTIONS) != (0, 0)]
    found = {one.id: Side(one.id, one.title(50), (one,)) for one in able}
    by_id = {one.id: one for one in able}
    newest_first = sorted((one.summary for one in able), key=lambda row: row.created or 0.0, reverse=True)
    grouped: set[str] = set()
    for one in able:
        group = [] if one.id in grouped else [by_id[row.run_id] for row in group_of(one.id, newest_first)]
        if len(group) < 2:
            continue
        grouped |= {member.id for member in group}
        key = f"{SEEDS}{group[0].id}"
        found[key] = Side(key, _group_title(group), tuple(group))
    return found


def _group_title(group: Sequence[Compared]) -> str:
    bare = {re.sub(r"[\s,]*seed \d+$", "", one.summary.name) for one in group}
    name = bare.pop() if len(bare) == 1 else group[0].summary.name
    numbers = ", ".join(str(one.number) for one in group)
    return f"{shorten(numbers, 16)} · {isolated(shorten(name, 40))} ({len(group)} seeds)"


def chosen(offered: Mapping[str, Side]) -> tuple[Side, Side] | None:
    """Baseline and other: those of the link, else the first two groups of seeds, else the first two runs."""
    if len(offered) < 2:
        return None
    groups = [key for key in offered if key.startswith(SEEDS)]
    likely = groups[:2] if len(groups) > 1 else [key for key in offered if key not in groups][:2]
    if len(likely) < 2:
        return None
    a = state.get("a", offered, None)
    b = state.get("b", offered, None)
    if a is None:
        a = next(key for key in likely if key != b)
    if b is None or b == a:
        b = next(key for key in [*likely, *offered] if key != a)
    return offered[a], offered[b]


def offered_splits(pair: tuple[Side, Side]) -> list[str]:
    """The splits that one of the two has, in the order to offer them."""
    found = [results(one.run) for side in pair for one in side.runs]
    return [name for name in SPLIT_TITLES if any(one is not None and name in one.splits for one in found)]


@dataclass(frozen=True)
class Outcome:
    """A comparison, or `missing`: why there is none.

    Of each matched image: `flips` [N]: see `covidviz.evaluation.paired.flips_of`; `change` [N]: how far the first runs
    of both sides are apart in the probability of any class, 0..1.
    """

    missing: str | None = None
    matched: Matched | None = None
    paired: Paired | None = None
    verdict: Verdict | None = None
    flips: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    change: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def judged_pair(pair: tuple[Side, Side], split: str) -> Outcome:
    """B of the pair against A, on the images that all of their runs judged. Shared: leave it as it is."""
    a, b = (tuple((one.number, str(one.run.dir), _versions(one.run)) for one in side.runs) for side in pair)
    return _judged(a, b, split)


def _versions(run: Run) -> Versions:
    return (*versions(run), run.version(layout.NOTES))  # thresholds are among the notes


Key = tuple[int, str, Versions]


@st.cache_resource(show_spinner=False, max_entries=8)
def _judged(a: tuple[Key, ...], b: tuple[Key, ...], split: str) -> Outcome:
    judged: tuple[list[Judgement], list[Judgement]] = ([], [])
    critical: str | None = None
    for side, into in zip((a, b), judged, strict=True):
        for number, folder, _ in side:
            run = Run(Path(folder))
            found = results(run)
            if found is None:
                return Outcome(f"The predictions of run {number} can not be read.")
            saved = {name: one.value for name, one in read_thresholds(run.dir).items()}
            settings = queries.config(run)
            data = settings.data if settings is not None else ""
            into.append(Judgement(f"run {number}", found.frame, found.classes, found.task, saved, data))
            critical = critical or found.critical
    try:
        matched = match(*judged, split)
    except InputError as error:
        return Outcome(f"{str(error)[:1].upper()}{str(error)[1:]}.")
    paired = compare(matched.truth, matched.a, matched.b, matched.classes, matched.task, clusters=matched.patients)
    said = verdict(paired, critical=critical)
    prob = []
    for first in (side[0].frame for side in judged):
        rows = pd.Index(first["sample_id"].astype(str)).get_indexer(pd.Index(matched.sample_ids))
        prob.append(prob_of(first.iloc[rows], matched.classes))
    change = np.abs(prob[1] - prob[0]).max(axis=1, initial=0.0)
    flips = flips_of(matched.truth, matched.a, matched.b)
    return Outcome(None, matched, paired, said, flips, change)
