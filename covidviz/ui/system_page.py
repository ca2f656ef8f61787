"""The System page: devices and what runs on them, the queue, the disk, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import psutil
import streamlit as st

from covidviz.errors import StoreError
from covidviz.jobs import diagnosis, versions
from covidviz.jobs.devices import Slot, slots
from covidviz.jobs.queue import claims, queued, reorder
from covidviz.jobs.scheduler import scheduler_pid
from covidviz.paths import cache_dir, data_dir, runs_dir
from covidviz.store.index import RunSummary
from covidviz.store.layout import is_run_id
from covidviz.store.status import host_name, read_status
from covidviz.ui import flash, nav, queries, run_actions, server, system_disk
from covidviz.ui.components.queue import queue
from covidviz.ui.system_data import Place, places, queue_items, size
from covidviz.ui.text import duration, md, percent, shorten, state_text

__all__ = ["body"]

POLL_S = 2
LOOKS = {"ok": ("green", "✓ ready"), "note": ("gray", "○ no GPU"), "bad": ("orange", "! not used")}


def body() -> None:
    """The whole page."""
    st.title("System", anchor=False)
    _diagnosis()
    _work()
    system_disk.show()
    _versions()


# --- the GPU ---


@st.cache_resource(show_spinner=False, ttl=3600)
def _machine() -> tuple[diagnosis.Facts, diagnosis.Diagnosis, list[Slot]]:
    facts = diagnosis.look()
    return facts, diagnosis.diagnose(facts), slots()


def _diagnosis() -> None:
    facts, found, _ = _machine()
    color, word = LOOKS[found.level]
    with st.container(border=True, key="system_gpu"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("**GPU set-up**", width="content")
            st.badge(md(word), color=color)  # type: ignore[arg-type]
            st.markdown(md(found.finding), width="stretch")
            st.button("Look again", key="system_again", icon=":material/refresh:", on_click=_machine.clear,
                      type="tertiary")  # fmt: skip
        if found.remedy:
            st.markdown(f"**What helps:** {md(found.remedy)}")
        driver = f"Driver {facts.driver}" if facts.driver else "No NVIDIA driver"
        torch = facts.torch.version if facts.torch else "not installed"
        built = f"CUDA {facts.torch.cuda}" if facts.torch and facts.torch.cuda else "the CPU"
        st.caption(md(f"{driver} · torch {torch}, built for {built}"))


# --- devices and queue ---


def _live(runs: Sequence[RunSummary]) -> bool:
    return any(state_text(run.state).live for run in runs)


def _work() -> None:
    live = _live(queries.index().refresh())

    @st.fragment(run_every=POLL_S if live else None)
    def part() -> None:
        runs = {run.run_id: run for run in queries.index().refresh()}
        if _live(list(runs.values())) != live:
            st.rerun()  # the whole page, so that polling begins or ends
        flash.show()
        if any(run.state == "queued" for run in runs.values()):
            server.keep_queue(runs_dir())
        with st.container(key="system_devices"):
            _devices(list(runs.values()))
        with st.container(key="system_queue"):
            _queue(runs)

    part()


def _devices(runs: Sequence[RunSummary]) -> None:
    host = host_name()
    facts, _, there = _machine()
    memory = {f"cuda:{gpu.index}": gpu.memory_mb for gpu in facts.gpus}
    found, elsewhere = places(there, runs, claims(runs_dir()), lambda run_id: _host(run_id) in ("", host))
    st.subheader("Devices", anchor=False)
    for start in range(0, len(found), 3):
        for column, place in zip(st.columns(3, gap="small"), found[start : start + 3], strict=False):
            key = f"system_slot_{place.slot.name.replace(':', '_')}"
            with column.container(border=True, height="stretch", key=key):
                _device(place, memory.get(place.slot.name))
    for run in elsewhere:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"system_else_{run.run_id}"):
            where = _host(run.run_id)
            how = f"on {where}" if where and where != host else "beside them, started in a terminal"
            st.markdown(
                f"► {md(shorten(run.name, 60))} :gray[{md(f'{percent(run.progress)}, {how}')}]", width="content"
            )
            _open(run)


def _host(run_id: str) -> str:
    return read_status(runs_dir() / run_id).host


def _device(place: Place, memory_mb: int | None) -> None:
    slot, run = place.slot, place.run
    title = "CPU" if slot.name == "cpu" else f"{shorten(slot.title, 50)} ({slot.name})"
    with st.container(gap=None):
        st.markdown(f"**{md(title)}**")
        if memory_mb is not None:
            st.caption(f"{memory_mb / 1024:.0f} GiB memory")
    if run is None:
        st.markdown("○ free")
        return
    st.markdown(f"► {md(shorten(run.name, 60))}")
    left = f", about {duration(run.eta_s)} left" if run.eta_s is not None else ""
    st.progress(min(1.0, max(0.0, run.progress)), text=md(f"{percent(run.progress)}{left}"))
    if load := _load(run.run_id, gpu=slot.is_gpu):
        st.caption(md(load))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _open(run)
        st.button("Stop", key=f"system_stop_{run.run_id}", icon=":material/stop_circle:", type="tertiary",
                  on_click=run_actions.stop, args=([run.run_id],),
                  help="Stops after the current batch. It can be resumed.")  # fmt: skip


def _load(run_id: str, *, gpu: bool) -> str:
    """What the training has of the machine, as it noted last."""
    run = queries.run(run_id)
    rows = queries.system(run) if run is not None else None
    if rows is None or not len(rows):
        return ""
    last = rows.iloc[-1]
    shown = (("GPU", "gpu_percent", "%"), ("GPU memory", "gpu_memory_mb", "MB")) if gpu else ()
    parts = (*shown, ("CPU", "cpu_percent", "%"), ("memory of the training", "memory_mb", "MB"))
    return " · ".join(f"{name} {last[key]:,.0f} {unit}" for name, key, unit in parts
                      if key in last and last[key] == last[key])  # fmt: skip


def _open(run: RunSummary) -> None:
    st.page_link(nav.RUN, label="Open", icon=":material/monitoring:", query_params={"run": run.run_id})


def _queue(runs: dict[str, RunSummary]) -> None:
    items = queue_items(queued(runs_dir()), runs)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.subheader("Queue", anchor=False, width="content")
        pid = scheduler_pid(runs_dir())
        said = f"{len(items)} waiting" if items else "Nothing waits."
        st.caption(said + (f" · scheduler: process {pid}" if items and pid is not None else ""))
    if not items:
        return
    queue(items, key="system_queue_list", on_move=_move, on_cancel=_cancel)


def _move(run_id: str, before: str | None) -> None:
    ids = [run_id] if before is None else [run_id, before]
    try:
        moved = all(map(is_run_id, ids)) and reorder(runs_dir(), run_id, before)
    except StoreError as error:
        flash.say(error, "error")
        return
    if not moved:
        flash.say("The queue has changed meanwhile: one of the two runs does not wait any more.", "note")


def _cancel(run_id: str) -> None:
    run_actions.stop([run_id])


# --- versions ---


@st.cache_resource(show_spinner=False)
def _installed() -> str:
    found = versions.versions()
    commit = versions.git_commit()
    found["covidviz"] += f" ({commit})" if commit else ""
    return "\n".join(f"{name:<14}{number}" for name, number in found.items())


@st.cache_resource(show_spinner=False)
def _computer() -> str:
    memory = psutil.virtual_memory().total
    return f"{host_name()} · {platform.system()} {platform.release()} · {os.cpu_count()} cores · {size(memory)} memory"


def _versions() -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Versions", anchor=False)
        st.code(_installed(), language=None)
        st.caption("Copy them into a question or a bug report.")
    with right:
        st.subheader("This machine", anchor=False)
        st.markdown(md(_computer()))
        for what, folder in (("Runs", runs_dir()), ("Built-in data", data_dir()), ("Caches", cache_dir())):
            st.caption(what)
            st.code(str(folder), language=None, wrap_lines=True)
