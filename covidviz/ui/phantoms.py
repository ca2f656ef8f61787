"""Built-in data from the form: a button that makes phantoms, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.paths import data_dir
from covidviz.ui import flash, tasks
from covidviz.ui import form as forms
from covidviz.ui.text import md, shorten

__all__ = ["offer", "wanted"]

SIZES = {"tiny": "60", "small": "1,256", "full": "6,828"}  # images
TASK = "phantoms"


def wanted(offered: Sequence[str]) -> bool:
    """Whether to show it: no dataset is there yet, or phantoms are being made."""
    return not offered or tasks.look(TASK) is not None


def _folder(size: str) -> Path:
    return data_dir() / f"phantoms-{size}"


def _make() -> None:
    size = st.session_state.get("new_phantoms_size") or "small"
    st.session_state["new_phantoms_out"] = str(_folder(size))
    try:
        tasks.start(TASK, "phantoms", str(_folder(size)), size)
    except CovidvizError as error:
        flash.say(error, "error")


def offer() -> None:
    """The button, or the progress; when it is done the form uses the new folder."""
    task = tasks.look(TASK)
    with st.container(border=True, key="new_phantoms"):
        if task is not None and task.alive:
            _watch()
            return
        if task is not None and task.failed is None:
            tasks.forget(TASK)
            if (out := st.session_state.pop("new_phantoms_out", None)) and Path(out).is_dir():
                forms.change(data=out)
                st.rerun()
        if task is not None and task.failed:
            st.error(md(f"The phantoms could not be made: {shorten(task.failed, 300)}"))
        st.markdown("**No data at hand?** Phantoms are drawn X-rays with covid-19, pneumonia and normal lungs.")
        st.segmented_control("Images", list(SIZES), default="small", required=True, key="new_phantoms_size",
                             format_func=lambda size: SIZES[size], width="stretch")  # fmt: skip
        st.button("Make phantoms", key="new_phantoms_make", icon=":material/auto_awesome:", on_click=_make)


@st.fragment(run_every=1)
def _watch() -> None:
    task = tasks.look(TASK)
    if task is None or not task.alive:
        st.rerun()
    st.markdown("**Making phantoms** in the background. You can go on here.")
    st.progress(task.share or 0.0)
