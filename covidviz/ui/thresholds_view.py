"""The threshold of a class, its curves, and the images that change side: a part of the Run page.

The browser computes what follows from a threshold; here is what it starts from, and what is kept: the choice in the
link, and what is saved with the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.store.reader import Run
from covidviz.store.thresholds import Chosen, read_thresholds, save_thresholds
from covidviz.ui import flash, nav, queries, state
from covidviz.ui.components.thresholds import thresholds as component
from covidviz.ui.results import SPLIT_TITLES, Results
from covidviz.ui.run_view import best
from covidviz.ui.text import ago, md, shorten, state_text
from covidviz.ui.thresholds_data import choices_of, drawn, key, left_out_sentence, scores

__all__ = ["thresholds"]

FEW = 6  # classes that are offered side by side
MOST_RUNS = 6  # other runs in the curves
TRAINED = "off"  # in the link: no threshold, whatever is saved
DRAFTS = "_thresholds"  # session: {run id: {class: Choice}}, to come back to when another class was looked at
OPEN = "threshold_open"  # session: the image that was clicked

Choice = tuple[float | None, float | None]  # threshold (None: as trained) and cost of a miss (None: by hand)


def thresholds(run: Run, found: Results, split: str, intervals: bool) -> None:
    """Everything about the threshold of one class on one split."""
    of = scores(run, split)
    if note := left_out_sentence(of.left_out, found.splits[split]):
        st.caption(note)
    if not of.ids:
        st.info("No image has probabilities that are numbers, so no threshold can be judged. Labels and curves of the "
                "run are still there.", icon=":material/info:")  # fmt: skip
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="threshold_head"):
        name = _class_choice(run, found)
        others = _runs_choice(run)
    k = found.classes.index(name)
    saved = read_thresholds(run.dir)
    choice = _choice_of(name, saved)
    chooses = split == "val" or "val" not in found.splits
    among = choices_of(run, name) if chooses else None
    curves, missing = _curves(run, others, split, name)
    if missing:
        names = ", ".join(md(shorten(one, 40)) for one in missing)
        st.caption(f"No curve of {names}: no predictions of {md(name)} on this split.")

    def settled(threshold: object, cost: object) -> None:
        _keep(run, name, _checked(threshold, cost))

    def saves(threshold: object, cost: object) -> None:
        chosen = _checked(threshold, cost)
        _keep(run, name, chosen)
        _save(run, found, name, chosen)

    def opened(sample_id: str) -> None:
        st.session_state[OPEN] = sample_id

    component(
        {
            "id": f"{run.id} {name}",
            "url": f"/scores/{run.id}/{split}?v={key(run, split)}",
            "base": f"/img/{run.id}/",
            "classes": list(found.classes),
            "single": found.task == "single-label",
            "k": k,
            "split": SPLIT_TITLES[split].lower(),
            "frozen": not chooses,
            "saves": "val" in found.splits and chooses,
            "threshold": choice[0],
            "cost": choice[1],
            "saved": _saved_document(run, saved.get(name)),
            "replaces": _replaced(found, name, saved),
            "choices": None
            if among is None
            else {"t": among.thresholds.tolist(), "fp": among.fp.tolist(), "fn": among.fn.tolist()},
            "curves": curves,
            "intervals": intervals,
        },
        key="thresholds",
        on_settled=settled,
        on_save=saves,
        on_open=opened,
    )
    if sample_id := st.session_state.pop(OPEN, None):
        here = state.params(run=run.id, split=split, cell=None, cls=None, order=None, img=sample_id)
        st.switch_page(nav.IMAGES, query_params=here)


# --- what is chosen


def _choice_of(name: str, saved: Mapping[str, Chosen]) -> Choice:
    """The link's threshold of the class `name`, else what is saved with the run."""
    told = state.get("t")
    if told is not None and state.get("k") in (None, name):
        linked = _checked(told, state.get("cost"))
        if told == TRAINED or linked[0] is not None:
            return linked
    one = saved.get(name)
    return (None, None) if one is None else (one.value, one.cost_ratio)


def _checked(threshold: object, cost: object) -> Choice:
    """What a browser or link says, without what makes no sense."""
    value, ratio = _number(threshold), _number(cost)
    if value is None or not 0 <= value <= 1:
        return None, None
    return value, ratio if ratio is not None and ratio > 0 else None


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _keep(run: Run, name: str, choice: Choice) -> None:
    st.session_state.setdefault(DRAFTS, {}).setdefault(run.id, {})[name] = choice
    state.link(run=run.id, view="thresholds", k=name, **_linked(choice))


