"""The Live lab page: which images and which network; everything else happens in the component below."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from covidviz import layers
from covidviz.catalog import MODELS, MODELS_OF_LAB
from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.errors import CovidvizError, InputError
from covidviz.jobs.compute import worker
from covidviz.jobs.submit import submit
from covidviz.paths import runs_dir
from covidviz.ui import datasets, fields, flash, lab_answers, nav, phantoms, wording
from covidviz.ui import form as forms
from covidviz.ui.components.lab import lab
from covidviz.ui.components.lr_range import lr_range
from covidviz.ui.lab_settings import config_of, controls, decode, difference, sweeps
from covidviz.ui.text import md, shorten
from covidviz.weights_cache import is_cached

__all__ = ["body"]

KEY = "lab"
SIZES = (64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512)
DOUBLE_CLICK_S = 3.0
MANY_FEATURES = 4096
HEAVY_GMAC = 4.0

_VALUES = "_lab_values"  # session: what the page holds
_MADE = "_lab_made"  # session: the run just made
_LAST = "_lab_last"  # session: settings, run and time of the last one made
_LEAVE = "_lab_leave"  # session: settings to take to New run


def body() -> None:
    """Draw the page."""
    if (leaving := st.session_state.pop(_LEAVE, None)) is not None:
        st.switch_page(nav.NEW_RUN, query_params={"s": forms.encode(leaving)})
    with contextlib.suppress(CovidvizError):  # the first answer will say so
        worker().warm()  # torch takes seconds to import, in which a dataset is chosen
    st.html(nav.ASSETS / "lab.css")
    values, notes = decode(st.query_params.get("s"))
    st.session_state[_VALUES] = values
    offered = datasets.offered()
    _head(values, offered)
    above = st.container(key="lab_above")  # holds what comes and goes, so that the lab below stays the same node
    for note in notes:
        above.info(md(note), icon=":material/info:")
    if phantoms.wanted(offered):
        with above:
            phantoms.offer()
    if values.get("data"):
        _lab(values, above)
    elif offered:
        st.markdown(
            "Choose a dataset. What the network makes of its images is computed once; then each slider trains the head "
            "anew in about a second, and everything below follows."
        )
    _tell_made()


# --- the line above ---


def _head(values: dict[str, Any], offered: Sequence[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="lab_head"):
        st.title("Live lab", anchor=False, width="content")
        _choice("data", values, list(offered), datasets.title, typed=True, empty="Choose a dataset, or type its path")
        _choice("model", values, list(MODELS_OF_LAB), lambda name: MODELS[name].title)
        _choice("weights", values, ["imagenet", "none"], wording.weights, typed=True)
        _choice("image_size", values, list(SIZES), lambda side: f"{side} px")
        _find_rate(values)


def _choice(
    name: str, values: dict[str, Any], options: list[Any], titles: Any, *, typed: bool = False, empty: str = ""
) -> None:
    """A drop-down that is set from the link before each run; `empty` is what it says while nothing is chosen."""
    key, value = f"lab_{name}", values.get(name, forms.DEFAULTS[name]) or None
    if value is not None and value not in options:
        options.append(value)
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value

    def changed() -> None:
        chosen = st.session_state[key]
        _write({**st.session_state[_VALUES], name: forms.DEFAULTS[name] if chosen is None else chosen})

    clearable: dict[str, Any] = {"index": None, "placeholder": empty} if empty else {}
    st.selectbox(fields.LABELS[name], options, format_func=titles, key=key, on_change=changed, width="stretch",
                 label_visibility="collapsed", accept_new_options=typed, **clearable)  # fmt: skip


def _find_rate(values: dict[str, Any]) -> None:
    """The learning-rate test, with the settings as they are in the link."""
    try:
        config = config_of(values).model_dump(mode="json") if values.get("data") else None
    except InputError:
        config = None
    with st.popover("Find rate", icon=":material/show_chart:", key="lab_find", help="Which learning rate fits?"):
        lr_range(config, key="lab_lr_range", token=lab_answers.token(), on_use=_use_rate)


def _use_rate(lr: float) -> None:
    _write({**st.session_state[_VALUES], "lr": lr})


def _write(values: dict[str, Any]) -> None:
    values = difference(values)
    st.session_state[_VALUES] = values
    st.query_params.from_dict({"s": forms.encode(values)})


# --- the lab itself ---


def _lab(values: dict[str, Any], above: DeltaGenerator) -> None:
    try:
        config = config_of(values)
        manifest = datasets.of_config(config)
        config = config.resolve(manifest.classes)
        version = datasets.folder_version(datasets.find(config.data))
    except InputError as error:
        _refused(values, str(error))
        return
    if sentence := _slow(config, manifest):
        above.caption(md(sentence))
    settings = {name: raw for name, raw in values.items() if name not in ("data", "model", "weights", "image_size")}
    base = {"data": config.data, "model": config.model, "weights": config.weights, "image_size": config.image_size}
    settled = (st.session_state.get(KEY) or {}).get("settled") or {}
    said = difference({**base, **_dict(settled.get("values"))})
    lab(
        {
            "token": lab_answers.token(), "base": base, "version": repr(version),
            "title": f"{MODELS[config.model].title}, {wording.weights(config.weights)}, {config.image_size} px",
            "controls": controls(config.critical_class), "sweeps": sweeps(config.critical_class),
            "settings": {name: list(raw) if isinstance(raw, tuple) else raw for name, raw in settings.items()},
            "echo": settled.get("at") if said == values else None,
        },
        key=KEY, on_settled=_settled, on_make_run=_make_run, on_new_run=_new_run,
    )  # fmt: skip


def _dict(raw: Any) -> dict[str, Any]:
    return dict(raw) if isinstance(raw, dict) else {}


def _slow(config: TrainConfig, manifest: Manifest) -> str:
    """What takes long about this choice, in plain words."""
    features, gmac = layers.network(config.model).features, MODELS[config.model].gmac
    plain = layers.network("resnet18").features
    parts = []
    title = MODELS[config.model].title
    if features >= MANY_FEATURES:
        parts.append(f"{title} gives {features:,} features per image, {round(features / plain)} times those of "
                     "ResNet-18: an answer takes many seconds instead of one.")  # fmt: skip
    if gmac >= HEAVY_GMAC:
        times = gmac / MODELS["resnet18"].gmac
        n = int(manifest.samples["split"].isin(["train", "val"]).sum())
        parts.append(
            f"Computing the features of {n:,} images, once, takes about {times:.0f} times as long as with ResNet-18."
        )
    if config.weights == "imagenet" and not is_cached(config.model):
        parts.append(f"The ImageNet weights of {title} will be downloaded first.")
    return " ".join(parts)


def _refused(values: dict[str, Any], message: str) -> None:
    """Why the dataset can't be used here, and where it can."""
    try:
        several = datasets.of_config(TrainConfig.parse({"data": values["data"], "task": "multi-label"}))
    except InputError:
        several = None
    if several is None:
        st.error(md(message[:1].upper() + message[1:]), icon=":material/error:")
        return
    names = md(shorten(", ".join(several.classes), 120))
    st.info(f"Images of this dataset have several labels each ({names}). The lab takes one class per "
            "image; such a dataset is trained from New run.", icon=":material/info:")  # fmt: skip
    st.page_link(nav.NEW_RUN, label="Train it in New run", icon=":material/tune:",
                 query_params={"s": forms.encode({"data": values["data"], "task": "multi-label"})})  # fmt: skip


