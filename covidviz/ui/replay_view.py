"""The Run page, epoch by epoch: a scrubber over the validation images, also while the run trains."""

from __future__ import annotations

from typing import Any

import streamlit as st

from covidviz.evaluation.ranking import ORDERS, cells
from covidviz.evaluation.replay import FATES
from covidviz.store.reader import Run
from covidviz.ui import nav, replays
from covidviz.ui.components.replay import on_run
from covidviz.ui.run_view import POLL_S
from covidviz.ui.text import md

__all__ = ["replay_part"]

ASKED = "_replay_open"  # session: what is to be opened on the Images page


def replay_part(run: Run) -> None:
    """The section; nothing of a run that has no epoch yet. It grows while the run lives."""
    before = run.status()

    @st.fragment(run_every=POLL_S if before.live else None)
    def part() -> None:
        if not run.dir.is_dir() or run.status().live != before.live:
            st.rerun()
        if asked := st.session_state.pop(ASKED, None):
            st.switch_page(nav.IMAGES, query_params=asked)
        _section(run, live=before.live)

    part()


def _section(run: Run, *, live: bool) -> None:
    known = replays.replay(run)
    if known is None and (live or replays.found_at(run, None) is None):
        return  # the sections before say what there will be, and why there is nothing
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.subheader("Epoch by epoch", anchor=False, width="content")
        st.caption("The validation images after each epoch", width="content")
    if known is None:
        st.caption(f":material/info: {md(replays.reason(run))}")
        return
    if not replays.sendable(known):
        st.caption(f":material/info: {len(known.sample_id):,} images are too many to be replayed in a browser.")
        return
    best = None if known.best is None else known.epochs[known.best]

    def opened(asked: dict[str, Any]) -> None:
        epoch, cell, fate, order = (asked.get(name) for name in ("epoch", "cell", "fate", "order"))
        there = isinstance(epoch, int) and epoch in known.epochs and (live or epoch != best)
        st.session_state[ASKED] = {
            key: str(value)
            for key, value in {
                "run": run.id,
                "split": replays.SPLIT,
                "order": order if order in ORDERS else "worst",
                "cell": cell if cell in cells(known.classes, known.task) else None,
                "epoch": epoch if there else None,
                "fate": fate if fate in FATES else None,
            }.items()
            if value is not None
        }

    on_run(f"/replay/{run.id}?v={replays.key(run)}", run.id, live=live, key="run_replay", on_open=opened)
