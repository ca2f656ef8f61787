"""The Runs page: filters, table, actions on the selected runs. While something runs, the table alone looks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from covidviz.paths import runs_dir
from covidviz.store.index import RunSummary
from covidviz.ui import demo_start, flash, nav, queries, runs_bar, runs_filters, runs_link, runs_table, server
from covidviz.ui.runs_link import View
from covidviz.ui.text import state_text

__all__ = ["body"]

REFRESH_S = 2


def body(corner: DeltaGenerator) -> None:
    """What is below the title, and the button beside it."""
    now = queries.index().snapshot(max_age=0.2)
    if corner.button(
        "New run", key="runs_new", type="primary" if now.runs else "secondary", icon=":material/add:", width="stretch"
    ):
        st.switch_page(nav.NEW_RUN)
    if not now.runs:
        demo_start.empty_page()
        return
    st.fragment(_board)()


def _live(runs: Sequence[RunSummary]) -> bool:
    return demo_start.running() or any(state_text(run.state).live for run in runs)


def _asked(max_age: float) -> tuple[queries.Snapshot, View, runs_table.Table]:
    """The runs, what the link asks for, and the table that answers it. A metric that no run has counts as not given."""
    now, view = queries.index().snapshot(max_age), runs_link.current()
    if view.metric and not any(view.metric in run.curves.values for run in now.runs):
        view = replace(view, metric="")
    return now, view, runs_table.build(str(runs_dir()), now.version, view.metric, now.runs)


def _board() -> None:
    """What the person sets; drawn again when that changes, and with the page when runs come, go or end."""
    now, view, table = _asked(max_age=0.5)
    runs_filters.toolbar(table, view)
    runs_filters.group_summary(table, view)
    live = _live(now.runs)
    st.fragment(_rows, run_every=REFRESH_S if live else None)(table.shape, live)


def _rows(shape: int, live: bool) -> None:
    """The table and the bar below it. A refresh that finds nothing new sends nothing new."""
    if run_id := st.session_state.pop(runs_table.OPEN, None):
        st.switch_page(nav.RUN, query_params={"run": run_id})
    now, view, table = _asked(max_age=REFRESH_S / 2 if live else 0.5)
    if not now.runs or table.shape != shape or _live(now.runs) != live:
        st.rerun()  # the whole page: counts, filters and whether to look again change with them
    if any(run.state == "queued" for run in now.runs):
        server.keep_queue(runs_dir())
    flash.show()
    demo_start.strip()
    rows = runs_table.matching(table, view)
    if rows:
        runs_table.show(table, rows, view)
    else:
        st.caption("No run matches. Clear the search or the filters above to see all.")
    runs_bar.bar({run.run_id: run for run in now.runs}, {table.ids[i] for i in rows})