# --- what the component says ---


def _heard(name: str) -> dict[str, Any]:
    """All settings, after the component said what differs: those above the sliders and its own."""
    said = _dict((st.session_state.get(KEY) or {}).get(name))
    if name == "settled":
        said = _dict(said.get("values"))
    held = st.session_state.get(_VALUES, {})
    above = {one: held[one] for one in ("data", "model", "weights", "image_size") if one in held}
    values, _ = decode(forms.encode({**said, **above}))  # nothing from a browser is used before it was checked
    return values


def _settled() -> None:
    values = _heard("settled")
    if values != st.session_state.get(_VALUES):
        _write(values)


def _new_run() -> None:
    values = _heard("new_run")
    _write(values)
    st.session_state[_LEAVE] = {name: raw for name, raw in values.items() if name != "threshold"}


def _make_run() -> None:
    values = _heard("make_run")
    last = st.session_state.get(_LAST)
    if last and last[0] == values and time.monotonic() - last[2] < DOUBLE_CLICK_S:
        return
    try:
        config = config_of(values)
        made = submit(config.replace(data=str(datasets.find(config.data))), runs_dir()).name
    except CovidvizError as error:
        flash.say(error, "error")
        return
    st.session_state[_LAST] = (values, made, time.monotonic())
    st.session_state[_MADE] = made


def _tell_made() -> None:
    if made := st.session_state.pop(_MADE, None):
        # Of our own making (letters, digits, dashes); the link opens a new tab, and the lab stays as it is.
        st.toast(f"The run is in the queue. [Look at it](run?run={made})", icon=":material/check:", duration="long")
