"""The button behind which a report of some runs is made and taken along."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.ui import flash, reports
from covidviz.ui.reports import FORMS, Asked
from covidviz.ui.text import md, shorten

__all__ = ["report_button"]

HELP = {
    "html": "One file that opens without a network, with charts that answer the mouse. Prints well.",
    "zip": "Text for a paper or a wiki, and every figure as PNG.",
    "card": "What the model is, what it is for and how well it does (Mitchell et al. 2019).",
}


def report_button(run_ids: Sequence[str], *, key: str) -> None:
    """Draw it. What it opens is drawn only while it is open."""
    box = st.popover("Report", key=key, icon=":material/description:", on_change="rerun")
    if box.open:
        with box:
            _inside(tuple(run_ids), key)


@st.fragment
def _inside(run_ids: tuple[str, ...], key: str) -> None:
    flash.show()
    runs, left_out = reports.able(run_ids)
    if left_out:
        more = [f"and {len(left_out) - 5} more."] if len(left_out) > 5 else []
        lines = ["Left out, as a report is made of completed runs:", *left_out[:5], *more]
        st.warning("  \n".join(md(shorten(line, 200)) for line in lines), icon=":material/filter_alt:")
    if not runs:
        return
    forms = [form for form in FORMS if not FORMS[form][3] or len(runs) == 1]
    form = st.segmented_control(
        "Form", forms, key=f"{key}_form", default="html", required=True, format_func=lambda name: FORMS[name][0],
        persist_state="session",
    )  # fmt: skip
    form = form if form in forms else "html"
    st.caption(HELP[form])
    title = st.text_input("Title", key=f"{key}_title", placeholder="from the runs", max_chars=200)
    patient_ids = st.toggle(
        "With patient ids and file names", key=f"{key}_ids",
        help="Off: images are numbered. What is written into the X-rays themselves is shown as it is.",
    )  # fmt: skip
    asked = Asked(tuple(runs), form, title.strip(), bool(patient_ids))
    _make(asked, key)


def _make(asked: Asked, key: str) -> None:
    task = reports.task(asked)
    st.fragment(_state, run_every=1.0 if task is not None and task.alive else None)(
        asked, key, was_busy=task is not None and task.alive
    )


def _state(asked: Asked, key: str, *, was_busy: bool) -> None:
    task = reports.task(asked)
    busy = task is not None and task.alive
    if busy != was_busy:
        st.rerun()
    if busy and task is not None:
        st.progress(task.share or 0.0, text=f"Making it: {md(task.line or 'starting')}")
        return
    if task is not None and task.failed:
        st.error(md(f"It could not be made: {shorten(task.failed, 300)}"), icon=":material/error:")
    file = reports.ready(asked)
    words, _, kind, _ = FORMS[asked.form]
    of = "" if len(asked.runs) == 1 else f" of {len(asked.runs)} runs"
    if file is None:
        what = "model card" if asked.form == "card" else "report"
        st.button(f"Make the {what}{of}", key=f"{key}_make", type="primary", icon=":material/play_arrow:",
                  on_click=_start, args=(asked,))  # fmt: skip
        return
    content = file.read_bytes()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download ({len(content) / 1e6:.1f} MB)", content, asked.name, kind, key=f"{key}_download", type="primary",
            icon=":material/download:", on_click="ignore", help=words,
        )  # fmt: skip
        st.button("Make it again", key=f"{key}_again", type="tertiary", icon=":material/refresh:", on_click=_start,
                  args=(asked,), help="After the data was checked, for example.")  # fmt: skip


def _start(asked: Asked) -> None:
    try:
        reports.start(asked)
    except CovidvizError as error:
        flash.say(error, "error")
