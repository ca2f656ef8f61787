"""The line that says what was deleted last, with the way back."""

from __future__ import annotations

import streamlit as st

from covidviz.ui import run_actions

__all__ = ["line"]


def line() -> bool:
    """Show it, if something was deleted in this session; whether it did. Call it in a horizontal container."""
    deleted = st.session_state.get(run_actions.DELETED)
    if not deleted:
        return False
    st.markdown("Deleted 1 run." if len(deleted) == 1 else f"Deleted {len(deleted)} runs.", width="content")
    st.button("Undo", key="runs_undo", icon=":material/undo:", type="tertiary", on_click=run_actions.undo_delete)
    return True
