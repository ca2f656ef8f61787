"""The Runs page: filters, actions on the selected runs, the table; it refreshes itself only while something runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from covidviz.paths import runs_dir
from covidviz.store import layout
from covidviz.store.index import RunSummary
from covidviz.ui import demo_start, flash, nav, queries, run_actions, runs_table, server, undo
from covidviz.ui.text import STATES, ago, md, shorten, state_text

__all__ = ["body"]

REFRESH_S = 2
ARCHIVED = "archived"


def body() -> None:
    """The whole page."""
    now = queries.index().snapshot()
    title, new = st.columns([4, 1], vertical_alignment="center")
    title.title("Runs", anchor=False)
    if new.button(
        "New run", key="runs_new", type="primary" if now.runs else "secondary", icon=":material/add:", width="stretch"
    ):
        st.switch_page(nav.NEW_RUN)
    if not now.runs:
        demo_start.empty_page()
        return
    live = _live(now.runs)
    st.fragment(_board, run_every=REFRESH_S if live else None)(live, [now])


def _live(runs: Sequence[RunSummary]) -> bool:
    return demo_start.running() or any(state_text(run.state).live for run in runs)


def _board(live: bool, fresh: list[queries.Snapshot]) -> None:
    """The live part. `fresh` holds the runs as the page has just read them; each later refresh reads again."""
    if run_id := st.session_state.pop(runs_table.OPEN, None):
        st.switch_page(nav.RUN, query_params={"run": run_id})
    now = fresh.pop() if fresh else queries.index().snapshot()
    if not now.runs or _live(now.runs) != live:
        st.rerun()  # the whole page, so that polling begins or ends
    if any(run.state == "queued" for run in now.runs):
        server.keep_queue(runs_dir())
    flash.show()
    demo_start.strip()
    table = runs_table.build(str(runs_dir()), now.version, now.runs)
    rows = _filters(table)
    _actions({run.run_id: run for run in now.runs}, {table.ids[i] for i in rows})
    if rows:
        runs_table.show(table, rows)
    else:
        st.caption("No run matches. Clear the search or the states above to see all.")


def _filters(table: runs_table.Table) -> list[int]:
    """The rows that are asked for. The last pill shows what was archived instead."""
    counts = Counter(state for state, away in zip(table.states, table.archived, strict=True) if not away)
    options = [state for state in (*STATES, *sorted(set(counts).difference(STATES))) if counts[state]]
    if away := sum(table.archived):
        counts[ARCHIVED] = away
        options.append(ARCHIVED)
    with st.container(horizontal=True, vertical_alignment="center", key="runs_filters"):
        text = st.text_input(
            "Find runs", key="runs_text", type="search", placeholder="Find by name, network, loss, tag", live="200ms",
            label_visibility="collapsed", width=290, persist_state="session",
        )  # fmt: skip
        picked = st.pills(
            "State", options, selection_mode="multi", key="runs_states", label_visibility="collapsed",
            format_func=lambda state: f"{state_text(state).label} {counts[state]:,}", persist_state="session",
        )  # fmt: skip
    states = set(picked or [])
    return runs_table.matching(table, text or "", states - {ARCHIVED}, ARCHIVED in states)


def _actions(runs: dict[str, RunSummary], visible: set[str]) -> None:
    """What can be done with the selected runs. Always in its place, so that nothing jumps when one is ticked."""
    st.session_state[runs_table.SELECTED] = [run_id for run_id in runs_table.selected() if run_id in runs]
    chosen = [runs[run_id] for run_id in runs_table.selected()]
    ids = [run.run_id for run in chosen]
    one = chosen[0] if len(chosen) == 1 else None
    with st.container(horizontal=True, vertical_alignment="center", key="runs_actions", gap="small"):
        if st.button("Open", key="runs_do_open", disabled=one is None, icon=":material/open_in_full:") and one:
            st.switch_page(nav.RUN, query_params={"run": one.run_id})
        st.button("Stop", key="runs_do_stop", icon=":material/stop_circle:", on_click=run_actions.stop, args=(ids,),
                  disabled=not any(state_text(run.state).live for run in chosen))  # fmt: skip
        st.button("Resume", key="runs_do_resume", icon=":material/resume:", on_click=run_actions.resume, args=(ids,),
                  disabled=not chosen or any(run.state not in layout.RESUMABLE for run in chosen))  # fmt: skip
        if st.button("Clone", key="runs_do_clone", icon=":material/content_copy:",
                     disabled=one is None or one.state == "broken") and one:  # fmt: skip
            st.switch_page(nav.NEW_RUN, query_params={"clone": one.run_id})
        _edit(one)
        away = bool(chosen) and all(run.archived for run in chosen)
        st.button("Unarchive" if away else "Archive", key="runs_do_archive", icon=":material/archive:",
                  on_click=run_actions.archive, args=(ids, not away), disabled=not chosen)  # fmt: skip
        st.button("Delete", key="runs_do_delete", icon=":material/delete:", on_click=run_actions.delete, args=(ids,),
                  disabled=not chosen or any(state_text(run.state).live for run in chosen))  # fmt: skip
    _selection_line(chosen, one, len(set(ids) - visible))


def _selection_line(chosen: Sequence[RunSummary], one: RunSummary | None, hidden: int) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", key="runs_selection", height=30, border=False, gap="small"
    ):
        if not chosen:
            if not undo.line():
                st.caption("Tick runs to stop, resume, edit or delete them.")
        elif one is not None:
            look = state_text(one.state)
            st.badge(look.label, color=look.color)  # type: ignore[arg-type]
            # One line that ends before the table's own toolbar, which floats over its right end.
            reason = md(shorten(one.error or one.note, 70))
            st.markdown(f"**{md(shorten(one.name, 40))}** :gray[{md(ago(one.created))}] {reason}", width="stretch")
        else:
            st.markdown(f"{len(chosen)} runs selected" + (f", {hidden} of them not shown" if hidden else ""))


def _edit(run: RunSummary | None) -> None:
    with st.popover("Edit", key="runs_do_edit", icon=":material/edit:", disabled=run is None):
        if run is None:
            return
        keys = {field: f"runs_edit_{field}_{run.run_id}" for field in ("name", "tags", "note")}

        def save() -> None:
            run_actions.edit(run.run_id, **{field: st.session_state[key] for field, key in keys.items()})

        with st.form(f"runs_edit_{run.run_id}", border=False):
            st.text_input("Name", run.name, key=keys["name"], max_chars=200)
            st.text_input("Tags", ", ".join(run.tags), key=keys["tags"], placeholder="words, joined by commas")
            st.text_area("Note", run.note, key=keys["note"], max_chars=5000)
            st.form_submit_button("Save", key=f"runs_save_{run.run_id}", type="primary", on_click=save)
