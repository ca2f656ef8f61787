"""A queue in a folder of its own, whose processes end with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_worker
import pytest

from covidviz.config import TrainConfig
from covidviz.jobs.queue import enqueue
from covidviz.jobs.scheduler import ensure_scheduler, scheduler_pid
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.locks import Lock
from covidviz.store.runs import create_run, list_run_dirs
from covidviz.store.status import process_alive, read_status

CLASSES = ("covid19", "normal", "pneumonia")


class Queue:
    """A runs folder and what a test does with it."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.children: list[subprocess.Popen[bytes]] = []

    def create(self, name: str = "quick", **settings: Any) -> Path:
        """A run that says queued, but is not in the queue."""
        config = TrainConfig.parse({"data": "/data", "name": name, "epochs": 3, **settings})
        return create_run(config.resolve(CLASSES), self.runs)

    def add(self, name: str = "quick", **settings: Any) -> Path:
        run_dir = self.create(name, **settings)
        enqueue(run_dir)
        return run_dir

    def ensure(self) -> bool:
        """As the app does it: in the background, if none is there."""
        return ensure_scheduler(self.runs, command=fake_worker.COMMAND)

    def start(self, *places: tuple[str, str]) -> subprocess.Popen[bytes]:
        """A scheduler with these slots (name, visible), as a child of the test."""
        program = (
            "import ast, sys; from pathlib import Path\n"
            "from covidviz.jobs.devices import Slot\n"
            "from covidviz.jobs.scheduler import run_scheduler\n"
            "places = [Slot(name, name, visible) for name, visible in ast.literal_eval(sys.argv[2])]\n"
            "run_scheduler(Path(sys.argv[1]), command=sys.argv[3:], places=places, tick=0.05)"
        )
        given = str(list(places or [("cpu", "")]))
        with (self.runs.parent / "scheduler.txt").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-c", program, str(self.runs), given, *fake_worker.COMMAND], stderr=log, cwd=PROJECT
            )
        self.children.append(child)
        self.until(lambda: self.pid() == child.pid or child.poll() is not None)
        return child

    def is_there(self) -> bool:
        """Whether a scheduler works here, or is about to."""
        path = self.runs / layout.SCHEDULER_LOCK
        lock = Lock.take(path) if path.exists() else None
        if lock is not None:
            lock.release()
        return lock is None and path.exists()

    def pid(self) -> int | None:
        """The process id of the scheduler that works here; None also while it starts."""
        return scheduler_pid(self.runs) if self.is_there() else None

    def starts(self) -> list[str]:
        """Names of the runs whose process was started, in order."""
        return [line.split()[1] for line in self._lines()]

    def visible(self) -> dict[str, str]:
        """CUDA_VISIBLE_DEVICES by name of run."""
        return {line.split()[1]: line.split()[2].strip("[]") for line in self._lines()}

    def _lines(self) -> list[str]:
        path = self.runs / "starts.txt"
        return path.read_text().splitlines() if path.exists() else []

    def states(self) -> list[str]:
        return [read_status(path).state for path in list_run_dirs(self.runs)]

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"states {self.states()}, starts {self.starts()}, {self.log()}"
            time.sleep(0.02)

    def until_state(self, run_dir: Path, state: str) -> None:
        self.until(lambda: read_status(run_dir).state == state)

    def log(self) -> str:
        paths = (self.runs.parent / "scheduler.txt", self.runs / layout.SCHEDULER_LOG)
        return "".join(path.read_text() for path in paths if path.exists())

    def kill_scheduler(self) -> None:
        self.until(self.pid)
        os.kill(self.pid() or 0, signal.SIGKILL)

    def end(self) -> None:
        """Ends every process that the test started, the trainings first: they would start a scheduler again."""
        for child in self.children:
            child.kill()
            child.wait()
        self._end_scheduler()
        pids = [int(line.split()[3]) for line in self._lines()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait(lambda: not any(process_alive(pid) for pid in pids))
        self._end_scheduler()

    def _end_scheduler(self) -> None:
        self._wait(lambda: not self.is_there() or (self.pid() and process_alive(self.pid() or 0)))
        if (pid := self.pid()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self._wait(lambda: not self.is_there())

    @staticmethod
    def _wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)


@pytest.fixture
def queue(runs: Path) -> Iterator[Queue]:
    queue = Queue(runs)
    yield queue
    queue.end()
