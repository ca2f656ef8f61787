"""The Compare page: curves, matrices, settings and numbers of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from covidviz.store.index import RunSummary
from covidviz.ui import compare_data, compare_view, flash, nav, queries, state
from covidviz.ui.compare_data import MAX_RUNS, Compared, isolated
from covidviz.ui.compare_effects_view import slider_effects
from covidviz.ui.compare_parallel import parallel
from covidviz.ui.compare_verdict import verdict_and_flips
from covidviz.ui.report_view import report_button
from covidviz.ui.text import ago, md, shorten, state_text

__all__ = ["body"]

POLL_S = 2
MANY = 9  # chosen runs beyond which the list of them scrolls
LAST = "compare_last"  # session: the ids compared last


def body() -> None:
    """The whole page."""
    known = {summary.run_id: summary for summary in queries.index().refresh()}
    chosen, unknown = compare_data.named_in(st.query_params.get("runs"), known)
    head = st.container(horizontal=True, vertical_alignment="center", key="compare_head")
    head.title("Compare", anchor=False, width="stretch")
    st.html(nav.ASSETS / "compare.css")
    if not known:
        st.info("There are no runs yet.", icon=":material/info:")
        st.page_link(nav.RUNS, label="Start with the built-in data", icon=":material/play_circle:")
        return
    _picker(known, chosen[:MAX_RUNS])
    _say_left_out(unknown, chosen[MAX_RUNS:])
    runs = compare_data.compared(chosen[:MAX_RUNS], known)
    if any(one.summary.state == "completed" for one in runs):
        with head:
            report_button([one.id for one in runs], key="compare_report")
    if len(runs) < 2:
        _invite(known, runs)
        return
    st.session_state[LAST] = [one.id for one in runs]
    pair = verdict_and_flips(runs)
    _numbers(runs)
    slider_effects(runs)
    parallel(runs)
    compare_view.settings(runs)
    compare_view.matrices(runs, pair)


def _picker(known: Mapping[str, RunSummary], chosen: Sequence[str]) -> None:
    def title(run_id: str) -> str:
        row = known.get(run_id)
        return (
            run_id
            if row is None
            else f"{state_text(row.state).shape} {isolated(shorten(row.name, 60))} · {ago(row.created)}"
        )

    def changed() -> None:
        _go(st.session_state["compare_runs"])

    st.session_state["compare_runs"] = list(chosen)
    many = len(chosen) > MANY
    with st.container(height=140 if many else "content", border=False, key="compare_picker"):
        st.multiselect(
            "Runs to compare", list(known), key="compare_runs", format_func=title, on_change=changed,
            placeholder="Choose two or more runs", max_selections=MAX_RUNS, label_visibility="collapsed",
        )  # fmt: skip


def _go(run_ids: Sequence[str]) -> None:
    """Put these runs into the link."""
    state.link(runs=",".join(run_ids) or None)


def _say_left_out(unknown: Sequence[str], beyond: Sequence[str]) -> None:
    if unknown:
        names = ", ".join(md(shorten(text)) for text in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        which = "There is no such run" if len(unknown) == 1 else "There are no such runs"
        st.warning(f"{which}, or not any more: {names}{more}.", icon=":material/search_off:")
    if beyond:
        st.warning(f"At most {MAX_RUNS} runs are compared; {len(beyond)} of the link are left out.",
                   icon=":material/filter_alt:")  # fmt: skip


def _invite(known: Mapping[str, RunSummary], runs: Sequence[Compared]) -> None:
    """Fewer than two runs: what to do, and the likeliest choices as buttons."""
    with st.container(border=True, key="compare_invite"):
        if runs:
            st.markdown("**One more.** Choose a second run above to see the two side by side.")
        else:
            st.markdown("**Choose two or more runs** above, or tick them on the Runs page and press Compare.")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            last = [run_id for run_id in st.session_state.get(LAST, []) if run_id in known]
            if not runs and len(last) > 1:
                st.button("The last comparison again", key="compare_again", icon=":material/history:", on_click=_go,
                          args=(last,))  # fmt: skip
            done = [run_id for run_id, row in known.items() if row.state == "completed" and not row.archived]
            offer = [*(one.id for one in runs), *(run_id for run_id in done if run_id not in {o.id for o in runs})][:2]
            if len(offer) == 2:
                label = "With the newest completed run" if runs else "The two newest completed runs"
                st.button(label, key="compare_newest", icon=":material/compare_arrows:", on_click=_go, args=(offer,),
                          type="primary")  # fmt: skip
            st.page_link(nav.RUNS, label="All runs", icon=":material/table_rows:")


def _numbers(runs: Sequence[Compared]) -> None:
    """Curves and metrics, refreshed every two seconds while one of the runs lives, and only then."""
    before = [one.run.status().state for one in runs]
    live = any(state_text(name).live for name in before)

    @st.fragment(run_every=POLL_S if live else None)
    def part() -> None:
        if live and [one.run.status().state for one in runs] != before:
            st.rerun()  # the whole page, with or without the polling
        flash.show()
        compare_view.heads(runs)
        compare_view.curves(runs)

    part()
