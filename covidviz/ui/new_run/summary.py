"""What will be trained: name, Train, what it will cost here, what looks unwise, what differs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psutil
import streamlit as st

from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.errors import CovidvizError, DataError
from covidviz.jobs import estimate as costs
from covidviz.jobs.devices import Slot, slots
from covidviz.jobs.repeat import MOST, submit_repeats
from covidviz.paths import runs_dir
from covidviz.ui import datasets, fields, queries, wording
from covidviz.ui import form as forms
from covidviz.ui.form import Form
from covidviz.ui.new_run.cautions import cautions
from covidviz.ui.new_run.light import light
from covidviz.ui.text import md, shorten

__all__ = ["roughly", "show", "train"]

DOUBLE_CLICK_S = 3.0
WARNINGS = 5


def show(form: Form, manifest: Manifest | None) -> None:
    """Draw the part."""
    st.header("This run", anchor=False)
    fields.text(form, "name", placeholder=form.config.describe() if form.config else "")
    _train_button(form, ready=manifest is not None and form.config is not None)
    _problems(form, manifest)
    if manifest is not None and form.config is not None:
        light(form.config)
        _forecast(form, form.config, manifest)
    _differences(form)


def _train_button(form: Form, *, ready: bool) -> None:
    times = form.repeat
    st.button("Train" if times == 1 else f"Train {times} runs", key="new_train", type="primary", width="stretch",
              icon=":material/play_arrow:", disabled=not ready, on_click=train, shortcut="Ctrl+Enter")  # fmt: skip
    if st.session_state.get("new_repeat") != times:
        st.session_state["new_repeat"] = times
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="new_repeat_row"):
        st.markdown("Seeds", width="content", help="Trains the same settings this often, each time with the next seed.")
        st.number_input("Seeds to train with", 1, MOST, key="new_repeat", on_change=_repeated, width=112,
                        label_visibility="collapsed")  # fmt: skip
    if times > 1 and isinstance(first := form["seed"], int):
        st.caption(f"{times} runs with the seeds {first} to {first + times - 1}, one after another.")


def _repeated() -> None:
    forms.repeat(st.session_state["new_repeat"] or 1)


def _problems(form: Form, manifest: Manifest | None) -> None:
    problems = {name: text for name, text in form.errors.items() if text and name != "data"}
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


# --- what it will cost, what looks unwise ---


def _forecast(form: Form, config: TrainConfig, manifest: Manifest) -> None:
    n = {split: int(row["n"]) for split, row in manifest.counts().items()}  # type: ignore[arg-type]
    folder = runs_dir()
    found = costs.estimate(config, n, len(manifest.classes), _known(config.model), _slots())
    st.markdown("  \n".join(_costs(found, form.repeat)), help=_source(found))
    sentences = cautions(config, manifest, found, psutil.virtual_memory().available, _free(folder))
    if sentences:
        lines = (f":orange[:material/warning:] {md(sentence)}" for sentence in sentences[:WARNINGS])
        with st.container(key="new_cautions", gap="xsmall"):
            for line in lines:
                st.markdown(line)


def _costs(found: costs.Estimate, times: int) -> list[str]:
    many = f" for {times} runs" if times > 1 else ""
    if found.seconds is None or found.low is None or found.high is None:
        first = ":material/timer: Time unknown before the first run on this device"
    else:
        span = _span(roughly(times * found.low), roughly(times * found.high))
        first = f":material/timer: about **{roughly(times * found.seconds)}**{many} :gray[({span})]"
    where = "of GPU memory" if found.on_gpu else "of memory"
    return [
        first,
        f":material/memory: about **{_bytes(found.memory)}** {where}",
        f":material/hard_drive: about **{_bytes(times * found.disk)}** on disk",
    ]


def roughly(seconds: float) -> str:
    """`20 s`, `4 min`, `1.5 h`, `3 days`: no more digits than an estimate has."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 90 * 60:
        return f"{max(1, round(seconds / 60))} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 9.95 else f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _span(low: str, high: str) -> str:
    """`3 to 5 min` from `3 min` and `5 min`; the unit stays where it is another one."""
    amount, _, unit = low.partition(" ")
    return f"{amount if high.endswith(f' {unit}') else low} to {high}"


def _source(found: costs.Estimate) -> str:
    beside = "Memory and disk are worked out from the layers."
    if found.seconds is None:
        return f"The time is learned from finished runs on the same kind of device. {beside}"
    runs = "run" if found.runs == 1 else "runs"
    which = "of this network" if found.same_model else "of other networks, so roughly"
    kept = "What is frozen was computed by an earlier run and is in the cache. " if found.kept else ""
    return f"The time is learned from {found.runs} finished {runs} here, {which}. {kept}{beside}"


def _bytes(n: float) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 0.95e9 else f"{max(1, round(n / 1e6)):,} MB"


def _known(model: str) -> list[costs.Measured]:
    """What earlier runs tell, looked up again when the index of the runs has another version."""
    shot = queries.index().snapshot(max_age=5)
    return _learned(str(runs_dir()), shot.version, model, shot)


@st.cache_resource(show_spinner=False, max_entries=16)
def _learned(folder: str, version: int, model: str, _shot: queries.Snapshot) -> list[costs.Measured]:  # noqa: ARG001
    return costs.learn(Path(folder), _shot.runs, model)


@st.cache_resource(show_spinner=False)
def _slots() -> list[Slot]:
    return slots()


def _free(folder: Path) -> float | None:
    try:
        return float(shutil.disk_usage(folder if folder.is_dir() else folder.parent).free)
    except OSError:
        return None


# --- what differs ---


def _differences(form: Form) -> None:
    before = {**forms.DEFAULTS, **form.origin}
    names = [n for n in forms.DEFAULTS if n not in ("data", "name", "recipe") and form[n] != before[n]]
    origin = "cloned run" if form.clone else "recipe" if form["recipe"] else "defaults"
    st.markdown(f"**Differs from the {origin}**")
    if not names:
        st.caption("Nothing yet.")
        return
    lines = (
        f"- {md(fields.LABELS[n])}: **{md(shorten(wording.setting(n, form[n], form['task']), 60))}** "
        f":gray[(was {md(shorten(wording.setting(n, before[n], form['task']), 40))})]"
        for n in names
    )
    with st.container(key="new_differs"):
        st.markdown("\n".join(lines))


def train() -> None:
    """Submit the run, or one per seed (in the button's callback). A second click on the same settings makes no more."""
    session = st.session_state
    form = forms.load()
    session["new_refused"] = None
    signature = f"{form.repeat} {forms.encode(form.values)}"
    last = session.get("new_last")
    if last and last[0] == signature and time.monotonic() - last[2] < DOUBLE_CLICK_S:
        session["new_started"] = last[1]
        return
    try:
        if form.config is None:
            raise DataError("; ".join(form.errors.values()))
        config = form.config.replace(data=str(datasets.find(form["data"])))
        made = [path.name for path in submit_repeats(config, form.repeat, runs_dir())]
    except CovidvizError as error:
        session["new_refused"] = str(error)
        return
    session["new_last"] = (signature, made, time.monotonic())
    session["new_started"] = made
