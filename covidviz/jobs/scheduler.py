"""The queue's process: hands queued runs to device slots, first come first served, and tells the truth about dead ones.

Standard library only: it idles for weeks beside people's work. One per runs folder, held by a file lock. It may be
killed at any time: its standby becomes the next one; should that be killed too, the next training to end or the app
starts one. Trainings go on, and the next scheduler takes them over: each training inherits a locked descriptor of its
marker in `.queue/claimed/`, which the kernel releases when that process ends, so whether it is still there never has
to be guessed from a pid.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from covidviz.errors import StoreError
from covidviz.jobs.devices import Slot, fits, slots
from covidviz.jobs.queue import Waiting, enqueue, has_work, queued
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.locks import Lock
from covidviz.store.status import read_status, update_status

__all__ = ["WORKER", "Scheduler", "ensure_scheduler", "run_scheduler", "scheduler_pid"]

WORKER = (sys.executable, "-m", "covidviz.training.worker")
POSIX = os.name == "posix"
TICK_S = 0.5
RESCAN_S = 300.0
SIGNALS = {9: "it may have run out of memory", 11: "a crash inside a library", 15: "somebody ended it"}


@dataclass
class Job:
    """A training process in its slot.

    process: None for one that an earlier scheduler started.
    heartbeat: of the run before the process started; another one later means that the process got as far as beating.
    """

    run_dir: Path
    device: str
    process: subprocess.Popen[bytes] | None = None
    heartbeat: float | None = None


def run_scheduler(
    runs_dir: Path,
    *,
    command: Sequence[str] = WORKER,
    places: Sequence[Slot] | None = None,
    tick: float = TICK_S,
    inherited: int | None = None,
) -> None:
    """Works through the queue of `runs_dir` until the process is ended or the folder is deleted.

    Args:
        command: the training process; the run directory is appended.
        places: the slots; default what this machine has.
        inherited: a descriptor of the lock file, locked by who started this process in the background. Such a
            scheduler keeps a standby that takes over when it is killed.

    Raises:
        StoreError: another scheduler works here, or the folder can't be used.
    """
    runs_dir = runs_dir.resolve()
    path = runs_dir / layout.SCHEDULER_LOCK
    try:
        (runs_dir / layout.CLAIMED).mkdir(parents=True, exist_ok=True)
        # Whoever only looks whether a scheduler is there holds the lock for an instant.
        lock = Lock.take(path, wait=2.0) if inherited is None else Lock(path, inherited)
    except OSError as error:
        raise StoreError(f"{runs_dir} can not be used for a queue: {error.strerror}") from error
    if lock is None:
        raise StoreError(f"a scheduler works on {runs_dir} already (process {scheduler_pid(runs_dir)})")
    os.set_inheritable(lock.handle, False)
    with lock:
        lock.write(f"{os.getpid()}\n")
        standby = None if inherited is None else Standby(path, _command(runs_dir, command))
        Scheduler(runs_dir, command, slots() if places is None else list(places)).run(lock, tick, standby)


def ensure_scheduler(runs_dir: Path, *, command: Sequence[str] = WORKER) -> bool:
    """Starts a scheduler in the background if there is work and none is there; whether one was started.

    It survives this process.

    Raises:
        StoreError: the runs folder can't be written.
    """
    runs_dir = runs_dir.resolve()
    if not has_work(runs_dir):
        return False
    try:
        lock = Lock.take(runs_dir / layout.SCHEDULER_LOCK)
        if lock is None:
            return False
        # The new process inherits the lock, so that nobody else can start one meanwhile.
        with lock, (runs_dir / layout.SCHEDULER_LOG).open("ab") as log:
            process = subprocess.Popen(
                [*_command(runs_dir, command), *(("--lock", str(lock.handle)) if POSIX else ())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=PROJECT,
                env=_environment(), pass_fds=(lock.handle,) if POSIX else (),
            )  # fmt: skip
    except OSError as error:
        raise StoreError(f"the queue of {runs_dir} could not be started: {error.strerror}") from error
    _started[:] = [earlier for earlier in _started if earlier.poll() is None] + [process]
    return True


_started: list[subprocess.Popen[bytes]] = []  # kept so that an ended one does not stay a zombie of the app


def scheduler_pid(runs_dir: Path) -> int | None:
    """The process id of the scheduler that works or last worked here."""
    try:
        return int((runs_dir / layout.SCHEDULER_LOCK).read_text())
    except (OSError, ValueError):
        return None


class Standby:
    """The process that becomes the next scheduler when this one is killed."""

    def __init__(self, lock: Path, command: list[str]) -> None:
        script = Path(__file__).with_name("standby.py")
        # -S and -E: without site-packages it takes half the memory.
        self._command = [sys.executable, "-S", "-E", str(script), str(lock), str(os.getpid()), *command]
        self._process: subprocess.Popen[bytes] | None = None
        self._tried = float("-inf")

    def keep(self) -> None:
        """Sees that it is there."""
        gone = self._process is None or self._process.poll() is not None
        if gone and time.monotonic() - self._tried > 10:
            self._tried = time.monotonic()
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Scheduler:
    """The state of one scheduler: what runs where."""

    def __init__(self, runs_dir: Path, command: Sequence[str], places: list[Slot]) -> None:
        self.runs_dir = runs_dir
        self.command = list(command)
        self.places = places
        self.jobs: dict[str, Job] = {}

    def run(self, lock: Lock, tick: float, standby: Standby | None = None) -> None:
        """Ticks until a signal asks to end, or the end of the runs folder. Trainings are left alone."""
        ended: list[int] = []
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda number, _: ended.append(number))
        _say(f"scheduler for {self.runs_dir} with {', '.join(place.name for place in self.places)}")
        self.adopt()
        scanned = float("-inf")
        while not ended and lock.is_current():
            try:
                if standby is not None:
                    standby.keep()
                if time.monotonic() - scanned >= RESCAN_S:
                    self.rescan()
                    scanned = time.monotonic()
                self.tick()
            except Exception as error:  # such as a full disk: that passes, and the queue must outlive it
                _say(f"{type(error).__name__}: {error}")
            time.sleep(tick)
        if standby is not None:
            standby.end()

    def adopt(self) -> None:
        """Takes over the trainings an earlier scheduler started."""
        for marker in self._claims():
            run_dir = self.runs_dir / marker.name
            if _held(marker):
                device = (read_json(marker) or {}).get("slot")
                self.jobs[marker.name] = Job(run_dir, str(device))
                _say(f"{marker.name}: goes on on {device}")
            else:
                self._settle(Job(run_dir, ""), None)

    def rescan(self) -> None:
        """Queues runs that say queued but have no marker (their submitter was killed in between)."""
        marked = {row.run_id for row in queued(self.runs_dir)} | {marker.name for marker in self._claims()}
        with contextlib.suppress(OSError), os.scandir(self.runs_dir) as entries:
            for entry in entries:
                if layout.is_run_id(entry.name) and entry.name not in marked:
                    run_dir = self.runs_dir / entry.name
                    status = read_status(run_dir)
                    if status.state == "queued" and time.time() - (status.created or 0) > 10:
                        enqueue(run_dir)

    def tick(self) -> None:
        """Collects what ended, then fills the free slots."""
        for run_id, job in list(self.jobs.items()):
            code = job.process.poll() if job.process else None
            if code is not None or (job.process is None and not _held(layout.claimed_marker(job.run_dir))):
                del self.jobs[run_id]
                self._settle(job, code)
        queue = [row for row in queued(self.runs_dir) if row.run_id not in self.jobs]  # one resumed while it ends waits
        gpu_there = any(place.is_gpu for place in self.places)
        for row in queue:
            busy = {job.device for job in self.jobs.values()}
            fitting = [place for place in self.places if fits(row.device, place, gpu_there)]
            if not fitting:
                self._refuse(row)
            elif free := [place for place in fitting if place.name not in busy]:
                self._start(row, free[0])

    def _start(self, row: Waiting, place: Slot) -> None:
        run_dir = self.runs_dir / row.run_id
        marker = layout.claimed_marker(run_dir)
        status = read_status(run_dir)
        if status.state != "queued":  # deleted, stopped, or broken since
            layout.queue_marker(run_dir).unlink(missing_ok=True)
            return
        marker.parent.mkdir(exist_ok=True)
        try:
            layout.queue_marker(run_dir).rename(marker)
        except FileNotFoundError:
            return  # stopped this very moment
        write_json_atomic(marker, {"since": row.since, "device": row.device, "slot": place.name})
        lock = Lock.take(marker)
        if lock is None:
            raise StoreError(f"{marker} is locked by another process")
        with lock:
            try:
                process = self._spawn(run_dir, place, lock.handle)
            except OSError:
                enqueue(run_dir, since=row.since)
                marker.unlink()
                raise
        self.jobs[row.run_id] = Job(run_dir, place.name, process, status.heartbeat)
        _say(f"{row.run_id}: starts on {place.name}")

    def _spawn(self, run_dir: Path, place: Slot, claim: int) -> subprocess.Popen[bytes]:
        environment = _environment()
        if any(other.is_gpu for other in self.places):
            environment |= {"CUDA_VISIBLE_DEVICES": place.visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        with (run_dir / layout.LOG).open("ab") as log:
            return subprocess.Popen(
                [*self.command, str(run_dir)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, cwd=PROJECT, env=environment, pass_fds=(claim,) if POSIX else (),
            )  # fmt: skip

    def _settle(self, job: Job, code: int | None) -> None:
        """The training process is gone: makes status.json true and frees the run.

        Args:
            code: its exit code, negative for a signal; None where it was not our child.
        """
        run_dir, status = job.run_dir, read_status(job.run_dir)
        claim = layout.claimed_marker(run_dir)
        if status.state == "queued" and code is None:
            # It was claimed, but its process was not there or never got as far as saying so: its turn again.
            enqueue(run_dir, since=_since(claim))
            _say(f"{run_dir.name}: queued again")
        elif status.state in ("queued", "running", "lost") and code is not None:
            # Somebody may train it in the foreground by now, or have queued it again while its process ended.
            never_began = status.state == "queued" and status.heartbeat == job.heartbeat
            died = job.process is not None and status.pid == job.process.pid
            if never_began or died:
                error = _obituary(run_dir, code, status.epoch)
                with contextlib.suppress(StoreError):  # a training in the foreground holds it: its status is right
                    update_status(run_dir, state="failed", error=error, finished=time.time(), eta_s=None, phase=None)
            _say(f"{run_dir.name}: process ended with code {code}")
        else:
            _say(f"{run_dir.name}: {status.state}")
        claim.unlink(missing_ok=True)

    def _refuse(self, row: Waiting) -> None:
        run_dir = self.runs_dir / row.run_id
        there = ", ".join(place.name for place in self.places)
        layout.queue_marker(run_dir).unlink(missing_ok=True)
        update_status(
            run_dir, state="failed", finished=time.time(),
            error=f"device: {row.device!r} given, this machine has {there}",
        )  # fmt: skip

    def _claims(self) -> list[Path]:
        return [path for path in (self.runs_dir / layout.CLAIMED).iterdir() if layout.is_run_id(path.name)]


def _held(marker: Path) -> bool:
    """Whether the training process that inherited the lock of this marker, or a child of it, still exists."""
    if not POSIX:  # descriptors are not inherited there
        status = read_status(marker.parents[2] / marker.name)
        return status.state == "running" or (status.state == "queued" and time.time() - marker.stat().st_mtime < 60)
    try:
        lock = Lock.take(marker)
    except OSError:
        return False
    if lock is None:
        return True
    lock.release()
    return False


def _since(claim: Path) -> float:
    since = (read_json(claim) or {}).get("since")
    return float(since) if isinstance(since, (int, float)) else time.time()


def _obituary(run_dir: Path, code: int, epoch: int) -> str:
    """One sentence for the person who wonders what happened."""
    where = f" in epoch {epoch + 1}" if epoch or (run_dir / layout.METRICS).exists() else " before the first epoch"
    resumable = (run_dir / layout.LAST).exists()
    go_on = f"resume continues after epoch {epoch}" if resumable else "resume starts it again"
    if code < 0:
        why = f"; {SIGNALS[-code]}" if -code in SIGNALS else ""
        return f"the training process was killed (signal {-code}){where}{why}; {go_on}"
    said = _last_line(run_dir / layout.LOG)
    return f"the training process ended with exit code {code}{where}{f': {said}' if said else ''}; {go_on}"


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _command(runs_dir: Path, worker: Sequence[str]) -> list[str]:
    """How a scheduler is started."""
    command = [sys.executable, "-m", "covidviz", "scheduler", "--runs-dir", str(runs_dir)]
    return command if tuple(worker) == WORKER else [*command, "--worker", shlex.join(worker)]


def _environment() -> dict[str, str]:
    """The environment of a child: finds this package wherever it is started from."""
    path = os.pathsep.join(part for part in (str(PROJECT), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path}


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stderr.flush()
