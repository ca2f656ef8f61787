"""Editing the name and the note of a run. Two people may do so at once: neither loses what was written."""

from __future__ import annotations

import streamlit as st

from covidviz.ui import run_actions
from covidviz.ui.text import md

__all__ = ["popover"]

FIELDS = {"name": "Name", "note": "Note"}


def _key(what: str, run_id: str) -> str:
    return f"runs_edit_{what}_{run_id}"


def popover(run_id: str, name: str, note: str) -> None:
    """A button that opens the form. It starts from what is saved when it is opened, and keeps what is typed."""
    box = st.popover("Edit", key="runs_do_edit", icon=":material/edit:", on_change="rerun")
    base = _key("base", run_id)
    if not box.open:
        st.session_state.pop(base, None)
        return
    if base not in st.session_state:
        st.session_state[base] = {"name": name, "note": note}
        st.session_state[_key("name", run_id)] = name
        st.session_state[_key("note", run_id)] = note
    with box:
        _form(run_id)


def _form(run_id: str) -> None:
    base = st.session_state[_key("base", run_id)]
    theirs = st.session_state.get(_key("theirs", run_id), {})

    def save() -> None:
        mine = {field: st.session_state[_key(field, run_id)] for field in FIELDS}
        changed = run_actions.edit(run_id, was=base, **mine)
        if changed is None:
            return
        st.session_state[_key("theirs", run_id)] = changed
        # Once it was shown, saving again is an answer to it.
        st.session_state[_key("base", run_id)] = {**base, **changed} if changed else mine

    def take(field: str) -> None:
        st.session_state[_key(field, run_id)] = theirs[field]
        st.session_state[_key("theirs", run_id)] = {k: v for k, v in theirs.items() if k != field}

    with st.form(f"runs_edit_{run_id}", border=False):
        st.text_input("Name", key=_key("name", run_id), max_chars=200, width=360)
        st.text_area("Note", key=_key("note", run_id), max_chars=5000, width=360, height=150)
        st.form_submit_button(
            "Save mine instead" if theirs else "Save", key=f"runs_save_{run_id}", type="primary", on_click=save
        )
    for field, value in theirs.items():
        st.warning(f"The {md(field)} was changed meanwhile, in another tab or by somebody else. Nothing was saved yet. "
                   "It says now:", icon=":material/call_merge:", width=360)  # fmt: skip
        st.text(value or "(empty)", width=360)
        st.button("Take that one", key=_key(f"take_{field}", run_id), on_click=take, args=(field,))
