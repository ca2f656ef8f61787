"""The settings of a new run while a person works on them: kept in the link, remembered by the session.

The link's `s` holds what differs from the defaults as JSON (`recipe` among it, where they come from one), `clone` the
run they came from, `k` how many seeds; a link with `recipe` alone means its settings. Values are those of
`TrainConfig`, or the text as typed where it can't be read yet. Nothing from a link is used before `TrainConfig.parse`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from covidviz.catalog import LOSSES, MODELS
from covidviz.config import TrainConfig, knob
from covidviz.errors import ConfigError, DataError, InputError, StoreError
from covidviz.jobs.repeat import MOST
from covidviz.recipes.load import find as find_recipe
from covidviz.store.runs import clone_config
from covidviz.ui import datasets, queries, state
from covidviz.ui.recipes import settings as recipe_settings
from covidviz.ui.wording import DEFAULT_LOSS

__all__ = [
    "DEFAULTS", "TYPED", "Form", "change", "changed_by", "check", "decode", "encode", "from_run", "link", "load",
    "read", "repeat", "reset",
]  # fmt: skip

DEFAULTS: dict[str, Any] = {name: knob(name)["default"] for name in TrainConfig.model_fields}
DEFAULTS["data"] = ""
# Fields a person types into: they keep what was typed, with the error beside it. The others only hold valid values.
TYPED = {
    "data", "split_column", "classes", "label_rule", "weights", "head", "trainable", "lr", "backbone_lr",
    "weight_decay", "lr_steps", "batch_size", "monitor", "device", "name", "tags",
}  # fmt: skip
_LONGEST_LINK = 8000
_FIELD = re.compile(rf"; (?=(?:{'|'.join(TrainConfig.model_fields)}): )")


@dataclass
class Form:
    """What the page shows: the values that differ from the defaults, where they came from, what is wrong with them."""

    values: dict[str, Any]
    clone: str | None = None
    origin: dict[str, Any] = field(default_factory=dict)  # the cloned run's or recipe's differences from the defaults
    errors: dict[str, str] = field(default_factory=dict)  # field -> sentence; "" for what concerns no single field
    config: TrainConfig | None = None
    notes: tuple[str, ...] = ()
    repeat: int = 1  # how many runs, with as many seeds

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name, DEFAULTS[name])


def read(name: str, raw: Any) -> Any:
    """`raw` as the type of field `name`, or as given where it can't be read as that."""
    try:
        return getattr(TrainConfig.parse({"data": ".", name: raw}), name)
    except ConfigError:
        return raw


