"""Long work started from a page: `covidviz.ui.background` as a process of its own, followed through files.

A page is never blocked, and closing the tab or restarting the server does not end them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from covidviz.paths import PROJECT, runs_dir
from covidviz.store.files import read_json, saving, write_json_atomic
from covidviz.store.status import process_alive, process_start

__all__ = ["Task", "forget", "look", "start"]

_PROCESSES: dict[Path, subprocess.Popen[bytes]] = {}  # children of this server, to be collected when they end
_LOCK = Lock()
_TAIL = 8192


@dataclass(frozen=True)
class Task:
    """Work that was started. `failed` is its last line where it ended badly."""

    alive: bool
    line: str  # the last line it printed
    failed: str | None

    @property
    def share(self) -> float | None:
        """How far it is (0..1), where its last line says so in percent."""
        found = re.search(r"(\d{1,3}) %", self.line)
        return min(1.0, int(found[1]) / 100) if found else None


def _folder() -> Path:
    return runs_dir() / ".tasks"  # a name with a dot is no run


def start(name: str, *arguments: str) -> None:
    """Start `python -m covidviz.ui.background ARGUMENTS` unless what is called `name` still runs.

    Raises:
        StoreError: its log can't be written.
    """
    record, log = _folder() / f"{name}.json", _folder() / f"{name}.log"
    with _LOCK:
        if (task := look(name)) is not None and task.alive:
            return
        with saving(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "covidviz.ui.background", *arguments], stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, cwd=PROJECT, start_new_session=True, close_fds=True,
                )  # fmt: skip
        _PROCESSES[record] = process
        write_json_atomic(record, {"pid": process.pid, "start": process_start(process.pid)})


def look(name: str) -> Task | None:
    """How what is called `name` is doing; None if it was never started or is forgotten."""
    record = _folder() / f"{name}.json"
    known = read_json(record)
    if known is None or not isinstance(known.get("pid"), int):
        return None
    process = _PROCESSES.get(record)
    code = None if process is None else process.poll()
    alive = code is None and process_alive(known["pid"], known.get("start"))
    if process is not None and not alive and code is None:
        # Dead, but its last threads are still leaving: how it ended is known in a moment.
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(5)
    line = _last_line(_folder() / f"{name}.log")
    return Task(alive, line, line or f"it ended with code {code}" if code else None)


def forget(name: str) -> None:
    """Don't speak of it any more."""
    (_folder() / f"{name}.json").unlink(missing_ok=True)


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # A progress line that rewrites itself ends in a carriage return.
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return lines[-1] if lines else ""
