"""Which run a page shows: the one in the link, else the newest; every other one can be picked."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.ui import flash, nav, queries, run_actions, state
from covidviz.ui.text import ago, md, shorten, state_text

__all__ = ["pick_run"]


def pick_run(title: str, *, finished: bool = False, back: bool = False) -> Run:
    """Draw the page's head: title at the left, the choice of the run at the right.

    Without a run to show, say so and stop the script.

    Args:
        title: of the page; where empty, the name of the run.
        finished: without a run in the link, prefer the newest completed one.
        back: with a link to all runs before the title.
    """
    runs = {summary.run_id: summary for summary in queries.index().snapshot(max_age=1).runs}
    asked, known = state.asked_run(), state.current_run()
    if known is None and asked is None and runs:
        done = [run_id for run_id, summary in runs.items() if summary.state == "completed"] if finished else []
        known = (done or list(runs))[0]
    run = queries.run(known)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = runs[known].name if known in runs else known
    with left.container(horizontal=True, vertical_alignment="center", wrap=False):
        if back:
            st.page_link(nav.RUNS, label="Runs", icon=":material/arrow_back:", help="All runs")
        st.title(md(shorten(title or name or "Run", 70)), anchor=False)
    if runs:
        _choice(right, runs, known)
    if run is None:
        _nothing_to_show(asked or known, some=bool(runs))
    return run


def _nothing_to_show(asked: str | None, *, some: bool) -> NoReturn:
    if asked is not None:
        st.error(f"There is no run {md(shorten(asked))}, or not any more.", icon=":material/search_off:")
        if run_actions.in_trash(asked):
            st.button(
                "Undo its deletion",
                icon=":material/undo:",
                on_click=run_actions.restore,
                args=([asked],),
                key="restore",
            )
        if some:
            st.caption("Choose one at the top right, or see them all.")
        st.page_link(nav.RUNS, label="All runs", icon=":material/table_rows:")
    else:
        st.info("There are no runs yet.", icon=":material/info:")
        st.page_link(nav.RUNS, label="Start with the built-in data", icon=":material/play_circle:")
        st.page_link(nav.NEW_RUN, label="Train on your own data", icon=":material/tune:")
    flash.show()
    st.stop()


def _choice(place: DeltaGenerator, runs: dict[str, RunSummary], known: str | None) -> None:
    ids = list(runs) if known is None or known in runs else [known, *runs]

    def title(run_id: str) -> str:
        row = runs.get(run_id)
        return run_id if row is None else f"{state_text(row.state).shape} {shorten(row.name, 70)} · {ago(row.created)}"

    def changed() -> None:
        state.link(run=st.session_state["pick_run"])

    st.session_state["pick_run"] = known
    place.selectbox(
        "Run",
        ids,
        key="pick_run",
        format_func=title,
        on_change=changed,
        placeholder="Choose a run",
        label_visibility="collapsed",
    )