def differing(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not the default, read as their field's type."""
    typed = {name: read(name, raw) for name, raw in values.items()}
    return {name: value for name, value in typed.items() if value != DEFAULTS[name]}


def check(values: Mapping[str, Any]) -> tuple[TrainConfig | None, dict[str, str]]:
    """The settings, or what is wrong by field (`""`: with no single one)."""
    try:
        return TrainConfig.parse({"data": "", **values}), {}
    except ConfigError as error:
        errors: dict[str, str] = {}
        for sentence in _FIELD.split(str(error)):
            name, colon, rest = sentence.partition(": ")
            known = colon and name in TrainConfig.model_fields
            errors.setdefault(name if known else "", rest if known else sentence)
        if not values.get("data"):
            errors["data"] = ""  # nothing chosen yet is no mistake
        return None, errors


def encode(values: Mapping[str, Any]) -> str:
    """For the link: JSON, no more."""
    return json.dumps(dict(values), separators=(",", ":"))


def decode(text: str) -> tuple[dict[str, Any], list[str]]:
    """The values in a link, and what was left out of it and why. Never raises."""
    try:
        given = json.loads(text[:_LONGEST_LINK])
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return {}, ["The settings in this link can't be read; these are the defaults."]
    values, notes = {}, []
    for name, raw in given.items():
        plain = raw is None or isinstance(raw, str | int | float | list)
        if name not in DEFAULTS or not plain:
            notes.append(f"Left out of the link: {str(name)[:40]!r}, which is no setting.")
        elif name == "recipe" and (problem := _unknown_recipe(raw)):
            notes.append(f"Left out of the link: {problem}.")
        elif name in TYPED or _valid(name, raw, given):
            values[name] = raw if not isinstance(raw, list) else tuple(raw)
        else:
            notes.append(f"Left out of the link: {name} {str(raw)[:40]!r}, which is not accepted.")
    return differing(values), notes


def _unknown_recipe(raw: Any) -> str:
    """What is wrong with the name of a recipe in a link; empty where nothing is."""
    try:
        find_recipe(str(raw)[:100])
    except InputError as error:
        return str(error)
    return ""


def _valid(name: str, raw: Any, given: Mapping[str, Any]) -> bool:
    """Whether `raw` is accepted for `name` by itself (how it fits the others is shown at the field)."""
    if name == "loss":
        return raw is None or raw in LOSSES
    context = {"lr_steps": "2:1e-3"} if name == "schedule" else {"task": given.get("task", "single-label")}
    try:
        TrainConfig.parse({"data": ".", **context, name: raw})
    except ConfigError:
        return False
    return True


def from_run(run_dir: Path) -> dict[str, Any]:
    """The settings of a run as differences from the defaults; what had been filled in by itself is left open again.

    Raises:
        StoreError: its config.json can't be read.
    """
    config = clone_config(run_dir)
    values = differing(config.model_dump())
    if config.loss == DEFAULT_LOSS[config.task]:
        values.pop("loss", None)
    if config.critical_class == "covid19":
        values.pop("critical_class", None)
    with contextlib.suppress(DataError):
        if datasets.of_config(config.replace(classes=())).classes == config.classes:
            values.pop("classes", None)
    return values


def load() -> Form:
    """The form of this script run."""
    session = st.session_state
    if session.get("_form_visit") != state.visit():
        # A link without settings means what the page held on arrival, so that Back undoes the first change.
        session["_form_visit"] = state.visit()
        session["_form_base"] = session.get("_form_draft", (None, {}, 1))
    notes: list[str] = []
    clone = st.query_params.get("clone")
    text = st.query_params.get("s")
    recipe = st.query_params.get("recipe")
    times = _times(st.query_params.get("k"))
    if text is None and clone is None and recipe is not None:
        values, notes = _from_recipe(recipe, session["_form_base"][1])
    elif text is None and clone is None:
        clone, values, times = session["_form_base"]
    elif text is not None:
        values, notes = decode(text)
    else:
        values = None
    origin = _origin(clone)
    if clone is not None and origin is None:
        notes.append(f"There is no run {clone[:80]!r} to clone.")
        clone = None
    values = dict(origin or {}) if values is None else dict(values)
    if clone is None:
        origin = _of_recipe(values)
    session["_form_draft"] = (clone, values, times)
    config, errors = check(values)
    return Form(values, clone, origin or {}, errors, config, tuple(notes), times)


def _from_recipe(name: str, before: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What a link that only names a recipe means: its settings, on the dataset that the form held."""
    if problem := _unknown_recipe(name):
        return dict(before), [f"There is no such recipe. {problem[:1].upper()}{problem[1:]}."]
    values, notes = recipe_settings.taken(before, find_recipe(name)[0].variant(
        described=find_recipe(name)[1])["recipe"], _place(before))  # fmt: skip
    return differing(values), notes


def _of_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the recipe in `values` differs from the defaults in, on the dataset there; empty without one."""
    name = values.get("recipe")
    if not name or _unknown_recipe(name):
        return {}
    return differing(recipe_settings.settings_of(name, _place(values))[0])


def _place(values: Mapping[str, Any]) -> str:
    """The path of the chosen dataset, empty where there is none that may be read."""
    try:
        return str(datasets.find(str(values["data"]))) if values.get("data") else ""
    except DataError:
        return ""


def _times(text: str | None) -> int:
    return min(MOST, max(1, int(text))) if text is not None and re.fullmatch(r"[0-9]{1,4}", text) else 1


def _origin(run_id: str | None) -> dict[str, Any] | None:
    run = queries.run(run_id)
    try:
        return None if run is None else from_run(run.dir)
    except StoreError:
        return None


def change(*, by: str | None = None, **raw: Any) -> list[str]:
    """Put what a widget holds into the link (in its callback). Other settings stay, unless they don't fit any more.

    Args:
        by: the widget's key, for `changed_by`.

    Returns:
        What was reset, as sentences.
    """
    if "_form_draft" not in st.session_state:
        load()
    # What the page holds, not the link: in quick succession the browser sends the link from before the last change.
    clone, before, times = st.session_state["_form_draft"]
    values = {**before, **raw}
    if "recipe" in raw:
        clone = None if raw["recipe"] else clone  # it comes from one of both
        values, notes = recipe_settings.taken(before, raw["recipe"], _place(before))
    else:
        notes = _fit(values, set(raw))
    _write(clone, differing(values), times)
    st.session_state["_form_by"] = by
    return notes


def changed_by() -> str | None:
    """The key of the widget that made the last change, if it was one that said so."""
    return st.session_state.get("_form_by")


def repeat(times: int) -> None:
    """Train that many runs (in the callback of the widget)."""
    if "_form_draft" not in st.session_state:
        load()
    clone, values, _ = st.session_state["_form_draft"]
    _write(clone, values, min(MOST, max(1, times)))


def reset() -> None:
    """Back to the cloned run's settings, or to the defaults."""
    form = load()
    keep = {"data": form["data"]} if form["data"] and not form.clone else {}
    _write(form.clone, {**form.origin, **keep}, 1)


def link(form: Form) -> str:
    """The form as a link below the app's address; it holds only what differs."""
    return f"new_run?{urlencode(_params(form.clone, form.values, form.repeat))}"


def _params(clone: str | None, values: Mapping[str, Any], times: int) -> dict[str, str]:
    params = {"clone": clone} if clone else {}
    return {**params, "s": encode(values), **({"k": str(times)} if times > 1 else {})}


def _write(clone: str | None, values: Mapping[str, Any], times: int) -> None:
    st.session_state["_form_draft"] = (clone, dict(values), times)
    st.session_state["_form_by"] = None
    st.session_state.pop("new_refused", None)
    st.query_params.from_dict(_params(clone, values, times))


def _fit(values: dict[str, Any], changed: set[str]) -> list[str]:
    """Reset in `values` what does not fit the changed model, task or optimizer; say so."""
    notes = []
    if "model" in changed:
        try:
            TrainConfig.parse({"data": ".", "model": values["model"], "trainable": values.get("trainable", "head")})
        except ConfigError:
            notes.append(f"{MODELS[values['model']].title} has other layers: trainable is back to the head.")
            values.pop("trainable", None)
        if values.get("weights", "imagenet") not in ("imagenet", "none"):
            notes.append("Another network needs other weights: back to ImageNet.")
            values.pop("weights", None)
    if "task" in changed:
        task = values.get("task", DEFAULTS["task"])
        if (loss := values.get("loss")) and task not in LOSSES.get(loss, LOSSES["bce"]).tasks:
            notes.append(f"{LOSSES[loss].title} does not fit this task: back to its default loss.")
            values.pop("loss", None)
        other = "label_accuracy exact_match" if task == "single-label" else "accuracy"
        if str(values.get("monitor", "")).removeprefix("val_") in other.split():
            values.pop("monitor", None)
    if values.get("optimizer", DEFAULTS["optimizer"]) != "sgd":
        values.pop("nesterov", None)
    if "schedule" in changed:
        values.pop("lr_steps", None)
        config, _ = check({**values, "data": ".", "schedule": "constant"})
        if values.get("schedule") == "step" and config is not None:
            values["lr_steps"] = f"{config.epochs // 2 + 1}:{config.lr / 10:g}"  # something to start from
    if "data" in changed:
        for name in ("classes", "critical_class", "label_rule"):
            values.pop(name, None)
        if re.match(r"val_(f1|recall|precision)_", str(values.get("monitor", ""))):
            values.pop("monitor", None)
        if values.get("recipe"):  # its classes and label rule, as the new dataset needs them
            of_recipe, said = recipe_settings.settings_of(values["recipe"], _place(values))
            values |= {name: of_recipe[name] for name in ("classes", "critical_class", "label_rule")}
            notes += [said] if said else []
    return notes
