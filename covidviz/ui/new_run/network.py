"""Which network, where it starts, and the drawing in which a person says what learns."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.errors import ConfigError
from covidviz.ui import fields, flash, wording
from covidviz.ui import form as forms
from covidviz.ui.components.network import blocks, network
from covidviz.ui.form import Form
from covidviz.ui.new_run.data import titles
from covidviz.weights_cache import is_cached

__all__ = ["show"]


def show(form: Form, manifest: Manifest | None) -> None:
    """Draw the part."""
    st.header("Network", anchor=False)
    left, right = st.columns([1.15, 1], gap="xsmall")
    with left:
        fields.choice(form, "model", titles=titles(MODELS))
    with right:
        fields.choice(form, "weights", ["imagenet", "none"], wording.weights, typed=True)
    if form["weights"] == "imagenet" and not is_cached(form["model"]):
        st.caption("These weights will be downloaded first.")
    drawn = blocks(_drawable(form), len(manifest.classes) if manifest else None)
    with st.container(key="new_trainable_mode", gap=None):
        network(drawn, key="new_network", on_change=_changed)
    fields.error(form, "trainable")
    fields.error(form, "head")
    fields.slider(form, "dropout")


def _drawable(form: Form) -> TrainConfig:
    """The settings that are drawn; where one can't be used yet (its error stands below), its default."""
    values = {"data": ".", "model": form["model"]}
    for name in ("image_size", "head", "trainable"):
        try:
            values[name] = getattr(TrainConfig.parse({**values, name: form[name]}), name)
        except ConfigError:
            continue
    return TrainConfig.parse(values)


def _changed(trainable: str, head: Sequence[int]) -> None:
    for note in forms.change(trainable=trainable, head=",".join(map(str, head))):
        flash.say(note, "note")
