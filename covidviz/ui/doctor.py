"""The data doctor for pages: reports that are there, checks that run in a process of their own, and the verdict."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from covidviz.data.doctor import Report, known
from covidviz.paths import cache_dir
from covidviz.ui import datasets, tasks

__all__ = ["LEAKS", "Verdict", "ensure", "failed", "pending", "report", "running", "start", "verdict"]

LEAKS = ("exact-duplicates", "near-duplicates", "patient-overlap")  # what scores are too good by

MOST = 32  # lookups remembered
WAIT_S = 0.5  # a page waits no longer

_lookups: OrderedDict[tuple[object, ...], Future[Report | None]] = OrderedDict()
_thread = ThreadPoolExecutor(1, "doctor-report")
_begun: set[tuple[str, str, object]] = set()  # what this server has had checked, as it was then
_lock = threading.Lock()


def _name(path: Path, split_column: str) -> str:
    return f"doctor-{hashlib.blake2s(os.fsencode(f'{path}|{split_column}'), digest_size=8).hexdigest()}"


# --- reports ---


def report(path: Path, split_column: str, wait: float | None = None) -> Report | None:
    """What the doctor said of exactly this content, if it was asked before. Shared by all sessions: leave it as it is.

    It is looked up once, until the dataset's folders or the reports change; a file rewritten in place goes unnoticed
    until then. With 100,000 images that takes seconds: None too while `pending`.

    Args:
        wait: seconds at most; None for WAIT_S.
    """
    found = _lookup(path, split_column)
    if found is None:
        return None
    try:
        return found.result(WAIT_S if wait is None else wait)
    except (TimeoutError, OSError):  # not yet; or not readable (any more)
        return None


def pending(path: Path, split_column: str) -> bool:
    """Whether a report is still being looked up."""
    found = _lookup(path, split_column)
    return found is not None and not found.done()


def _lookup(path: Path, split_column: str) -> Future[Report | None] | None:
    try:
        written = (cache_dir() / "doctor").stat().st_mtime_ns  # another one with each new report
    except OSError:
        return None
    key = (str(path), split_column, datasets.folder_version(path), written)
    with _lock:
        if key not in _lookups:
            _lookups[key] = _thread.submit(known, path, split_column)
            while len(_lookups) > MOST:
                _lookups.popitem(last=False)
        return _lookups[key]


# --- the process ---


def running(path: Path, split_column: str) -> tasks.Task | None:
    """The check that goes on now, if one does."""
    task = tasks.look(_name(path, split_column))
    return task if task is not None and task.alive else None


def failed(path: Path, split_column: str) -> str | None:
    """Why the last check gave no report, as far as this server knows."""
    task = tasks.look(_name(path, split_column))
    if task is None or task.failed is None:
        return None
    return task.failed if task.share is None else f"it ended early ({task.failed})"


def start(path: Path, split_column: str) -> None:
    """Check now, whether there is a report or not.

    Raises:
        StoreError: the log of the process can't be written.
    """
    with _lock:
        _begun.add((str(path), split_column, datasets.folder_version(path)))
    _launch(path, split_column)


def _launch(path: Path, split_column: str) -> None:
    tasks.start(_name(path, split_column), "doctor", str(path), split_column)


def ensure(path: Path, split_column: str) -> None:
    """Have the dataset checked, unless there is a report or this server had this content checked before.

    Raises:
        StoreError: as `start`.
    """
    found = report(path, split_column)
    if found is not None or pending(path, split_column) or running(path, split_column) is not None:
        return
    with _lock:
        begun = (str(path), split_column, datasets.folder_version(path)) in _begun
    if not begun:
        start(path, split_column)


# --- in one line ---


@dataclass(frozen=True)
class Verdict:
    """A report in a few words: `severity` as of its worst check, and how many checks have something to say."""

    severity: str
    words: str
    things: int


def verdict(report: Report) -> Verdict:
    """The words of the traffic light."""
    count = {level: sum(check.severity == level for check in report.checks) for level in ("bad", "warn", "note")}
    things = count["bad"] + count["warn"]
    leaking = [check for check in report.checks if check.id in LEAKS and check.severity == "bad"]
    if leaking:
        words = "Leaks between splits"
    elif things:
        words = f"Data: {things} {'thing' if things == 1 else 'things'} to know"
    else:
        words = "Data: fine"
    return Verdict(report.severity, words, things)
