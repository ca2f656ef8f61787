"""The line that says what was deleted last in this session, with the way back. It stays until it is used or closed."""

from __future__ import annotations

import streamlit as st

from covidviz.ui import run_actions

__all__ = ["line", "pending"]


def pending() -> bool:
    """Whether something was deleted that can be brought back."""
    return bool(st.session_state.get(run_actions.DELETED))


def line() -> bool:
    """Show it, if something was deleted; whether it did. Call it in a horizontal container."""
    if not pending():
        return False
    deleted = st.session_state[run_actions.DELETED][-1]
    st.markdown("Deleted 1 run." if len(deleted) == 1 else f"Deleted {len(deleted)} runs.", width="content")
    st.button("Undo", key="runs_undo", icon=":material/undo:", type="tertiary", on_click=run_actions.undo_delete)
    st.button(
        "Close", key="runs_undo_close", icon=":material/close:", type="tertiary", on_click=run_actions.forget_deleted
    )
    return True
