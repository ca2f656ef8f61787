"""The page: a report's claim, its table, the runs made from its recipes here, and the way to make more."""

from __future__ import annotations

from typing import Any

import streamlit as st

from covidviz.recipes.load import Report, recipes, reports
from covidviz.recipes.worth import of_report
from covidviz.ui import flash, nav, queries
from covidviz.ui.components.recipes import recipes as table
from covidviz.ui.recipes import run_all
from covidviz.ui.recipes.made import made
from covidviz.ui.recipes.rows import OPEN, columns, rows
from covidviz.ui.text import md

__all__ = ["body"]

POLL_S = 3.0
DEFAULT = "bscs17028"


def body() -> None:
    """The whole page."""
    st.html(nav.ASSETS / "recipes.css")
    st.title("Recipes", anchor=False)
    report = _chosen()
    _claim(report)
    where = run_all.place(report)
    _table(report, where)
    _notes(report)


def _chosen() -> Report:
    known = reports()
    asked = st.query_params.get("report")
    # A recipe's report may be named too: its first part is meant.
    part = asked if asked in known else next((p for p in known if asked and known[p].key == asked), DEFAULT)
    if st.session_state.get("recipes_report") != part:
        st.session_state["recipes_report"] = part

    def changed() -> None:
        if chosen := st.session_state["recipes_report"]:
            st.query_params["report"] = chosen

    st.segmented_control("Report", list(known), format_func=lambda one: known[one].title, key="recipes_report",
                         on_change=changed, required=True)  # fmt: skip
    return known[part]


def _claim(report: Report) -> None:
    with st.container(border=True, key="recipes_claim", gap="xsmall"):
        st.markdown(md(report.summary))
        st.markdown(f"**{md('Its claim: ' + report.claim['text'])}**")
        first, *rest = of_report(report)
        st.markdown("\n".join(f"- {md(line)}" for line in (first, *rest)))


def _table(report: Report, where: run_all.Place | None) -> None:
    busy = _busy(report)

    @st.fragment(run_every=POLL_S if busy else None)
    def shown() -> None:
        flash.show()
        if _busy(report) != busy:
            st.rerun()
        shot = queries.index().snapshot(max_age=1)
        if where is not None:
            run_all.queue_all(report, where, shot.runs)
        own = made(report, shot.runs)
        table(
            rows(report, own), columns(report), split=report.split, can_run=where is not None, key="recipes_table",
            links={} if where is None else _links(report, where), on_run=lambda name, as_described: _start(
                report, where, name, as_described),
        )  # fmt: skip
        if not own:
            st.caption("No run was made from these recipes here yet. One click runs one; its numbers then stand below "
                       "the published ones.")  # fmt: skip

    shown()


def _busy(report: Report) -> bool:
    own = {one.name for one in report.recipes}
    runs = queries.index().snapshot(max_age=1).runs
    return any(
        one.state in OPEN and str(one.settings.get("recipe", "")).removesuffix("/described") in own for one in runs
    )


def _links(report: Report, where: run_all.Place) -> dict[str, str]:
    return {one.name: run_all.new_run_link(run_all.config_of(report, one, where)) for one in report.recipes}


def _start(report: Report, where: run_all.Place | None, name: str, described: bool) -> None:
    recipe: Any = recipes().get(name)
    if where is not None and recipe is not None and recipe.part == report.part:
        run_all.start(report, recipe, where, described=described and recipe.described is not None)


def _notes(report: Report) -> None:
    with st.container(key="recipes_notes", gap="xsmall"):
        st.header("About this report", anchor=False)
        st.markdown("\n".join(f"- {md(line)}" for line in (*report.notes, f"Source: {report.source}")))
