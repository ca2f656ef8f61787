"""Waiting, stopping and starting again, through files alone. Standard library only.

A queued run has a marker `<runs>/.queue/<run id>`. The scheduler moves it to `.queue/claimed/` when it starts the
training process, and removes it when that process ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from covidviz.errors import InputError, StoreError
from covidviz.store import layout
from covidviz.store.files import read_json, saving, write_json_atomic
from covidviz.store.status import read_status, update_status

__all__ = [
    "Waiting", "check_resumable", "dequeue", "enqueue", "has_work", "is_claimed", "queued", "request_stop", "requeue",
]  # fmt: skip


@dataclass(frozen=True)
class Waiting:
    """A queued run: since when (seconds since 1970), and for which device (`auto`, `cpu`, `cuda`, `cuda:N`)."""

    run_id: str
    since: float
    device: str


def enqueue(run_dir: Path, since: float | None = None) -> None:
    """Puts a run at the end of the queue, or at its place by `since`.

    Raises:
        StoreError: the marker can't be written.
    """
    if since is None:
        since = read_status(run_dir).created or time.time()
    config = read_json(run_dir / layout.CONFIG) or {}
    marker = layout.queue_marker(run_dir)
    with saving(marker):
        marker.parent.mkdir(exist_ok=True)
    write_json_atomic(marker, {"since": since, "device": str(config.get("device", "auto"))})


def dequeue(run_dir: Path) -> bool:
    """Takes a run out of the queue; whether it was there (and so no scheduler will start it)."""
    try:
        layout.queue_marker(run_dir).unlink()
    except OSError:
        return False
    return True


def is_claimed(run_dir: Path) -> bool:
    """Whether a scheduler has started a training process for it, and has not seen that end."""
    return layout.claimed_marker(run_dir).exists()


def queued(runs_dir: Path) -> list[Waiting]:
    """The queue, first come first."""
    rows = []
    for path in _markers(runs_dir / layout.QUEUE):
        marker = read_json(path) or {}
        since, device = marker.get("since"), marker.get("device")
        rows.append(
            Waiting(
                run_id=path.name,
                since=float(since) if isinstance(since, (int, float)) else 0.0,
                device=device if isinstance(device, str) else "auto",
            )
        )
    return sorted(rows, key=lambda row: (row.since, row.run_id))


def has_work(runs_dir: Path) -> bool:
    """Whether a scheduler would have anything to do."""
    return bool(_markers(runs_dir / layout.QUEUE) or _markers(runs_dir / layout.CLAIMED))


def request_stop(run_dir: Path) -> str:
    """Asks a run to stop; returns the state it will have or has: `stopped` at once when it was only queued.

    A running training ends at the next batch, with a checkpoint.

    Raises:
        InputError: it is neither queued nor running.
        StoreError: it can't be written.
    """
    status = read_status(run_dir)
    if not status.live:
        raise InputError(f"run {run_dir.name} is {status.state}; only a queued or running run can be stopped")
    # Written first: should a scheduler start the run this very moment, the training will find it.
    with saving(run_dir / layout.STOP):
        (run_dir / layout.STOP).touch()
    if status.state == "queued" and (dequeue(run_dir) or not is_claimed(run_dir)):
        try:
            update_status(run_dir, state="stopped", finished=time.time(), eta_s=None, phase=None)
        except StoreError:
            return "running"  # somebody trains it in the foreground, and will see the request
        return "stopped"
    return status.state


def check_resumable(run_dir: Path) -> None:
    """Whether a run may be trained on; an old stop request is taken back.

    Raises:
        InputError: it is not stopped, failed or lost.
    """
    status = read_status(run_dir)
    if status.state not in layout.RESUMABLE:
        *most, last = layout.RESUMABLE
        raise InputError(f"run {run_dir.name} is {status.state}; only a {', '.join(most)} or {last} run can be resumed")
    (run_dir / layout.STOP).unlink(missing_ok=True)


def requeue(run_dir: Path) -> None:
    """Queues a stopped, failed or lost run again; it goes on from its last checkpoint.

    Raises:
        InputError: it is in another state.
        StoreError: its process still holds it, or it can't be written.
    """
    check_resumable(run_dir)
    update_status(run_dir, state="queued", error=None, finished=None, eta_s=None, pid=None, pid_start=None)
    enqueue(run_dir, since=time.time())


def _markers(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if layout.is_run_id(path.name)]
    except OSError:
        return []
