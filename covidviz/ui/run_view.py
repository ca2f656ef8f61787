"""The Run page: what a run is doing, its curves, its settings and its log."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.catalog import LOSSES
from covidviz.config import TrainConfig, knob
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.status import Status
from covidviz.ui import charts, flash, nav, queries, run_actions, wording
from covidviz.ui.components.plot import plot
from covidviz.ui.fields import LABELS
from covidviz.ui.metric_names import metric_name
from covidviz.ui.text import ago, duration, epoch_of, md, number, state_text

__all__ = ["log", "progress_and_curves", "settings"]

Version = tuple[int, int]

POLL_S = 2
CHART_HEIGHT = 250


def progress_and_curves(run: Run) -> None:
    """State, buttons and curves; refreshed every two seconds while the run lives, and only then."""
    before = run.status()

    @st.fragment(run_every=POLL_S if before.live else None)
    def part() -> None:
        status = run.status()
        if status.state != before.state or not run.dir.is_dir():
            st.rerun()  # the whole page, with or without the polling
        flash.show()
        with st.container(key="run_head"):  # holds what comes and goes, so that the charts below stay the same nodes
            _head(run, status)
            _trouble(run, status)
        with st.container(key="run_curves"):
            _curves(run, status)

    part()


# --- head ---


def _head(run: Run, status: Status) -> None:
    look = state_text(status.state)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(md(look.label), color=look.color, width="content")  # type: ignore[arg-type]
        st.markdown(md(" · ".join(_facts(run, status))), width="stretch")
        _buttons(run, status)
    if status.live:
        st.progress(status.progress, text=_progress_text(status))


def _facts(run: Run, status: Status) -> list[str]:
    facts = [f"epoch {status.epoch} of {status.epochs}"] if status.epochs else []
    best, rows = _best(run)
    config = queries.config(run)
    if best is not None and config is not None:
        value = rows.get("val", {}).get(config.monitor.removeprefix("val_"))
        facts.append(f"best {best}: {metric_name(config.monitor)} {number(value)}")
    if status.device:
        facts.append(status.device)
    began, ended = epoch_of(status.started), epoch_of(status.finished)
    if began is not None and ended is not None:
        facts.append(f"took {duration(ended - began)}")
    if status.created is not None:
        facts.append(f"created {ago(status.created)}")
    return facts


def _progress_text(status: Status) -> str:
    if status.state == "queued":
        return "Waiting for a free device"
    left = f", about {duration(status.eta_s)} left" if status.eta_s is not None else ""
    phase = status.extra.get("phase")
    doing = f"{phase} · " if isinstance(phase, str) and phase else ""
    return md(f"{doing}{math.floor(100 * status.progress)} %{left}")


def _buttons(run: Run, status: Status) -> None:
    if status.live:
        asked = (run.dir / layout.STOP).exists()
        st.button(
            "Stopping …" if asked else "Stop",
            key="run_stop",
            icon=":material/stop_circle:",
            disabled=asked,
            on_click=run_actions.stop,
            args=([run.id],),
            help="Stops after the current batch. It can be resumed.",
        )
    if status.state in layout.RESUMABLE:
        again = "Resume" if status.epoch or (run.dir / layout.LAST).exists() else "Try again"
        st.button(
            again,
            key="run_resume",
            icon=":material/resume:",
            on_click=run_actions.resume,
            args=([run.id],),
            type="primary",
            help="Goes on from the last checkpoint." if again == "Resume" else "Starts the same settings once more.",
        )
    if queries.config(run) is not None and st.button(
        "Clone", key="run_clone", icon=":material/content_copy:", help="A new run that starts from these settings."
    ):
        st.switch_page(nav.NEW_RUN, query_params={"clone": run.id})


def _best(run: Run) -> tuple[int | None, dict[str, dict[str, Any]]]:
    return _best_of(str(run.dir), run.version(layout.METRICS), run.version(layout.CONFIG))


@st.cache_resource(show_spinner=False, max_entries=32)
def _best_of(folder: str, metrics: Version, config: Version) -> tuple[int | None, dict[str, dict[str, Any]]]:  # noqa: ARG001
    return Run(Path(folder)).best()


# --- what went wrong ---


def _trouble(run: Run, status: Status) -> None:
    if status.error and status.state in ("failed", "lost", "broken"):
        st.error(md(status.error), icon=":material/error:")
    if status.state == "failed" and (tail := run.log_tail(15)):
        with st.expander("The end of the log", expanded=True):
            st.code(tail, language=None, wrap_lines=True)
    if alarms := _alarms(status):
        st.warning("  \n".join(map(md, alarms)), icon=":material/warning:")


def _alarms(status: Status) -> list[str]:
    given = status.extra.get("alarms")
    return [str(alarm) for alarm in given] if isinstance(given, list) else []


# --- curves ---


def _curves(run: Run, status: Status) -> None:
    metrics, steps, config = queries.metrics(run), queries.steps(run), queries.config(run)
    if not len(metrics) and not len(steps):
        if status.state == "running":
            st.info(
                "Reading the images and preparing the network. The first numbers come with the first steps.",
                icon=":material/hourglass_top:",
            )
        elif status.state not in ("queued", "broken", "failed"):
            st.info("This run has no numbers.", icon=":material/info:")
        return
    best, _ = _best(run)
    epochs = status.epochs or (config.epochs if config else 1)
    per_epoch = _steps_per_epoch(run, config, steps)
    left, middle, right = st.columns([4, 4, 3])
    with left.container(gap=None):
        _heading("Loss", "thin: each step")
        plot(
            charts.loss_figure(metrics, steps, epochs=epochs, steps_per_epoch=per_epoch, best=best),
            key="loss_plot",
            label="Loss by epoch for train and validation",
            height=CHART_HEIGHT,
            keep=run.id,
        )
    with middle.container(gap=None):
        offered = charts.measures(metrics, config.classes if config else ())
        if offered:
            measure = st.selectbox("Metric", list(offered), key="run_measure", label_visibility="collapsed")
            plot(
                charts.metric_figure(metrics, offered[measure], epochs=epochs, best=best),
                key="metric_plot",
                label=f"{measure} by epoch for train and validation",
                height=CHART_HEIGHT,
                keep=f"{run.id} {measure}",
            )
        else:
            st.caption("Metrics come at the end of the first epoch.")
    with right.container(gap=None):
        _heading("Learning rate")
        plot(
            charts.lr_figure(metrics, steps, epochs=epochs, steps_per_epoch=per_epoch),
            key="lr_plot",
            label="Learning rate by epoch",
            height=CHART_HEIGHT,
            keep=run.id,
        )


def _heading(text: str, note: str = "") -> None:
    with st.container(height=42, border=False, vertical_alignment="center"):  # as high as the selectbox beside it
        st.markdown(f"**{text}** :small[:gray[{note}]]" if note else f"**{text}**")


def _steps_per_epoch(run: Run, config: TrainConfig | None, steps: pd.DataFrame) -> float:
    samples = queries.samples(run)
    if config is not None and samples is not None and "split" in samples:
        n = int((samples["split"] == "train").sum())
        if n:
            return math.ceil(n / config.batch_size)
    if len(steps) and "epoch" in steps:
        return float(steps["step"].max() / max(1, steps["epoch"].max()))
    return 1.0


# --- settings and log ---


def settings(run: Run) -> None:
    """Every setting of the run beside its default."""
    config = queries.config(run)
    if config is None:
        return
    focal = config.loss is not None and LOSSES[config.loss].focal
    rows = []
    for name in TrainConfig.model_fields:
        if name in ("name", "tags") or (name.startswith("focal_") and not focal):
            continue
        value, default = (
            wording.setting(name, raw, config.task) for raw in (getattr(config, name), knob(name)["default"])
        )
        rows.append({"setting": LABELS.get(name, name), "value": value, "default": default})
    with st.expander("Settings", icon=":material/tune:"):
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="run_settings", width="stretch")


def log(run: Run) -> None:
    """The end of train.log, once it is asked for."""
    box = st.expander("Log", icon=":material/terminal:", key="run_log", on_change="rerun")
    if box.open:
        box.code(run.log_tail(200) or "(empty)", language=None, height=320)
