"""What happens once per server, whatever the page: the heap is frozen, and the queue is kept moving."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from covidviz.errors import StoreError
from covidviz.jobs.scheduler import ensure_scheduler
from covidviz.ui import flash

__all__ = ["freeze", "keep_queue", "resume_queue"]


@st.cache_resource(show_spinner=False)
def freeze() -> None:
    """Take what was imported out of the garbage collector's sight: a full pass costs 40 to 80 ms otherwise."""
    import pandas as pd
    import pyarrow as pa

    del pd, pa
    gc.collect()
    gc.freeze()


@st.cache_resource(show_spinner=False)
def resume_queue(runs_dir: Path) -> None:
    """Once: runs that an earlier session left in the queue go on."""
    _ensure(runs_dir)


@st.cache_resource(show_spinner=False, ttl=10)
def keep_queue(runs_dir: Path) -> None:
    """Every ten seconds at most, while somebody watches queued runs: a scheduler that was killed is started again."""
    _ensure(runs_dir)


def _ensure(runs_dir: Path) -> None:
    try:
        ensure_scheduler(runs_dir)
    except StoreError as error:
        flash.say(error, "error")
