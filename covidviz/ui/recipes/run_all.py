"""On what to run a report's recipes, how much of them, and the button that queues them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import streamlit as st

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.errors import CovidvizError, InputError
from covidviz.jobs import estimate as costs
from covidviz.jobs.devices import Slot, slots
from covidviz.jobs.many_recipes import Plan, config_for, plan, submit_all
from covidviz.paths import runs_dir
from covidviz.recipes.load import Recipe, Report
from covidviz.store.index import RunSummary
from covidviz.ui import datasets, flash, phantoms, queries
from covidviz.ui import form as forms
from covidviz.ui.new_run.summary import roughly
from covidviz.ui.text import md, shorten
from covidviz.weights_cache import can_fetch, is_cached

__all__ = ["Place", "config_of", "new_run_link", "place", "queue_all", "start"]

SIZES = {"As in the recipe": None, "128 px": 128, "96 px": 96, "64 px": 64}
EPOCHS = {"As in the recipe": None, "At most 5": 5, "At most 3": 3, "1": 1}
AUGMENTS = {"As in the recipe": None, "Flip": "flip", "None": "none"}
STARTS = {"As in the recipe": None, "From scratch": "none"}
LISTED = 6  # names of what is left out


@dataclass(frozen=True)
class Place:
    """Where and how the recipes of a report are to be run: `changes` shorten them, `classes` are the dataset's."""

    data: str
    classes: tuple[str, ...]
    changes: Mapping[str, Any]


def place(report: Report) -> Place | None:
    """Draw the choice of dataset and of shortcuts; None while no dataset fits (the person is told why)."""
    offered = datasets.offered()
    wanted = st.query_params.get("data") or (offered[0] if offered else None)
    if wanted and wanted not in offered:
        offered = [*offered, wanted]
    if st.session_state.get("recipes_data") != wanted:
        st.session_state["recipes_data"] = wanted
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="recipes_place"):
        st.selectbox(
            "Run here on", offered, format_func=datasets.title, key="recipes_data", index=None, on_change=_chosen,
            accept_new_options=True, placeholder="Choose a dataset, or type a path", width=230,
        )  # fmt: skip
        size = st.selectbox("Image size", list(SIZES), key="recipes_size", persist_state="session", width=160)
        epochs = st.selectbox("Epochs", list(EPOCHS), key="recipes_epochs", persist_state="session", width=160)
        augment = st.selectbox(
            "Augmentation", list(AUGMENTS), key="recipes_augment", persist_state="session", width=165
        )
        start = st.selectbox(
            "Starting weights", list(STARTS), key="recipes_weights", persist_state="session", width=160
        )
    if phantoms.wanted(datasets.offered()):
        phantoms.offer()
    if not wanted:
        st.caption("Choose a dataset to run recipes on. Until then the published numbers speak for themselves.")
        return None
    changes = {"image_size": SIZES[size], "augment": AUGMENTS[augment], "weights": STARTS[start],
               "most_epochs": EPOCHS[epochs]}  # fmt: skip
    try:
        path = datasets.find(wanted)
        classes = datasets.as_it_is(path, "split").classes
        first = config_for(report, report.recipes[0], str(path), classes)
    except InputError as error:
        text = str(error)
        st.error(md(text[:1].upper() + text[1:]), icon=":material/error:")
        return None
    if first.label_rule != report.recipes[0].settings.get("label_rule"):
        st.caption(md(f"The classes of this dataset ({', '.join(classes)}) are read by label rule {first.label_rule}."))
    return Place(str(path), classes, {name: value for name, value in changes.items() if value is not None})


def _chosen() -> None:
    st.query_params["data"] = st.session_state["recipes_data"] or ""


def config_of(report: Report, recipe: Recipe, where: Place, *, described: bool = False) -> TrainConfig:
    """The settings of one recipe there.

    Raises:
        InputError: it does not fit the dataset, or there is no such variant.
    """
    changes = {name: value for name, value in where.changes.items() if name != "most_epochs"}
    config = config_for(report, recipe, where.data, where.classes, described=described, **changes)
    most = where.changes.get("most_epochs")
    return config if most is None or config.epochs <= most else config.replace(epochs=most)


