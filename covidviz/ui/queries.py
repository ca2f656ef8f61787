"""What pages read, cached by file version: a file is read again only when its size or time changed.

Frames come as copies (a page may change its own); arrays and `Run` objects are shared and must be left as they are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.config import TrainConfig
from covidviz.paths import runs_dir
from covidviz.store import layout
from covidviz.store.index import RunIndex, RunSummary
from covidviz.store.reader import Cams, History, Run
from covidviz.ui.state import known_run

__all__ = [
    "RunList", "Snapshot", "cams", "config", "environment", "history", "index", "metrics", "predictions", "run",
    "samples", "steps", "system",
]  # fmt: skip

Version = tuple[int, int]


@dataclass(frozen=True)
class Snapshot:
    """The runs at one moment, newest first; `version` is another one whenever something about them changed."""

    version: int
    runs: list[RunSummary]


class RunList:
    """The index of one runs folder, shared by all sessions."""

    def __init__(self, folder: Path) -> None:
        self._index = RunIndex(folder)
        self._lock = Lock()
        self._last = Snapshot(0, [])
        self._at = float("-inf")

    def snapshot(self, max_age: float = 0.0) -> Snapshot:
        """All runs. Only what changed on disk is read again.

        Args:
            max_age: seconds; what was found less long ago than that will do, without a look at the disk.
        """
        with self._lock:
            if time.monotonic() - self._at < max_age:
                return self._last
            self._at = time.monotonic()
            runs = self._index.refresh()
            if runs != self._last.runs:
                self._last = Snapshot(self._last.version + 1, runs)
            return self._last

    def refresh(self) -> list[RunSummary]:
        """All runs, newest first."""
        return self.snapshot().runs


@st.cache_resource(show_spinner=False, max_entries=4)
def _run_list(folder: str) -> RunList:
    return RunList(Path(folder))


def index() -> RunList:
    """The runs of the current runs folder; call `refresh()` on it."""
    return _run_list(str(runs_dir()))


def run(run_id: str | None) -> Run | None:
    """The run directory of `run_id`, or None if there is no such run."""
    known = known_run(run_id)
    return None if known is None else Run(runs_dir() / known)


@st.cache_data(show_spinner=False, max_entries=96)
def _frame(what: str, folder: str, version: Version) -> Any:  # noqa: ARG001  version is part of the cache key
    return getattr(Run(Path(folder)), what)()


@st.cache_resource(show_spinner=False, max_entries=24)
def _shared(what: str, folder: str, version: Version, *args: str) -> Any:  # noqa: ARG001
    return getattr(Run(Path(folder)), what)(*args)


def metrics(run: Run) -> pd.DataFrame:
    """One row per epoch and split: `epoch`, `split`, then the metrics of the contract."""
    return _frame("metrics", str(run.dir), run.version(layout.METRICS))


def steps(run: Run) -> pd.DataFrame:
    """One row per logged optimizer step: `step`, `epoch`, `loss`, `lr`."""
    return _frame("steps", str(run.dir), run.version(layout.STEPS))


def system(run: Run) -> pd.DataFrame:
    """CPU, memory and GPU over time."""
    return _frame("system", str(run.dir), run.version(layout.SYSTEM))


def samples(run: Run) -> pd.DataFrame | None:
    """`sample_id`, `path`, `split`, `label_<class>`, and what else is known; None before the run is submitted whole."""
    return _frame("samples", str(run.dir), run.version(layout.SAMPLES))


def predictions(run: Run) -> pd.DataFrame | None:
    """`sample_id`, `split`, `prob_<class>`, `loss` of the best epoch; None until the run has them."""
    return _frame("predictions", str(run.dir), run.version(layout.PREDICTIONS))


def config(run: Run) -> TrainConfig | None:
    """The settings, or None where they can't be read."""
    return _shared("config", str(run.dir), run.version(layout.CONFIG))


def environment(run: Run) -> dict[str, Any]:
    """Versions, hardware, git commit, data fingerprint; empty where unknown."""
    return _shared("environment", str(run.dir), run.version(layout.ENVIRONMENT))


def history(run: Run) -> History | None:
    """Probabilities of the validation split over the epochs."""
    return _shared("history", str(run.dir), run.version(layout.HISTORY))


def cams(run: Run, split: str) -> Cams | None:
    """The logged heat maps of one split."""
    return _shared("cams", str(run.dir), run.version(f"{layout.CAMS}/{split}.npz"), split)
