"""Name, tags and note of a run, for editing; two people at once never overwrite each other unasked."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from covidviz.store.reader import Run
from covidviz.ui import run_actions

__all__ = ["notes"]

FIELDS = ("name", "tags", "note")
TEXTS = ("name", "note")  # of tags only those added and taken away are saved: two people's changes fit together


def notes(run: Run) -> None:
    """The form. What is typed stays while one looks elsewhere, until it is saved."""
    keys = {field: f"notes_{field}_{run.id}" for field in FIELDS}
    seen_key = f"_notes_seen_{run.id}"  # what was saved when typing began
    now = _saved(run)
    seen: dict[str, str] = dict(st.session_state.get(seen_key, now))
    mine = {field: str(st.session_state.get(keys[field], seen[field])) for field in FIELDS}
    for field in FIELDS:
        if mine[field] in (seen[field], now[field]):  # nothing of one's own to lose
            mine[field] = seen[field] = now[field]
        st.session_state[keys[field]] = mine[field]
    st.session_state[seen_key] = seen
    theirs = {field: now[field] for field in TEXTS if now[field] != seen[field]}

    def save(was: Mapping[str, str]) -> None:
        typed = {field: str(st.session_state[keys[field]]) for field in FIELDS}
        added, taken = _change(was["tags"], typed["tags"])
        if added or taken:
            run_actions.tag([run.id], add=added, remove=taken)
        texts = {field: typed[field] for field in TEXTS}
        if (texts != {field: was[field] for field in TEXTS} or not (added or taken)) and run_actions.edit(
            run.id, was=was, **texts
        ):
            return  # it was changed this moment: the next run shows both
        for key in (seen_key, *keys.values()):
            st.session_state.pop(key, None)

    def take() -> None:
        for field in theirs:
            st.session_state[keys[field]] = theirs[field]

    left, right = st.columns([3, 2])
    left.text_area("Note", key=keys["note"], height=190, persist_state="session", placeholder="What was this run for?")
    right.text_input("Name", key=keys["name"], max_chars=200, persist_state="session")
    right.text_input("Tags, separated by commas", key=keys["tags"], persist_state="session")
    if theirs:
        st.warning("Somebody saved something else meanwhile. Saved now:", icon=":material/group:")
        for field, text in theirs.items():
            st.text(f"{field}: {text or '(empty)'}")
        with st.container(horizontal=True):
            st.button("Save mine instead", key="notes_mine", on_click=save, args=(now,))
            st.button("Take theirs", key="notes_theirs", on_click=take)
    else:
        right.button("Save", key="notes_save", icon=":material/save:", type="primary", on_click=save, args=(seen,))


def _saved(run: Run) -> dict[str, str]:
    found = run.notes()
    return {"name": found["name"], "tags": ", ".join(found["tags"]), "note": found["note"]}


def _change(before: str, after: str) -> tuple[list[str], list[str]]:
    """Tags that were added and taken away."""
    old, new = ([word.strip() for word in text.split(",") if word.strip()] for text in (before, after))
    return [tag for tag in new if tag not in old], [tag for tag in old if tag not in new]
