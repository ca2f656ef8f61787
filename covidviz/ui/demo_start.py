"""The Runs page before the first run: one button that makes phantoms and three demo runs, and how far that is."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.paths import runs_dir
from covidviz.ui import flash, nav, tasks, undo
from covidviz.ui.text import md, shorten
from covidviz.weights_cache import can_fetch, is_cached

__all__ = ["empty_page", "running", "strip"]

TASK = "demo"
MODEL = "resnet18"


def running() -> bool:
    """Whether the demo is being made now."""
    task = tasks.look(TASK)
    return task is not None and task.alive


def strip() -> None:
    """One line above the table while the demo is made, or why it failed."""
    task = tasks.look(TASK)
    if task is None:
        return
    if task.alive:
        st.info(f"Making the demo runs. {md(shorten(task.line, 140))}", icon=":material/hourglass_top:")
    elif task.failed:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.error(f"The demo could not be finished: {md(shorten(task.failed, 300))}", icon=":material/error:")
            st.button("Dismiss", key="demo_dismiss", on_click=tasks.forget, args=(TASK,))


def empty_page() -> None:
    """No run yet: what to do."""
    st.fragment(_empty, run_every=1 if running() or not _weights().done() else None)(running())


def _empty(was_running: bool) -> None:
    from covidviz.ui import queries

    if queries.index().refresh() or running() != was_running:
        st.rerun()
    flash.show()
    with st.container(horizontal=True, vertical_alignment="center"):
        undo.line()
    with st.container(border=True, key="runs_empty", horizontal_alignment="center", gap="small"):
        st.subheader("No runs yet", anchor=False, width="content")
        task = tasks.look(TASK)
        if was_running and task:
            st.markdown(
                "Making phantoms and three demo runs. They appear here as soon as they are queued.", width="content"
            )
            st.progress(task.share or 0.0, text=md(shorten(task.line, 120)) or "Starting", width=480)
            return
        strip()
        st.markdown(
            "The demo needs no data of yours: it draws images that look like X-rays and trains three networks on them.",
            width="content",
        )
        st.caption(_start_words(), width="content")
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.button("Make demo runs", key="demo_make", type="primary", icon=":material/auto_awesome:", on_click=_make)
            if st.button("Set up my own run", key="demo_own", icon=":material/tune:"):
                st.switch_page(nav.NEW_RUN)


def _make() -> None:
    try:
        tasks.start(TASK, "demo", str(runs_dir()))
    except CovidvizError as error:
        flash.say(error, "error")


@st.cache_resource(show_spinner=False, ttl=60)
def _weights() -> Future[bool]:
    """Whether the ImageNet weights are at hand or can be fetched; asked in the background, it may take seconds."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(lambda: is_cached(MODEL) or can_fetch(MODEL))
    pool.shutdown(wait=False)
    return future


def _start_words() -> str:
    if is_cached(MODEL):
        return "The networks start from ImageNet weights, which are on this machine."
    if not _weights().done():
        return "Looking whether the ImageNet weights can be fetched."
    if _weights().result():
        return "The networks start from ImageNet weights, which are downloaded first (45 MB)."
    return "The networks start from scratch, because the ImageNet weights are neither on this machine nor reachable."
