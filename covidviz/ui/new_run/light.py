"""The traffic light of the dataset: what the data doctor says of it, in a shape and a few words."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from covidviz.config import TrainConfig
from covidviz.errors import CovidvizError
from covidviz.ui import datasets, doctor, nav
from covidviz.ui.text import md, percent, shorten

__all__ = ["light"]

POLL_S = 2
SHAPES = {"ok": ":material/check_circle:", "note": ":material/check_circle:", "warn": ":material/warning:",
          "bad": ":material/dangerous:"}  # fmt: skip


def light(config: TrainConfig) -> None:
    """Draw it, and have the dataset checked in the background where it never was. It forbids nothing."""
    split_column = config.split_column
    try:
        path = datasets.find(config.data)
        doctor.ensure(path, split_column)
    except CovidvizError as error:
        st.caption(md(f"The data could not be checked: {shorten(error, 200)}"))
        return
    busy = _busy(path, split_column)

    @st.fragment(run_every=POLL_S if busy else None)
    def part() -> None:
        if _busy(path, split_column) != busy:
            st.rerun()
        _draw(path, split_column)

    part()


def _busy(path: Path, split_column: str) -> bool:
    return doctor.running(path, split_column) is not None or doctor.pending(path, split_column)


def _draw(path: Path, split_column: str) -> None:
    task = doctor.running(path, split_column)
    found = doctor.report(path, split_column)
    severity = ""
    if found is not None:
        verdict = doctor.verdict(found)
        label, severity = verdict.words, verdict.severity
        icon = SHAPES[severity]
    elif task is not None or doctor.pending(path, split_column):
        share = task.share if task is not None else None
        label, icon = f"Checking the data … {percent(share) if share else ''}", ":material/hourglass_top:"
    else:
        tried = doctor.failed(path, split_column) is not None
        label, icon = "Data: can't be checked" if tried else "Data: not checked", ":material/help:"
    with st.container(key=f"new_light_{severity}"):
        st.page_link(nav.DATA, label=md(label.strip()), icon=icon, help="What the data doctor found: leaks between "
                     "splits, duplicates, labels in doubt, shortcuts.",
                     query_params={"data": str(path), "column": split_column})  # fmt: skip