def _linked(choice: Choice | None) -> dict[str, str | None]:
    if choice is None:
        return {"t": None, "cost": None}
    threshold, cost = choice
    return {"t": TRAINED if threshold is None else f"{threshold!r}", "cost": None if cost is None else f"{cost!r}"}


def _save(run: Run, found: Results, name: str, choice: Choice) -> None:
    """With the run, or take it away where it is as trained. A single-label run has one threshold at most."""
    kept = {} if found.task == "single-label" else read_thresholds(run.dir)
    kept.pop(name, None)
    threshold, cost = choice
    if threshold is not None:
        kept[name] = Chosen(threshold, "val", cost, best(run)[0])
    try:
        save_thresholds(run.dir, kept)
    except CovidvizError as error:
        flash.say(error, "error")
        return
    flash.say("Threshold saved with the run." if threshold is not None else "The saved threshold is forgotten.")


def _saved_document(run: Run, one: Chosen | None) -> dict[str, Any] | None:
    if one is None:
        return None
    words = f"saved {ago(one.saved)}" if one.saved is not None else "saved"
    words += f", chosen on {SPLIT_TITLES.get(one.split, one.split).lower()}"
    now = best(run)[0]
    if one.epoch is not None and now is not None and one.epoch != now:
        words += f" for the weights of epoch {one.epoch}; these are of epoch {now}"
    return {"t": one.value, "cost": one.cost_ratio, "words": words}


def _replaced(found: Results, name: str, saved: dict[str, Chosen]) -> str:
    """Single-label: the other class whose saved threshold this one would replace; else empty."""
    if found.task != "single-label":
        return ""
    return next((other for other in found.classes if other != name and other in saved), "")


# --- what is shown


def _class_choice(run: Run, found: Results) -> str:
    usual = found.critical if found.critical in found.classes else found.classes[0]
    name = state.get("k", found.classes, usual) or usual

    def changed() -> None:
        chosen = st.session_state["threshold_class"]
        draft = st.session_state.get(DRAFTS, {}).get(run.id, {}).get(chosen)
        state.link(run=run.id, view="thresholds", k=chosen, **_linked(draft))

    st.session_state["threshold_class"] = name
    if len(found.classes) <= FEW:
        st.segmented_control(
            "Threshold of", list(found.classes), key="threshold_class", required=True, on_change=changed,
            format_func=lambda one: md(shorten(one, 30)), label_visibility="collapsed",
        )  # fmt: skip
    else:
        st.selectbox("Threshold of", list(found.classes), key="threshold_class", on_change=changed, width=240,
                     label_visibility="collapsed")  # fmt: skip
    return name


def _runs_choice(run: Run) -> list[str]:
    known = {one.run_id: one for one in queries.index().snapshot(max_age=2.0).runs}
    offered = [one.run_id for one in known.values() if one.state == "completed" and one.run_id != run.id]
    if not offered:
        return []
    kept = [one for one in st.session_state.get("threshold_runs", []) if one in offered]
    st.session_state["threshold_runs"] = kept

    def title(run_id: str) -> str:
        one = known[run_id]
        return f"{state_text(one.state).shape} {shorten(one.name, 50)} · {ago(one.created)}"

    return st.multiselect(
        "Other runs in the curves", offered, key="threshold_runs", format_func=title, max_selections=MOST_RUNS,
        placeholder="Other runs in the curves", persist_state="session", width=420, label_visibility="collapsed",
    )  # fmt: skip


def _curves(run: Run, others: list[str], split: str, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The curves of this run and of others, and the names of those that have none."""
    names = {one.run_id: one.name for one in queries.index().snapshot(max_age=2.0).runs}
    shown: list[dict[str, Any]] = []
    missing = []
    own = drawn(run, split, name)
    for run_id in [run.id, *others]:
        one = queries.run(run_id)
        line = own if run_id == run.id else None if one is None else drawn(one, split, name)
        if line is None or own is None:
            missing.append(names.get(run_id, run_id))
            continue
        shown.append(
            {
                "name": names.get(run_id, run_id),
                "roc": line.roc,
                "pr": line.pr,
                "auc": line.auc,
                "auc_ends": line.auc_ends,
                "ap": line.average_precision,
                "n": line.positives + line.negatives,
                "positives": line.positives,
                "same": line.images == own.images,
            }
        )
    return shown, missing
