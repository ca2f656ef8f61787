"""What a run wrote and what it took of the machine; both follow it while it lives."""

from __future__ import annotations

import streamlit as st

from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import charts, queries
from covidviz.ui.components.log import log as lines
from covidviz.ui.components.plot import plot
from covidviz.ui.run_view import POLL_S

__all__ = ["log", "machine"]

MAX_LINES, MAX_BYTES = 3000, 256 * 1024
CHART_HEIGHT = 240


def log(run: Run) -> None:
    """The end of train.log, with search."""
    live = run.status().live

    @st.fragment(run_every=POLL_S if live else None)
    def part() -> None:
        size, _ = run.version(layout.LOG)
        tail = run.log_tail(MAX_LINES, MAX_BYTES)
        cut = size > MAX_BYTES or tail.count("\n") >= MAX_LINES - 1
        lines(tail, live=live, cut=cut, key="run_log")

    part()


def machine(run: Run) -> None:
    """CPU, GPU and memory over time."""

    @st.fragment(run_every=POLL_S if run.status().live else None)
    def part() -> None:
        figures = charts.load_figures(queries.system(run))
        if not figures:
            st.info("No load of the machine was recorded.", icon=":material/info:")
        for place, (title, figure) in zip(st.columns(2), figures.items(), strict=False):
            with place.container(gap=None):
                st.markdown(f"**{title}**")
                plot(figure, key=f"load_{title[:4]}", label=f"{title} over time", height=CHART_HEIGHT, keep=run.id)

    part()
