"""The New run page: data, network, training, and at the right what will be trained and the button."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.catalog import AUGMENTATIONS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, TASKS
from covidviz.config import TrainConfig, knob
from covidviz.data.manifest import Manifest
from covidviz.errors import CovidvizError, DataError, InputError
from covidviz.jobs.submit import submit
from covidviz.paths import runs_dir
from covidviz.ui import datasets, fields, nav, phantoms, wording
from covidviz.ui import form as forms
from covidviz.ui.form import Form
from covidviz.ui.text import md, shorten
from covidviz.weights_cache import is_cached

__all__ = ["advanced", "data", "go_on", "head_line", "network", "summary", "training"]

LR_STOPS = (*(float(f"{m}e{e}") for e in range(-6, 0) for m in (1, 2, 3, 5)), 1.0)
DECAY_STOPS = (0.0, *(float(f"{m}e{e}") for e in range(-6, -1) for m in (1, 3)), 0.1)
BATCH_STOPS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
DATA_FIELDS = ("data", "split_column", "classes", "task", "label_rule", "seed")  # what the dataset is read with
DOUBLE_CLICK_S = 3.0


def go_on() -> None:
    """To the page of the run that was just submitted."""
    if run_id := st.session_state.pop("new_started", None):
        st.switch_page(nav.RUN, query_params={"run": run_id})


def head_line(form: Form) -> None:
    """The title, where the settings come from, what a link held that is not accepted, and the way back."""
    title, right = st.columns([5, 1], vertical_alignment="center")
    title.title("New run", anchor=False)
    right.button("Reset", key="new_reset", on_click=forms.reset, icon=":material/restart_alt:",
                 disabled=not form.values or form.values == form.origin, width="stretch")  # fmt: skip
    if form.clone:
        st.caption(f"A clone of {md(form.clone)}. Change what you like; that run stays as it is.")
    for note in form.notes:
        st.info(md(note), icon=":material/info:")


def _title(table: dict[str, Any]) -> Any:
    return lambda name: table[name].title if name in table else str(name)


# --- data ---


def data(form: Form) -> Manifest | None:
    """Which images: the dataset with its classes and counts, the task, what is done to the images."""
    st.subheader("Data", anchor=False)
    offered = datasets.offered()
    fields.choice(form, "data", offered, datasets.title, typed=True,
                  placeholder="Choose, or type a path" if offered else "Type the path of a folder")  # fmt: skip
    manifest = None
    if form["data"]:
        manifest = _understood(form)
    if phantoms.wanted(offered):
        phantoms.offer()
    fields.choice(form, "task", titles=_title(TASKS))
    left, right = st.columns(2)
    with left:
        fields.choice(form, "augment", titles=_title(AUGMENTATIONS))
    with right:
        fields.slider(form, "image_size")
    return manifest


def _understood(form: Form) -> Manifest | None:
    """The dataset as these settings read it, shown; or the sentence that says what is wrong."""
    try:
        config = TrainConfig.parse({name: form[name] for name in DATA_FIELDS})
        manifest = datasets.of_config(config)
    except InputError as error:
        st.error(md(_capital(str(error))), icon=":material/error:")
        return None
    _supports(manifest)
    return manifest


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _supports(manifest: Manifest) -> None:
    counts = manifest.counts()
    table = pd.DataFrame(
        {split: [*row["per_class"].values(), row["n"]] for split, row in counts.items()},  # type: ignore[union-attr]
        index=[md(shorten(name, 40)) for name in (*manifest.classes, "all images")],
    )
    st.table(table, border="horizontal", height="content" if len(table) <= 8 else 300)
    notes = list(manifest.notes)
    if manifest.unlabelled:
        notes.append(f"{len(manifest.unlabelled):,} images without a label are left out.")
    for note in notes[:6]:
        st.caption(md(note))


# --- network ---


def network(form: Form) -> None:
    """Which network, where it starts, its head, and what learns."""
    st.subheader("Network", anchor=False)
    left, right = st.columns(2)
    with left:
        fields.choice(form, "model", titles=_title(MODELS))
    with right:
        fields.choice(form, "weights", ["imagenet", "none"], wording.weights, typed=True)
    model = MODELS[form["model"]]
    state = ""
    if form["weights"] == "imagenet":
        state = (
            "weights on this machine"
            if is_cached(form["model"])
            else "weights not on this machine yet: downloaded first"
        )
    st.caption(md(", ".join(filter(None, [f"{model.parameters_m:g} M parameters", f"{model.gmac:g} GMAC", state]))))
    _trainable(form)
    left, right = st.columns(2)
    with left:
        fields.text(form, "head", placeholder="none")
    with right:
        fields.slider(form, "dropout")


MODES = {"head": "Head", "from": "From layer", "exact": "Layers", "all": "All"}


def _mode(value: str) -> str:
    return value if value in ("head", "all") else "from" if value.startswith("from:") else "exact"


def _trainable(form: Form) -> None:
    value = str(form["trainable"])
    layers = list(MODELS[form["model"]].layer_names)
    mode = _mode(value)
    _keep("new_trainable_mode", mode)
    st.segmented_control(
        fields.label("trainable"), list(MODES), format_func=lambda mode: MODES[mode], key="new_trainable_mode",
        required=True, width="stretch", on_change=_mode_changed, args=(mode, layers),
        help=md(knob("trainable")["help"]),
    )  # fmt: skip
    if mode == "from":
        first = value.removeprefix("from:")
        marks = layers if first in layers else [*layers, first]
        _keep("new_trainable_from", first)
        st.select_slider("Train from here to the output", marks, key="new_trainable_from",
                         on_change=_from_changed)  # fmt: skip
    elif mode == "exact":
        chosen = [part.strip() for part in value.split(",") if part.strip()]
        _keep("new_trainable_exact", chosen)
        st.multiselect("Layers that learn", [*layers, *(n for n in chosen if n not in layers)], accept_new_options=True,
                       key="new_trainable_exact", on_change=_exact_changed, placeholder="Choose layers")  # fmt: skip
    fields.error(form, "trainable")


def _keep(key: str, value: Any) -> None:
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _mode_changed(before: str, layers: list[str]) -> None:
    mode = st.session_state["new_trainable_mode"] or before
    forms.change(trainable={"from": f"from:{layers[-1]}", "exact": layers[-1]}.get(mode, mode))


def _from_changed() -> None:
    forms.change(trainable=f"from:{st.session_state['new_trainable_from']}")


def _exact_changed() -> None:
    forms.change(trainable=",".join(st.session_state["new_trainable_exact"]))


# --- training ---


def training(form: Form) -> None:
    """Loss, optimizer, learning rate, how long."""
    st.subheader("Training", anchor=False)
    task = form["task"]
    one, two, three = st.columns(3, gap="small")
    with one:
        fit = [name for name, row in LOSSES.items() if task in row.tasks]
        fields.choice(form, "loss", fit, _title(LOSSES), fallback=fit[0])
        loss = form["loss"] or fit[0]
        st.caption(md(LOSSES[loss].help) if loss in LOSSES else "")
        if loss in LOSSES and LOSSES[loss].focal:
            fields.slider(form, "focal_gamma", high=5)
            _alpha(form)
    with two:
        fields.ruler(form, "lr", LR_STOPS)
        fields.choice(form, "schedule", titles=_title(SCHEDULES))
        if form["schedule"] == "step":
            fields.text(form, "lr_steps", placeholder="5:1e-3,8:1e-4")
        fields.choice(form, "optimizer", titles=_title(OPTIMIZERS))
    with three:
        fields.ruler(form, "batch_size", BATCH_STOPS)
        fields.number(form, "epochs")
        fields.slider(form, "momentum")


def _alpha(form: Form) -> None:
    value = form["focal_alpha"]
    _keep("new_alpha_on", value is not None)
    st.toggle("Weigh positives", key="new_alpha_on", on_change=_alpha_switched,
              help=md(knob("focal_alpha")["help"]))  # fmt: skip
    if value is not None:
        fields.slider(form, "focal_alpha")


def _alpha_switched() -> None:
    forms.change(focal_alpha=0.25 if st.session_state["new_alpha_on"] else None)


def advanced(form: Form, manifest: Manifest | None) -> None:
    """What most runs leave alone."""
    classes = list(manifest.classes) if manifest else []
    with st.expander("More settings", key="new_more", icon=":material/tune:"):
        one, two, three = st.columns(3, gap="small")
        with one:
            fields.number(form, "seed")
            fields.choice(form, "monitor", wording.monitors(form["task"], classes), typed=True)
            fields.number(form, "patience", none="off")
            fields.choice(form, "critical_class", classes, placeholder="covid19 where there is one")
            fields.choice(form, "precision")
        with two:
            fields.ruler(form, "weight_decay", DECAY_STOPS)
            fields.text(form, "backbone_lr", placeholder="the same")
            if form["optimizer"] == "sgd":
                fields.toggle(form, "nesterov")
            fields.toggle(form, "pos_weight")
            fields.toggle(form, "train_eval")
            fields.choice(form, "device", wording.devices(), typed=True)
        with three:
            fields.text(form, "split_column")
            fields.text(form, "classes", placeholder="all, sorted")
            fields.text(form, "label_rule", placeholder="covid19>pneumonia")
            fields.choice(form, "cache")
            fields.text(form, "tags", placeholder="words, joined by commas")


# --- what will be trained ---


def summary(form: Form, manifest: Manifest | None) -> None:
    """The name, what differs, what is wrong, and Train."""
    st.subheader("This run", anchor=False)
    fields.text(form, "name", placeholder=form.config.describe() if form.config else "")
    problems = {name: text for name, text in form.errors.items() if text and name != "data"}
    ready = manifest is not None and form.config is not None
    st.button("Train", key="new_train", type="primary", icon=":material/play_arrow:", width="stretch",
              disabled=not ready, on_click=train, shortcut="Ctrl+Enter")  # fmt: skip
    if message := st.session_state.get("new_refused"):
        st.error(md(message), icon=":material/error:")
    elif not form["data"]:
        st.caption("Choose a dataset to start.")
    elif problems:
        names = ", ".join(fields.LABELS.get(name, "the settings") for name in problems)
        st.error(md(f"Not ready: see {names}."), icon=":material/error:")
        if "" in problems:
            st.caption(md(problems[""]))
    elif manifest is None:
        st.caption("The dataset can't be used as it is: see there.")
    _differences(form)


def _differences(form: Form) -> None:
    before = {**forms.DEFAULTS, **form.origin}
    names = [n for n in forms.DEFAULTS if n not in ("data", "name") and form[n] != before[n]]
    st.markdown(f"**Differs from the {'cloned run' if form.clone else 'defaults'}**")
    if not names:
        st.caption("Nothing yet.")
        return
    lines = (
        f"- {md(fields.LABELS[n])}: **{md(shorten(wording.setting(n, form[n], form['task']), 60))}** "
        f":gray[(was {md(shorten(wording.setting(n, before[n], form['task']), 40))})]"
        for n in names
    )
    st.markdown("\n".join(lines))


def train() -> None:
    """Submit the run (in the button's callback). A second click on the same settings leads to the same run."""
    session = st.session_state
    form = forms.load()
    session["new_refused"] = None
    signature = forms.encode(form.values)
    last = session.get("new_last")
    if last and last[0] == signature and time.monotonic() - last[2] < DOUBLE_CLICK_S:
        session["new_started"] = last[1]
        return
    try:
        if form.config is None:
            raise DataError("; ".join(form.errors.values()))
        config = form.config.replace(data=str(datasets.find(form["data"])))
        run_id = submit(config, runs_dir()).name
    except CovidvizError as error:
        session["new_refused"] = str(error)
        return
    session["new_last"] = (signature, run_id, time.monotonic())
    session["new_started"] = run_id
