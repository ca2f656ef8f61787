"""Says once per session, on any page, that a run has finished or failed: a toast, and a notification if allowed."""

from __future__ import annotations

import streamlit as st

from covidviz.ui import flash
from covidviz.ui.components import component
from covidviz.ui.text import shorten, state_text

__all__ = ["watch"]

EVERY_S = 4
_SEEN = "announce_seen"  # session: the states in which the runs were seen last
_NEWS = "announce_news"  # session: what was announced, newest last
_WORDS = {
    "completed": "is trained", "failed": "failed", "stopped": "was stopped", "lost": "was lost: its process is gone",
}  # fmt: skip

_bell = component("bell", '<div class="bell"></div>')


def watch() -> None:
    """Call it once per script run, in the sidebar. It looks again by itself only while something runs."""
    live = _look()
    st.fragment(_tick, run_every=EVERY_S if live else None)(live, [True])


def _tick(was_live: bool, first: list[bool]) -> None:
    """`first` is emptied by the script run that calls `watch`: the main script itself shows what was said."""
    in_script = bool(first) and first.pop()
    live = was_live if in_script else _look()
    if live != was_live:
        st.rerun()  # begin or end looking; what was found is said by the new run: a toast of this one might get lost
    if not in_script:
        flash.show()
    news = st.session_state.get(_NEWS, [])
    if live or news:
        _bell(key="announce", data={"news": news[-8:]})


def _look() -> bool:
    """Say what ended since the last look; whether something still runs."""
    from covidviz.ui import queries  # pandas takes a moment, in which the first page can be drawn already

    now = queries.index().snapshot(max_age=EVERY_S / 4)
    states = {run.run_id: run.state for run in now.runs}
    before = st.session_state.get(_SEEN, states)
    st.session_state[_SEEN] = states
    for run in now.runs:
        if run.state in _WORDS and state_text(before.get(run.run_id, run.state)).live:
            text = f"{shorten(run.name, 60)} {_WORDS[run.state]}"
            if run.state == "failed" and run.error:
                text += f": {shorten(run.error, 120)}"
            flash.say(text, "error" if run.state in ("failed", "lost") else "done")
            news = st.session_state.get(_NEWS, [])
            st.session_state[_NEWS] = [*news, {"id": f"{run.run_id} {run.state} {run.finished}", "text": text}]
    return any(state_text(state).live for state in states.values())
