"""Beside the scores of a run: how many of its images training has seen in a way, and what it scores without them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from covidviz.data.doctor import Report
from covidviz.data.manifest import sample_id
from covidviz.errors import DataError
from covidviz.evaluation.bootstrap import Interval
from covidviz.evaluation.leaks import Leaks, Rescored, leaks, rescored
from covidviz.evaluation.metric_names import metric_name
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import datasets, doctor, nav, queries, state
from covidviz.ui.results import results, versions
from covidviz.ui.text import md, number

__all__ = ["leak_line", "sentence"]

SPLITS = {"val": "validation", "test": "test"}
Version = tuple[int, int]


def leak_line(run: Run, split: str) -> None:
    """One line where images of this split leak, with the scores without them on a click; nothing where none does."""
    found = _leaks(run, split)
    with st.container(key="run_leaks_place"):  # always there, so that what follows stays the same nodes
        if found is not None and found.ids:
            _say(run, split, found)


def _say(run: Run, split: str, found: Leaks) -> None:
    st.html(nav.ASSETS / "leaks.css")
    with st.container(border=True, key="run_leaks", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":orange[:material/warning:] {md(sentence(found, split))}", width="stretch")
            _see(run, found)
            on = state.get("clean", ("1",)) is not None
            st.session_state["run_clean"] = on
            st.toggle("Score without them", key="run_clean", disabled=len(found.ids) == found.n, on_change=_switched)
        if len(found.ids) == found.n:
            st.caption("No image is left to score: none of these numbers is about new patients.")
        elif on:
            _table(_rescored(run, split, found.ids))


def _switched() -> None:
    state.link(clean="1" if st.session_state["run_clean"] else None)


def sentence(found: Leaks, split: str) -> str:
    """`12 of 324 test images show a patient or radiograph of the training part.`"""
    both = "a patient or radiograph" if found.patients and found.radiographs else "a patient"
    what = both if found.patients else "a radiograph"
    verb = "shows" if len(found.ids) == 1 else "show"
    return f"{len(found.ids):,} of {found.n:,} {SPLITS.get(split, split)} images {verb} {what} of the training part."


def _see(run: Run, found: Leaks) -> None:
    """The way to the images themselves, where there is a report on the dataset."""
    config = queries.config(run)
    if config is None or _report(run) is None:
        return
    check = "patient-overlap" if found.patients else "near-duplicates"
    st.page_link(nav.DATA, label="See them", icon=":material/dataset:", help="On the Data page",
                 query_params={"data": config.data, "column": config.split_column, "check": check})  # fmt: skip


# --- what is known ---


def _report(run: Run) -> Report | None:
    config = queries.config(run)
    if config is None:
        return None
    try:
        return doctor.report(datasets.find(config.data), config.split_column, wait=5)
    except DataError:
        return None  # the dataset is gone, or not this person's business


def _leaks(run: Run, split: str) -> Leaks | None:
    if split not in SPLITS:
        return None
    report = _report(run)
    return _found(str(run.dir), run.version(layout.SAMPLES), split, "" if report is None else report.key, report)


@st.cache_resource(show_spinner=False, max_entries=48)
def _found(folder: str, version: Version, split: str, key: str, _report: Report | None) -> Leaks | None:  # noqa: ARG001
    samples = Run(Path(folder)).samples()
    if not {"sample_id", "split"} <= set(samples.columns):
        return None
    pairs = [
        (sample_id(group[0]), sample_id(path)) for group in (_report.same if _report else ()) for path in group[1:]
    ]
    return leaks(samples, split, pairs)


def _rescored(run: Run, split: str, without: frozenset[str]) -> Rescored:
    return _scored(str(run.dir), split, tuple(sorted(without)), versions(run))


@st.cache_resource(show_spinner=False, max_entries=24)
def _scored(folder: str, split: str, without: tuple[str, ...], files: tuple[Version, ...]) -> Rescored:  # noqa: ARG001
    found = results(Run(Path(folder)))
    if found is None:
        raise KeyError(split)
    return rescored(found.frame[found.frame["split"] == split], found.classes, found.task, without)


# --- the numbers ---


def _table(scores: Rescored) -> None:
    """All images beside those that are left, each with its 95 % interval."""
    head = f"| | all {scores.n:,} | without them {scores.left:,} |"
    rows = [
        f"| {md(_capital(metric_name(row.name)))} | {_cell(row.before)} | {_cell(row.after)} |" for row in scores.rows
    ]
    st.markdown("\n".join([head, "|:--|--:|--:|", *rows]))
    st.caption("With 95 % intervals: of shares Wilson's, of F1 a bootstrap's.")


def _cell(of: Interval | None) -> str:
    if of is None:
        return "– :gray[no image]"
    ends = f"{number(of.low, 2)} to {number(of.high, 2)}".replace(" ", "\u00a0")  # breaks before it only
    return f"**{number(of.value)}** :gray[{ends}]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
