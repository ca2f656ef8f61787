"""The curves of a run with the toolbar above them: loss, chosen metrics, learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.config import TrainConfig
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.status import Status
from covidviz.ui import charts, queries
from covidviz.ui.charts import Axis, Look
from covidviz.ui.components.plot import plot
from covidviz.ui.text import md, shorten

__all__ = ["curves"]

CHART_HEIGHT = 250
ROOM = 20  # epochs that always fit
HEAD_HEIGHT = 42  # as high as a button
AXES = {"epochs": "Epochs", "steps": "Steps", "time": "Time"}
LOGS = {"x": "x axis", "loss": "loss", "rate": "rate"}
CHOSEN = "_run_measures"  # session: titles of the metrics to draw


Version = tuple[int, int]


@dataclass(frozen=True)
class _Numbers:
    """What the figures are made of; shared by all sessions, to be left as it is."""

    metrics: pd.DataFrame
    steps: pd.DataFrame
    classes: tuple[str, ...]
    planned: int
    steps_per_epoch: float
    measures: dict[str, list[str]]


def curves(run: Run, status: Status, best: int | None) -> None:
    """The toolbar and three figures. Says so where there are none to come."""
    versions = tuple(run.version(name) for name in (layout.METRICS, layout.STEPS, layout.SAMPLES, layout.CONFIG))
    numbers = _numbers(str(run.dir), versions)
    if not len(numbers.metrics) and not len(numbers.steps) and status.state != "running":
        if status.state in ("completed", "stopped", "lost"):
            st.info("This run has no numbers.", icon=":material/info:")
        return
    look = _toolbar()
    left, middle, right = st.columns([4, 4, 3])
    with middle:
        box = st.container(gap=None)
        with box:
            chosen = _measures(numbers.measures)
    columns = tuple(column for title in chosen for column in numbers.measures[title])
    loss, metric, rate = _figures(str(run.dir), versions, look, _epochs(status, numbers), columns, best)
    with left.container(gap=None):
        _heading("Loss", "thin: each step")
        _draw(loss, "loss_plot", "Loss for train and validation", run)
    with box:
        _draw(metric, "metric_plot", f"{', '.join(chosen) or 'Metrics'} for train and validation", run)
    with right.container(gap=None):
        _heading("Learning rate")
        _draw(rate, "lr_plot", "Learning rate", run)


@st.cache_resource(show_spinner=False, max_entries=24)
def _numbers(folder: str, versions: tuple[Version, ...]) -> _Numbers:  # noqa: ARG001  part of the cache key
    run = Run(Path(folder))
    metrics, steps, config = queries.metrics(run), queries.steps(run), queries.config(run)
    classes = config.classes if config else ()
    return _Numbers(
        metrics,
        steps,
        classes,
        config.epochs if config else 1,
        _steps_per_epoch(run, config, steps),
        charts.measures(metrics, classes),
    )


@st.cache_resource(show_spinner=False, max_entries=64)
def _figures(
    folder: str, versions: tuple[Version, ...], look: Look, epochs: int, columns: tuple[str, ...], best: int | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Loss, metrics and learning rate: made once for everybody who looks at the same."""
    numbers = _numbers(folder, versions)
    metrics, steps = numbers.metrics, numbers.steps
    axis = Axis(look, metrics, epochs=epochs, steps_per_epoch=numbers.steps_per_epoch)
    return (
        charts.loss_figure(metrics, steps, axis, best=best),
        charts.metric_figure(metrics, columns, numbers.classes, axis, best=best),
        charts.lr_figure(metrics, steps, axis),
    )


def _draw(figure: dict[str, Any], key: str, label: str, run: Run) -> None:
    plot(figure, key=key, label=label, height=CHART_HEIGHT, keep=run.id)


def _heading(text: str, note: str = "") -> None:
    with st.container(height=HEAD_HEIGHT, border=False, vertical_alignment="center"):
        st.markdown(f"**{text}** :small[:gray[{note}]]" if note else f"**{text}**")


def _toolbar() -> Look:
    """What the curves look like; remembered for the session."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="run_toolbar"):
        x = st.segmented_control(
            "Horizontal axis",
            list(AXES),
            format_func=AXES.__getitem__,
            default="epochs",
            required=True,
            key="curves_x",
            label_visibility="collapsed",
            persist_state="session",
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width=270):
            st.markdown(":small[Smoothing]", width="content")
            smoothing = st.slider(
                "Smoothing",
                0.0,
                0.99,
                0.0,
                0.01,
                key="curves_smoothing",
                label_visibility="collapsed",
                persist_state="session",
                width=160,
            )
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            st.markdown(":small[Log scale]", width="content")
            log = st.pills(
                "Logarithmic axes",
                list(LOGS),
                format_func=LOGS.__getitem__,
                selection_mode="multi",
                key="curves_log",
                label_visibility="collapsed",
                persist_state="session",
            )
    return Look(x or "epochs", float(smoothing), tuple(log))


def _measures(offered: dict[str, list[str]]) -> list[str]:
    """The titles of the metrics to draw, chosen above the figure."""
    kept = [title for title in st.session_state.get(CHOSEN, []) if title in offered]
    chosen = kept or list(offered)[:1]

    def changed() -> None:
        st.session_state[CHOSEN] = list(st.session_state["run_measures"])

    with st.container(height=HEAD_HEIGHT, border=False, vertical_alignment="center"):
        if not offered:
            st.markdown("**Metrics**")
            return []
        more = f" and {len(chosen) - 1} more" if len(chosen) > 1 else ""
        with st.popover(f"**{md(shorten(chosen[0], 24))}**{more}", type="tertiary", key="run_measures_box"):
            st.session_state["run_measures"] = chosen
            st.multiselect("Metrics to draw", list(offered), key="run_measures", on_change=changed, width=320)
            st.caption("Solid: train. Dashed: validation.")
    return chosen


def _epochs(status: Status, numbers: _Numbers) -> int:
    """How far the axis reaches: what there is when completed, else all that is planned, or a part of very many."""
    planned = max(1, status.epochs or numbers.planned)
    done = int(numbers.metrics["epoch"].max()) if len(numbers.metrics) else 0
    if status.state == "completed" and done:
        return done  # it may have run out of patience
    while planned >= 2 * ROOM and 1.25 * (done + 1) < planned / 2:
        planned = math.ceil(planned / 2)  # the first epochs of many are worth looking at too
    return planned


def _steps_per_epoch(run: Run, config: TrainConfig | None, steps: pd.DataFrame) -> float:
    samples = queries.samples(run)
    if config is not None and samples is not None and "split" in samples:
        n = int((samples["split"] == "train").sum())
        if n:
            return math.ceil(n / config.batch_size)
    if len(steps) and "epoch" in steps:
        return float(steps["step"].max() / max(1, steps["epoch"].max()))
    return 1.0
