"""The Focal loss page: what a loss asks of a network, a faulty one, and what mistakes in evaluating do to a score."""

from __future__ import annotations

from typing import Any

import streamlit as st

from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.ui import flash, queries, state
from covidviz.ui.components.batch_focal import batch_focal
from covidviz.ui.components.focal import focal
from covidviz.ui.focal import mistakes, settings
from covidviz.ui.focal.sources import BUILT_IN, Source, built_in, of_run
from covidviz.ui.results import SPLIT_TITLES, Results, results
from covidviz.ui.text import ago, md, shorten, state_text

__all__ = ["body"]

VIEWS = {
    "loss": "Loss and gradient",
    "batch": "A faulty focal loss",
    "mistakes": "What would the score have been?",
}
FEW = 6  # classes that are offered side by side


def body() -> None:
    """Draw the page."""
    view = state.get("view", VIEWS, "loss") or "loss"
    st.session_state["focal_view"] = view
    head = st.container(horizontal=True, vertical_alignment="center", gap="medium", key="focal_top")
    head.title("Focal loss", anchor=False, width="content")
    head.segmented_control(
        "What to look at", list(VIEWS), key="focal_view", format_func=VIEWS.__getitem__, required=True,
        on_change=lambda: state.link(view=st.session_state["focal_view"]), label_visibility="collapsed",
    )  # fmt: skip
    flash.show()
    if view == "batch":
        _batch()
        return
    runs = {row.run_id: row for row in queries.index().snapshot(max_age=2.0).runs if row.state == "completed"}
    if view == "mistakes":
        mistakes.section(runs)
    else:
        _playground(runs)


def _playground(runs: dict[str, RunSummary]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="focal_head"):
        run, found, chosen = _source_choice(runs)
        if run is not None and found is not None:
            split = _split_choice(found)
            source = of_run(run, found, split)
        else:
            source = built_in(chosen)
        name = _class_choice(source)
    k = source.classes.index(name)
    sliders = settings.controls(name, *source.counts[k])

    def settled(values: dict[str, Any]) -> None:
        state.link(f=settings.encode(settings.accepted(values, sliders)))

    focal(
        {
            "id": f"{source.id} {name}", "controls": sliders, "settings": settings.decode(state.get("f"), sliders),
            "classes": list(source.classes), "k": k, "counts": [list(pair) for pair in source.counts],
            "url": source.url, "made_up": source.made_up,
        },
        key="focal", on_settled=settled,
    )  # fmt: skip
    st.caption(md(source.note))
    st.caption(
        "Losses: Lin et al. 2017 (focal), Cui et al. 2019 (class-balanced), Ridnik et al. 2021 (asymmetric). What a "
        "said probability stands for: Charoenphakdee et al. 2021, Mukhoti et al. 2020; it holds for a network that has "
        "learned all there is to learn, and real ones come near it only on many images."
    )


def _batch() -> None:
    st.markdown(
        "One course report computed its “focal loss” once per batch, from the mean binary cross-entropy B: "
        "(1 − exp(−B))^γ · ln B. It is in this program as `batch_focal`, marked *for teaching*."
    )
    batch_focal({"controls": settings.batch_controls()}, key="batch_focal")


# --- whose probabilities


def _source_choice(runs: dict[str, RunSummary]) -> tuple[Run | None, Results | None, str]:
    """A run with its results, or none and the name of a built-in source."""
    asked, built = state.current_run(), state.get("from", BUILT_IN)
    if asked is None and built is None and state.asked_run() is not None:
        st.caption("The run in the link is gone; this is the made-up example.")
        built = "example"
    known = built or asked or next(iter(runs), "example")
    options = [*BUILT_IN, *runs, *([known] if known not in runs and known not in BUILT_IN else [])]

    def title(one: str) -> str:
        row = runs.get(one)
        if row is None:
            return BUILT_IN.get(one, one)
        return f"{state_text(row.state).shape} {shorten(row.name, 50)} · {ago(row.created)}"

    def changed() -> None:
        one = st.session_state["focal_source"]
        gone = {"f": None, "k": None, "split": None}
        if one in BUILT_IN:
            state.link(run=None, **{**gone, "from": one})
        else:
            state.link(run=one, **{**gone, "from": None})

    st.session_state["focal_source"] = known
    st.selectbox("Predictions of", options, key="focal_source", format_func=title, on_change=changed, width=360,
                 label_visibility="collapsed")  # fmt: skip
    if known in BUILT_IN:
        return None, None, known
    run = queries.run(known)
    found = None if run is None else results(run)
    if run is None or found is None:
        st.caption("This run has no predictions (yet): the made-up example is shown.")
        return None, None, "example"
    return run, found, known


def _split_choice(found: Results) -> str:
    usual = next(iter(found.splits))
    split = state.get("split", found.splits, usual) or usual
    st.session_state["focal_split"] = split
    st.segmented_control("Images", list(found.splits), key="focal_split", required=True,
                         label_visibility="collapsed",
                         format_func=SPLIT_TITLES.__getitem__,
                         on_change=lambda: state.link(split=st.session_state["focal_split"]))  # fmt: skip
    return split


def _class_choice(source: Source) -> str:
    usual = source.critical if source.critical in source.classes else source.classes[0]
    name = state.get("k", source.classes, usual) or usual

    def changed() -> None:
        state.link(k=st.session_state["focal_class"], f=settings.encode(settings.carried(state.get("f"))))

    st.session_state["focal_class"] = name
    if len(source.classes) <= FEW:
        st.segmented_control("Label", list(source.classes), key="focal_class", required=True, on_change=changed,
                             label_visibility="collapsed",
                             format_func=lambda one: md(shorten(one, 30)))  # fmt: skip
    else:
        st.selectbox("Label", list(source.classes), key="focal_class", on_change=changed, width=240,
                     label_visibility="collapsed")  # fmt: skip
    return name
