"""What happens once per server, whatever the page: it warms up, the heap is frozen, and the queue is kept moving."""

from __future__ import annotations

import gc
import importlib
import threading
import time
from pathlib import Path

import streamlit as st

from covidviz.errors import StoreError
from covidviz.jobs.scheduler import ensure_scheduler
from covidviz.ui import flash

__all__ = ["freeze", "keep_queue", "resume_queue", "warm_up"]

# What the first page would import while somebody waits for it.
_FIRST = ("covidviz.ui.runs_page", "covidviz.ui.run_picker", "streamlit.emojis", "streamlit.dataframe_util")
# What the other pages would, once the first one is there.
_LATER = ("covidviz.ui.new_run.summary", "covidviz.ui.new_run.training", "covidviz.ui.results_view",
          "covidviz.ui.images_view", "covidviz.ui.data_page", "covidviz.ui.compare_page", "covidviz.ui.system_page",
          "covidviz.ui.image_answers", "covidviz.ui.lessons.page", "covidviz.ui.recipes.page",
          "covidviz.ui.focal.page")  # fmt: skip
_LATER_S = 5


def warm_up() -> threading.Thread:
    """Import what pages need in a thread, while the browser still opens."""

    def work() -> None:
        for name in _FIRST:
            importlib.import_module(name)
        time.sleep(_LATER_S)
        for name in _LATER:
            importlib.import_module(name)

    thread = threading.Thread(target=work, name="warm-up", daemon=True)
    thread.start()
    return thread


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
