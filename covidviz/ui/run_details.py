"""The bottom of the Run page: settings, log, load of the machine and notes, one at a time."""

from __future__ import annotations

import streamlit as st

from covidviz.store.reader import Run
from covidviz.ui import log_view, notes_view, settings_view
from covidviz.ui.run_view import follow

__all__ = ["details"]


@st.fragment
def details(run: Run) -> None:
    """Only the open tab is read and sent."""
    follow(run)
    tabs = st.tabs(["Settings", "Log", "CPU, GPU, memory", "Notes"], key="run_tabs", on_change="rerun")
    for tab, draw in zip(tabs, (settings_view.settings, log_view.log, log_view.machine, notes_view.notes), strict=True):
        if tab.open:
            with tab:
                draw(run)
