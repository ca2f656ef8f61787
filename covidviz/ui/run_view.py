"""The top of the Run page: what a run is doing, what went wrong, and its curves; it follows the run while it lives."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import streamlit as st

from covidviz.catalog import LOSSES
from covidviz.evaluation.metric_names import metric_name
from covidviz.jobs.queue import queued
from covidviz.paths import runs_dir
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.status import Status
from covidviz.ui import curves_view, flash, nav, queries, run_actions
from covidviz.ui.advice import advice
from covidviz.ui.kept_line import kept_line
from covidviz.ui.report_view import report_button
from covidviz.ui.text import ago, duration, epoch_of, md, number, state_text

__all__ = ["POLL_S", "follow", "head_and_curves"]

POLL_S = 2.5


def follow(run: Run) -> None:
    """For the beginning of a fragment: show what callbacks said, and leave a run that is not there any more."""
    if not run.dir.is_dir():
        st.rerun()
    flash.show()


def head_and_curves(run: Run) -> None:
    """State, buttons and curves; refreshed every POLL_S seconds while the run lives, and only then."""
    before = run.status()

    @st.fragment(run_every=POLL_S if before.live else None)
    def part() -> None:
        status = run.status()
        if status.state != before.state:
            st.rerun()  # the whole page, with or without the polling
        follow(run)
        with st.container(key="run_head"):  # holds what comes and goes, so that the charts below stay the same nodes
            _head(run, status)
            _trouble(run, status)
        with st.container(key="run_curves", gap=None):
            curves_view.curves(run, status, best(run)[0])

    part()


def best(run: Run) -> tuple[int | None, dict[str, dict[str, Any]]]:
    """The best epoch and its numbers, as `Run.best`."""
    return _best_of(str(run.dir), run.version(layout.METRICS), run.version(layout.CONFIG))


@st.cache_resource(show_spinner=False, max_entries=32)
def _best_of(
    folder: str,
    metrics: tuple[int, int],  # noqa: ARG001
    config: tuple[int, int],  # noqa: ARG001
) -> tuple[int | None, dict[str, dict[str, Any]]]:
    return Run(Path(folder)).best()


# --- head ---


def _head(run: Run, status: Status) -> None:
    look = state_text(status.state)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(md(look.label), color=look.color, width="content")  # type: ignore[arg-type]
        st.markdown(md(" · ".join(_facts(run, status))), width="stretch")
        _buttons(run, status)
    if status.live:
        st.progress(status.progress, text=_progress_text(run, status))
    if line := kept_line(status):
        st.caption(md(line))


def _facts(run: Run, status: Status) -> list[str]:
    facts = [f"epoch {status.epoch} of {status.epochs}"] if status.epochs else []
    epoch, rows = best(run)
    config = queries.config(run)
    if epoch is not None and config is not None:
        value = rows.get("val", {}).get(config.monitor.removeprefix("val_"))
        facts.append(f"best {epoch}: {metric_name(config.monitor)} {number(value)}")
    if status.device:
        facts.append(status.device)
    began, ended = epoch_of(status.started), epoch_of(status.finished)
    if began is not None and ended is not None:
        facts.append(f"took {duration(ended - began)}")
    if status.created is not None:
        facts.append(f"created {ago(status.created)}")
    return facts


def _progress_text(run: Run, status: Status) -> str:
    if status.state == "queued":
        return _place_in_queue(run)
    left = f", about {duration(status.eta_s)} left" if status.eta_s is not None else ""
    phase = status.extra.get("phase")
    doing = f"{phase} · " if isinstance(phase, str) and phase else ""
    return md(f"{doing}{math.floor(100 * status.progress)} %{left}")


def _place_in_queue(run: Run) -> str:
    ids = [waiting.run_id for waiting in queued(runs_dir())]
    before = ids.index(run.id) if run.id in ids else 0
    if not before:
        return "Waiting for a free device, next in the queue" if run.id in ids else "Waiting for a free device"
    return f"Waiting for a free device, {before} {'run' if before == 1 else 'runs'} before it"


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
    has_checkpoint = (run.dir / layout.LAST).exists()
    if status.state in layout.RESUMABLE:
        again = "Resume" if status.epoch or has_checkpoint else "Try again"
        st.button(
            again,
            key="run_resume",
            icon=":material/resume:",
            on_click=run_actions.resume,
            args=([run.id],),
            type="secondary" if advice(status, has_checkpoint).startswith("Clone") else "primary",
            help="Goes on from the last checkpoint." if again == "Resume" else "Starts the same settings once more.",
        )
    if status.state == "completed":
        report_button([run.id], key="run_report")
    if queries.config(run) is not None and st.button(
        "Clone", key="run_clone", icon=":material/content_copy:", help="A new run that starts from these settings."
    ):
        st.switch_page(nav.NEW_RUN, query_params={"clone": run.id})


# --- what went wrong ---


def _trouble(run: Run, status: Status) -> None:
    """The reason first, then the log, then what to do."""
    if status.state not in ("failed", "lost", "broken"):
        pass
    elif status.error:
        st.error(md(status.error), icon=":material/error:")
    else:
        st.error("It ended without saying why.", icon=":material/error:")
    if status.state == "failed" and (tail := run.log_tail(12)):
        st.caption("The end of its log")
        st.code(tail, language=None, wrap_lines=True)
    if todo := advice(status, (run.dir / layout.LAST).exists()):
        st.info(md(todo), icon=":material/lightbulb:")
    config = queries.config(run)
    row = None if config is None or config.loss is None else LOSSES.get(config.loss)
    if row is not None and row.teaching:
        st.warning(md(f"Trained with a faulty loss that is kept for teaching. {row.help}"), icon=":material/school:")
    if alarms := _alarms(status):
        st.warning("  \n".join(map(md, alarms)), icon=":material/warning:")


def _alarms(status: Status) -> list[str]:
    given = status.extra.get("alarms")
    return [str(alarm) for alarm in given] if isinstance(given, list) else []
