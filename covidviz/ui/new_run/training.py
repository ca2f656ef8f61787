"""Loss, optimizer, learning rate, how long; and below what most runs leave alone."""

from __future__ import annotations

from typing import Any

import streamlit as st

from covidviz.catalog import LOSSES, OPTIMIZERS, SCHEDULES
from covidviz.config import TrainConfig, knob
from covidviz.data.manifest import Manifest
from covidviz.errors import ConfigError
from covidviz.ui import fields, flash, lab_answers, nav, wording
from covidviz.ui import form as forms
from covidviz.ui.components.curve import curve
from covidviz.ui.components.lr_range import lr_range
from covidviz.ui.form import Form
from covidviz.ui.new_run.curves import focal_curves, schedule_curve
from covidviz.ui.new_run.data import titles
from covidviz.ui.text import md

__all__ = ["more", "show"]

LR_STOPS = (*(float(f"{m}e{e}") for e in range(-6, 0) for m in (1, 2, 3, 5)), 1.0)
DECAY_STOPS = (0.0, *(float(f"{m}e{e}") for e in range(-6, -1) for m in (1, 3)), 0.1)
BATCH_STOPS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
FOCAL_TOP = 2.0  # highest loss shown; cross-entropy goes on to infinity


def show(form: Form) -> None:
    """Draw the part."""
    st.header("Training", anchor=False)
    fields.ruler(form, "lr", LR_STOPS)
    _find_lr(form)
    fields.ruler(form, "batch_size", BATCH_STOPS)
    left, right = st.columns(2, gap="xsmall")
    with left:
        fields.choice(form, "optimizer", titles=titles(OPTIMIZERS))
    with right:
        fields.number(form, "epochs")
    _loss(form)
    _schedule(form)


def _find_lr(form: Form) -> None:
    with st.popover("Find a rate", type="tertiary", icon=":material/query_stats:", key="new_find_lr"):
        config = None if form.config is None else form.config.model_dump(mode="json")
        lr_range(config, key="new_lr_range", token=lab_answers.token(), on_use=_use_lr)


def _use_lr(value: float) -> None:
    for note in forms.change(lr=value):
        flash.say(note, "note")


def _loss(form: Form) -> None:
    fit = [name for name, row in LOSSES.items() if form["task"] in row.tasks]
    fields.choice(form, "loss", fit, titles(LOSSES), fallback=fit[0])
    loss = form["loss"] or fit[0]
    if loss not in LOSSES:
        return
    if LOSSES[loss].teaching:
        st.caption(f":material/school: {md(LOSSES[loss].help)}")
    if not LOSSES[loss].focal:
        return
    fields.slider(form, "focal_gamma", high=5)
    alpha = form["focal_alpha"]
    _keep("new_alpha_on", alpha is not None)
    left, right = st.columns([1, 1.12] if alpha is not None else [1, 0.01], gap="xsmall", vertical_alignment="center")
    left.toggle("Alpha", key="new_alpha_on", on_change=_alpha_switched,
                help=None if alpha is not None else md(knob("focal_alpha")["help"]))  # fmt: skip
    if alpha is not None:
        with right:
            fields.slider(form, "focal_alpha")
    if LOSSES[loss].teaching:  # its curve is over another axis
        st.page_link(nav.FOCAL, label="See where it leads", icon=":material/center_focus_strong:",
                     query_params={"view": "batch"})  # fmt: skip
        return
    gamma = form["focal_gamma"]
    weighed = "" if alpha is None else f" and alpha {alpha:g}"
    curve(
        focal_curves(float(gamma), None if alpha is None else float(alpha)), key="new_focal_curve", top=FOCAL_TOP,
        x="probability of the truth", y="loss",
        label=f"Loss by the probability given to the truth: focal with gamma {gamma:g}{weighed} against cross-entropy",
    )  # fmt: skip


def _keep(key: str, value: Any) -> None:
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _alpha_switched() -> None:
    forms.change(focal_alpha=0.25 if st.session_state["new_alpha_on"] else None)


def _schedule(form: Form) -> None:
    fields.choice(form, "schedule", titles=titles(SCHEDULES))
    if form["schedule"] == "step":
        fields.text(form, "lr_steps", placeholder="5:1e-3,8:1e-4")
    if form["schedule"] == "constant":
        return
    try:
        settings = {name: form[name] for name in ("lr", "epochs", "schedule", "lr_steps")}
        config = TrainConfig.parse({"data": ".", **settings})
    except ConfigError:
        return  # its sentence stands at the field
    curve(schedule_curve(config), key="new_schedule_curve", x="epoch", y="learning rate", height=52,
          label=f"Learning rate over {config.epochs} epochs: {SCHEDULES[config.schedule].title}")  # fmt: skip


def more(form: Form, manifest: Manifest | None) -> None:
    """What most runs leave alone."""
    classes = list(manifest.classes) if manifest else []
    with st.expander("More settings", key="new_more", icon=":material/tune:"):
        one, two, three = st.columns(3, gap="small")
        with one:
            fields.number(form, "seed")
            fields.choice(form, "monitor", wording.monitors(form["task"], classes), typed=True)
            fields.number(form, "patience", none="off")
            fields.choice(form, "critical_class", classes, placeholder="covid19 where there is one")
            fields.text(form, "tags", placeholder="words, joined by commas")
            fields.toggle(form, "train_eval")
        with two:
            fields.slider(form, "momentum")
            if form["optimizer"] == "sgd":
                fields.toggle(form, "nesterov")
            fields.ruler(form, "weight_decay", DECAY_STOPS)
            fields.text(form, "backbone_lr", placeholder="the same")
            fields.toggle(form, "pos_weight")
            fields.text(form, "trainable", title="What learns, by name")
        with three:
            fields.text(form, "split_column")
            fields.text(form, "classes", placeholder="all, sorted")
            fields.text(form, "label_rule", placeholder="covid19>pneumonia")
            fields.choice(form, "device", wording.devices(), typed=True)
            fields.choice(form, "precision")
            fields.choice(form, "cache")
