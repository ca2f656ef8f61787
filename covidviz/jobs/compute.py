"""The server's compute worker, seen from the server: started when it is wanted, asked, and started again. No torch.

>>> job = worker().ask("lab", session="s1", config=resolved.dump())
>>> for event in job:      # ends after `done`, `error` or `cancelled`
...     print(event["event"])

What can be asked and answered stands in `covidviz.training.compute`.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import orjson
import psutil

from covidviz.errors import CovidvizError
from covidviz.paths import PROJECT

__all__ = ["ENDS", "Job", "Worker", "worker"]

Event = dict[str, Any]

COMMAND = (sys.executable, "-m", "covidviz.training.compute")
ENDS = ("done", "error", "cancelled")
BACKGROUND = ("sweep", "lr_range", "near", "what_if")
BASE = 1 << 30  # bytes of torch, a network, and what the allocator does not give back, beside the kept features
DIED = "the compute worker ended unexpectedly; it was started again"
ENDED = "the compute worker was ended with the server"
NEVER = "the compute worker could not be started; the terminal of the server says why"


class Job:
    """Something that was asked. Its events come in order; the last one is of `ENDS`."""

    def __init__(self, stop: Callable[[], None], deliver: Callable[[Event], object] | None = None) -> None:
        """
        Args:
            stop: tells the worker that nobody waits any more.
            deliver: given each event in another thread, instead of `read`.
        """
        self._queue: SimpleQueue[Event] = SimpleQueue()
        self._stop = stop
        self.deliver = deliver or self._queue.put
        self.ended = False

    def read(self, timeout: float | None = None) -> Event:
        """The next event.

        Args:
            timeout: seconds; default: wait as long as it takes.

        Raises:
            TimeoutError: none came.
        """
        try:
            return self._queue.get(timeout=timeout)
        except Empty:
            raise TimeoutError(f"no event within {timeout} s") from None

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self.read()
            yield event
            if event["event"] in ENDS:
                return

    def cancel(self) -> None:
        """End it, if it has not ended; `cancelled` is then its last event."""
        if not self.ended:
            self._stop()


@dataclass(eq=False)
class _Running:
    """One process of the worker, and what it was asked."""

    process: subprocess.Popen[bytes]
    jobs: dict[int, Job] = field(default_factory=dict)
    ready: bool = False
    wanted: bool = True  # False once it was told to end


class Worker:
    """At most one process at a time. Every method may be called from any thread."""

    def __init__(self, command: Sequence[str] = COMMAND, most_bytes: int | None = None) -> None:
        """
        Args:
            command: the process.
            most_bytes: of its own memory; above that it is started anew when it has nothing to do. Default: a quarter
                of the machine's, which its features may take, and 1 GB.
        """
        self._command = tuple(command)
        self._most = psutil.virtual_memory().total // 4 + BASE if most_bytes is None else most_bytes
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._running: _Running | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one."""
        with self._lock:
            return self._running.process.pid if self._running else None

    def warm(self) -> None:
        """Start the process, so that torch is there when somebody asks.

        Raises:
            CovidvizError: it can't be started.
        """
        with self._lock:
            self._alive()

    def ask(self, kind: str, session: str, deliver: Callable[[Event], object] | None = None, **request: Any) -> Job:
        """Ask the worker.

        Args:
            kind: as `covidviz.training.compute` lists them; a newer question of the lab ends the session's older ones.
            deliver: see `Job`. Called in another thread; it must not wait for anything.
            request: what the kind needs, such as `config`; anything that JSON can hold.

        Raises:
            CovidvizError: the process can't be started, or `request` is no JSON.
        """
        asked = {"session": session, "background": kind in BACKGROUND, "kind": kind, **request}
        try:
            orjson.dumps(asked)
        except TypeError as error:  # such as a path that is no text
            raise CovidvizError(f"the compute worker can't be asked: {error}") from None
        with self._lock:
            running, job_id = self._alive(), next(self._ids)
            job = running.jobs[job_id] = Job(lambda: self._send(running, {"cancel": job_id}), deliver)
            self._send(running, {"id": job_id, **asked})
        return job

    def end(self) -> None:
        """End the process for good; who still waits is told."""
        with self._lock:
            self._closed = True
            running = self._stop()
        if running is not None:
            try:
                running.process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                running.process.kill()

    # all with the lock held

    def _alive(self) -> _Running:
        if self._closed:
            raise CovidvizError(ENDED)
        if self._running is not None and self._running.process.poll() is not None:
            self._running = None  # its reader is about to see it too, and tells those who wait
        if self._running is None:
            self._running = self._start()
        return self._running

    def _start(self) -> _Running:
        path = os.pathsep.join(part for part in (str(PROJECT), os.environ.get("PYTHONPATH", "")) if part)
        environment = {**os.environ, "PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"}
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise CovidvizError(f"the compute worker can't be started: {error.strerror}") from error
        running = _Running(process)
        threading.Thread(target=self._listen, args=(running,), name="compute", daemon=True).start()
        return running

    def _send(self, running: _Running, message: Event) -> None:
        assert running.process.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):  # it has ended; its reader tells those who wait
            running.process.stdin.write(orjson.dumps(message) + b"\n")
            running.process.stdin.flush()

    def _stop(self) -> _Running | None:
        running, self._running = self._running, None
        if running is not None:
            running.wanted = False
            assert running.process.stdin is not None
            with contextlib.suppress(OSError):
                running.process.stdin.close()
        return running

    # in a thread of its own for each process

    def _listen(self, running: _Running) -> None:
        assert running.process.stdout is not None
        for line in running.process.stdout:
            with contextlib.suppress(orjson.JSONDecodeError):  # half a line of a process that was killed
                self._heard(running, orjson.loads(line))
        running.process.wait()
        with self._lock:
            if self._running is running:
                self._running = None
            jobs, running.jobs = running.jobs, {}
            if jobs and running.ready and running.wanted:
                with contextlib.suppress(CovidvizError):
                    self._alive()
        message = ENDED if not running.wanted else DIED if running.ready else NEVER
        for job in jobs.values():
            _deliver(job, {"event": "error", "message": message})

    def _heard(self, running: _Running, event: Event) -> None:
        job_id = event.pop("id", None)
        if job_id is None:
            running.ready = True
            return
        last = event["event"] in ENDS
        with self._lock:
            job = running.jobs.pop(job_id, None) if last else running.jobs.get(job_id)
            if last and not running.jobs and self._running is running and _own_bytes(running.process.pid) > self._most:
                self._stop()
                with contextlib.suppress(CovidvizError):
                    self._alive()
        if job is not None:
            _deliver(job, event)


def _deliver(job: Job, event: Event) -> None:
    if event["event"] in ENDS:
        job.ended = True
    with contextlib.suppress(RuntimeError):  # the event loop of who asked is closed
        job.deliver(event)


def _own_bytes(pid: int) -> int:
    """Memory that is a process's own: without the pages of files, which the system takes back when it wants."""
    try:
        used = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(used.rss - getattr(used, "shared", 0))


_lock = threading.Lock()
_worker: Worker | None = None


def worker() -> Worker:
    """The one of this server."""
    global _worker
    with _lock:
        if _worker is None:
            _worker = Worker()
            atexit.register(_worker.end)
        return _worker
