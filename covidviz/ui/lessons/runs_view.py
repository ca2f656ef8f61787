"""The runs of a lesson while they are made: what is being done, what is before it, what went wrong, one button."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from io import BytesIO

import streamlit as st
from PIL import Image

from covidviz.errors import CovidvizError
from covidviz.jobs.queue import queued
from covidviz.lessons import pictures
from covidviz.lessons.runs import find
from covidviz.lessons.shape import Lesson
from covidviz.paths import runs_dir
from covidviz.store.summary import RunSummary
from covidviz.ui import flash, nav, queries, server, tasks
from covidviz.ui.lessons import links
from covidviz.ui.text import duration, md, shorten, state_text

__all__ = ["complete", "examples", "found", "show"]

POLL_S, IDLE_S = 1.0, 4.0
SIDE = 192  # pixels
Found = Mapping[str, RunSummary | None]


def found(lesson: Lesson, max_age: float = 0.0) -> Found:
    """The lesson's runs as they are now, or were at most `max_age` seconds ago."""
    return find(lesson, queries.index().snapshot(max_age).runs)


def complete(rows: Found) -> bool:
    return all(row is not None and row.state == "completed" for row in rows.values())


def _task(lesson: Lesson) -> str:
    return f"lesson-{lesson.number}"


def _start(lesson: Lesson) -> None:
    task = tasks.look(_task(lesson))
    if task is not None and not task.alive:
        tasks.forget(_task(lesson))
    try:
        tasks.start(_task(lesson), "lesson", str(lesson.number), str(runs_dir()))
    except CovidvizError as error:
        flash.say(error, "error")


def show(lesson: Lesson) -> None:
    """The whole step; it follows the runs while any is on its way."""
    busy, done = _state(lesson)
    # Somebody else may start them too.
    st.fragment(_show, run_every=POLL_S if busy else None if done else IDLE_S)(lesson, (busy, done))


def _busy(lesson: Lesson, rows: Found) -> bool:
    task = tasks.look(_task(lesson))
    return (task is not None and task.alive) or any(
        row is not None and state_text(row.state).live for row in rows.values()
    )


def _state(lesson: Lesson) -> tuple[bool, bool]:
    rows = found(lesson)
    return _busy(lesson, rows), complete(rows)


def _show(lesson: Lesson, before: tuple[bool, bool]) -> None:
    rows = found(lesson, POLL_S / 2 if before[0] else 0.0)  # a class looks at the same runs
    busy, done = _busy(lesson, rows), complete(rows)
    if (busy, done) != before:
        st.rerun()
    flash.show()
    task = tasks.look(_task(lesson))
    if task is not None and task.alive:
        st.progress(task.share or 0.0, text=md(shorten(task.line, 120)) or "Starting")
    elif task is not None and task.failed:
        st.error(f"The runs could not be queued: {md(shorten(task.failed, 300))}", icon=":material/error:")
    if busy:
        server.keep_queue(runs_dir())
    order = [waiting.run_id for waiting in queued(runs_dir())]
    left, right = st.columns([3, 2], gap="large")
    with left, st.container(key="lesson_runs", gap="xsmall"):
        for trial in lesson.trials:
            _line(trial.name, rows[trial.key], order)
    with right:
        examples(lesson)
    if done:
        times = sum(row.finished - row.started for row in rows.values() if row and row.finished and row.started)
        st.success(f"Trained on this server, in {duration(times)} in all.", icon=":material/check:")
        if st.button("See what came out", key="lesson_see", type="primary", icon=":material/visibility:"):
            links.go(lesson.number, "reveal")
            st.rerun()  # a callback would draw this part alone anew
    elif not busy:
        ended = [row for row in rows.values() if row is not None and row.state != "completed"]
        st.button("Run it again" if ended else "Run it", key="lesson_start", type="primary",
                  icon=":material/play_arrow:", on_click=_start, args=(lesson,))  # fmt: skip
        st.caption("Seconds per run. The first lesson on a machine draws its images first, about half a minute.")


def examples(lesson: Lesson) -> None:
    """A few of the lesson's images, where they are made already."""
    shown = pictures.examples(lesson.trials[0].dataset)
    figures = [
        f'<figure><img alt="Phantom, {escape(words)}" src="data:image/png;base64,{_small(str(path))}">'
        f"<figcaption>{escape(words)}</figcaption></figure>"
        for path, words in shown
    ]
    if figures:
        st.html(f'<div class="lesson-pictures">{"".join(figures)}</div>')  # st.image knows no alternative text


@st.cache_data(show_spinner=False, max_entries=64)
def _small(path: str) -> str:
    with Image.open(path) as opened:
        picture = opened.convert("L")
    picture.thumbnail((SIDE, SIDE))
    out = BytesIO()
    picture.save(out, "PNG")
    return b64encode(out.getvalue()).decode()


def _line(name: str, row: RunSummary | None, order: list[str]) -> None:
    """One run: its state in words, with a link once it is there."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if row is None:
            st.badge("· not run yet", color="gray", width="content")
            st.markdown(md(name), width="stretch")
            return
        look = state_text(row.state)
        st.badge(md(look.label), color=look.color, width="content")  # type: ignore[arg-type]
        st.page_link(nav.RUN, label=md(name), query_params={"run": row.run_id}, width="content")
        st.markdown(md(_doing(row, order)), width="stretch")
    if row.state == "running":
        st.progress(row.progress)
    if row.state in ("failed", "lost") and row.error:
        st.caption(md(shorten(row.error, 200)))


def _doing(row: RunSummary, order: list[str]) -> str:
    if row.state == "queued":
        before = order.index(row.run_id) if row.run_id in order else 0
        return "next in the queue" if not before else f"{before} {'run' if before == 1 else 'runs'} before it"
    if row.state == "running":
        run = queries.run(row.run_id)
        phase = run.status().extra.get("phase") if run is not None else None
        return phase if isinstance(phase, str) and phase else f"epoch {row.epoch} of {row.epochs}"
    return ""
