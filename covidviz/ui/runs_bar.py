"""What can be done with the selected runs: a bar that comes up below the table once one is ticked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from covidviz.store import layout
from covidviz.store.index import RunSummary
from covidviz.ui import nav, notes_form, queries, run_actions, runs_table, undo
from covidviz.ui.report_view import report_button
from covidviz.ui.text import md, shorten, state_text

__all__ = ["bar"]

MOST = 20  # runs that can be compared at once


def bar(runs: dict[str, RunSummary], visible: set[str]) -> None:
    """The bar for the selected runs, or the way back after a deletion, or nothing."""
    st.session_state[runs_table.SELECTED] = [run_id for run_id in runs_table.selected() if run_id in runs]
    chosen = [runs[run_id] for run_id in runs_table.selected()]
    if not chosen:
        if undo.pending():
            with _box():
                undo.line()
        return
    with _box():
        _what(chosen, len({run.run_id for run in chosen} - visible))
        _buttons(chosen)


def _box() -> st.delta_generator.DeltaGenerator:
    return st.container(horizontal=True, vertical_alignment="center", key="runs_bar", border=True, gap="small")


def _what(chosen: Sequence[RunSummary], hidden: int) -> None:
    if len(chosen) == 1:
        text = f"**{md(shorten(chosen[0].name, 30))}**"
    else:
        text = f"**{len(chosen):,} runs**"
    with st.container(horizontal=True, vertical_alignment="center", width="content", gap="xsmall", key="runs_what"):
        st.button("Select none", key="runs_none", icon=":material/close:", type="tertiary", on_click=_none)
        st.markdown(text + (f" :gray[({hidden:,} not shown)]" if hidden else ""), width="content")


def _none() -> None:
    st.session_state[runs_table.SELECTED] = []


def _buttons(chosen: Sequence[RunSummary]) -> None:
    ids = [run.run_id for run in chosen]
    one = chosen[0] if len(chosen) == 1 else None
    live = [run.run_id for run in chosen if state_text(run.state).live]
    rest = [run.run_id for run in chosen if run.state in layout.RESUMABLE]
    if one is not None:
        if st.button("Open", key="runs_do_open", type="primary", icon=":material/open_in_full:"):
            st.switch_page(nav.RUN, query_params={"run": one.run_id})
    elif st.button(
        "Compare", key="runs_do_compare", type="primary", icon=":material/compare_arrows:", disabled=len(ids) > MOST,
        help=f"Up to {MOST} runs at once." if len(ids) > MOST else None,
    ):  # fmt: skip
        st.switch_page(nav.COMPARE, query_params={"runs": ",".join(ids)})
    if any(run.state == "completed" for run in chosen):
        report_button(ids, key="runs_do_report")
    if live:
        st.button(_counted("Stop", live, ids), key="runs_do_stop", icon=":material/stop_circle:",
                  on_click=run_actions.stop, args=(live,))  # fmt: skip
    if rest:
        st.button(_counted("Resume", rest, ids), key="runs_do_resume", icon=":material/resume:",
                  on_click=run_actions.resume, args=(rest,))  # fmt: skip
    if (
        one is not None
        and one.state != "broken"
        and st.button("Clone", key="runs_do_clone", icon=":material/content_copy:")
    ):
        st.switch_page(nav.NEW_RUN, query_params={"clone": one.run_id})
    _tags(chosen)
    if one is not None:
        notes_form.popover(one.run_id, one.name, one.note)
    away = all(run.archived for run in chosen)
    st.button("Unarchive" if away else "Archive", key="runs_do_archive", icon=":material/archive:",
              on_click=run_actions.archive, args=(ids, not away))  # fmt: skip
    if not live:
        st.button("Delete", key="runs_do_delete", icon=":material/delete:", on_click=run_actions.delete, args=(ids,))


def _counted(word: str, some: Sequence[str], of: Sequence[str]) -> str:
    return word if len(some) == len(of) else f"{word} {len(some)}"


def _tags(chosen: Sequence[RunSummary]) -> None:
    """Tags of all the selected runs at once: those they share can be taken away, new ones are added."""
    ids = [run.run_id for run in chosen]
    box = st.popover("Tags", key="runs_do_tags", icon=":material/label:", on_change="rerun")
    if not box.open:
        return
    counts = Counter(tag for run in chosen for tag in run.tags)
    shared = [tag for tag, n in counts.items() if n == len(chosen)]
    known = sorted({*_all_tags(), *counts})
    key = f"runs_tags_{hash(tuple(ids)) & 0xFFFFFFFF:x}"

    def save() -> None:
        wanted = st.session_state[key]
        run_actions.tag(ids, add=[t for t in wanted if t not in shared], remove=[t for t in shared if t not in wanted])

    with box, st.form("runs_tags", border=False):
        st.multiselect(
            "Tags of the run" if len(ids) == 1 else f"Tags of all {len(ids)} runs", known, shared, key=key,
            accept_new_options=True, placeholder="Pick or type", width=320,
        )  # fmt: skip
        some = [tag for tag in counts if tag not in shared]
        if some:
            st.caption(f"On some of them: {md(shorten(', '.join(some), 120))}")
        st.form_submit_button("Save", key="runs_tags_save", type="primary", on_click=save)


def _all_tags() -> list[str]:
    return [tag for run in queries.index().snapshot(max_age=60).runs for tag in run.tags]