def start(report: Report, recipe: Recipe, where: Place, *, described: bool) -> None:
    """Queue one recipe (in a callback)."""
    try:
        config = config_of(report, recipe, where, described=described)
        submit_all([config], runs_dir())
    except CovidvizError as error:
        flash.say(error, "error")
        return
    queries.index().refresh()
    flash.say(f"{config.name} is in the queue.")


def queue_all(report: Report, where: Place, runs: Sequence[RunSummary]) -> None:
    """Draw the button with what it will do."""
    try:
        found = _plan(report, where, runs)
    except InputError as error:
        st.error(md(str(error)), icon=":material/error:")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="recipes_all"):
        st.button(_label(found, len(report.recipes)), key="recipes_run_all", icon=":material/playlist_play:",
                  type="primary", disabled=not found.todo, on_click=_queue, args=(report, where, found))  # fmt: skip
        st.markdown(md(_forecast(found)), width="stretch")
    if found.skipped:
        reasons: dict[str, list[str]] = {}
        for name, why in found.skipped:
            reasons.setdefault(why, []).append(name.partition("/")[2])
        lines = [f"Left out, {why}: {_some(names)}." for why, names in reasons.items()]
        st.caption("  \n".join(md(line) for line in lines))


def _label(found: Plan, everything: int) -> str:
    if len(found.todo) == everything:
        return f"Run all {everything} of this report"
    return f"Run the other {len(found.todo)}" if found.todo else "All of this report ran or runs"


def _forecast(found: Plan) -> str:
    if not found.todo:
        return ""
    if found.seconds is None or found.low is None or found.high is None:
        time = "Time unknown before the first run on this device."
    else:
        time = f"About {roughly(found.seconds)} in all ({roughly(found.low)} to {roughly(found.high)})."
    parts = [time]
    if found.alike:
        parts.append(f"{found.alike} of them find what an earlier one computed with frozen layers.")
    fetch = sorted({one.model for one in found.todo if one.weights == "imagenet" and not is_cached(one.model)})
    if fetch:
        named = " and ".join(MODELS[one].title for one in fetch)
        parts.append(f"ImageNet weights of {named} are not on this machine: they are downloaded first.")
    return " ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _plan(report: Report, where: Place, runs: Sequence[RunSummary], missing: Sequence[str] = ()) -> Plan:
    configs = [config_of(report, recipe, where) for recipe in report.recipes]
    manifest = datasets.of_config(configs[0])
    counts = _counts(manifest)
    shot = queries.index().snapshot(max_age=5)
    known = {model: costs.learn(runs_dir(), shot.runs, model) for model in {one.model for one in configs}}
    return plan(
        configs, runs, counts, known, _slots(), memory=float(psutil.virtual_memory().total), missing_weights=missing
    )


def _counts(manifest: Manifest) -> dict[str, int]:
    return {split: int(row["n"]) for split, row in manifest.counts().items()}  # type: ignore[arg-type]


@st.cache_resource(show_spinner=False)
def _slots() -> list[Slot]:
    return slots()


def _queue(report: Report, where: Place, found: Plan) -> None:
    """In the callback: what can't start for want of weights is found out now, not on each look at the page."""
    models = {one.model for one in found.todo if one.weights == "imagenet"}
    missing = [model for model in sorted(models) if not is_cached(model) and not can_fetch(model)]
    try:
        now = _plan(report, where, queries.index().refresh(), missing)
        made = submit_all(now.todo, runs_dir())
    except CovidvizError as error:
        flash.say(error, "error")
        return
    queries.index().refresh()
    without = [name for name, why in now.skipped if "ImageNet" in why]
    if without:
        names = shorten(", ".join(without), 200)
        flash.say(
            f"Left out, as ImageNet weights are neither here nor to be had: {names}. Choose From scratch.", "error"
        )
    if made:
        flash.say(f"{len(made)} runs are in the queue." if len(made) > 1 else "1 run is in the queue.")


def new_run_link(config: TrainConfig) -> str:
    """The New run page with these settings."""
    return forms.link(forms.Form(forms.differing(config.model_dump())))
