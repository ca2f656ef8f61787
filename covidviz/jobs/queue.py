"""Waiting, stopping and starting again, through files alone. Standard library only.

A queued run has a marker `<runs>/.queue/<run id>`. The scheduler moves it to `.queue/claimed/` when it starts the
training process, and removes it when that process ended. The order is that of `since` in the markers: when the run was
queued, or another number once somebody moved it.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from covidviz.errors import InputError, StoreError
from covidviz.store import layout
from covidviz.store.files import read_json, saving, write_json_atomic
from covidviz.store.status import read_status, update_status

__all__ = [
    "Claim", "Waiting", "check_resumable", "claims", "dequeue", "enqueue", "has_work", "is_claimed", "queued",
    "reorder", "request_stop", "requeue",
]  # fmt: skip


@dataclass(frozen=True)
class Waiting:
    """A queued run: its place (seconds since 1970, lowest first), and its device (`auto`, `cpu`, `cuda`, `cuda:N`)."""

    run_id: str
    since: float
    device: str


@dataclass(frozen=True)
class Claim:
    """A run whose training process was started, and the slot it was given; empty until the scheduler has said so."""

    run_id: str
    slot: str


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


def claims(runs_dir: Path) -> list[Claim]:
    """The runs whose training process was started and has not been seen to end."""
    rows = []
    for path in _markers(runs_dir / layout.CLAIMED):
        slot = (read_json(path) or {}).get("slot")
        rows.append(Claim(path.name, slot if isinstance(slot, str) else ""))
    return sorted(rows, key=lambda row: row.run_id)


def reorder(runs_dir: Path, run_id: str, before: str | None = None) -> bool:
    """Moves a waiting run to just before the waiting run `before`, or to the end of the queue.

    Safe beside a scheduler and other people: a run that is started or stopped meanwhile stays so.

    Returns:
        False where one of the two does not wait any more; then nothing was changed.

    Raises:
        StoreError: a marker can't be written.
    """
    since = {row.run_id: row.since for row in queued(runs_dir)}
    order = [other for other in since if other != run_id]
    if run_id not in since or (before is not None and before not in order):
        return False
    at = len(order) if before is None else order.index(before)
    low = since[order[at - 1]] if at else None
    high = since[order[at]] if at < len(order) else None
    if low is None and high is None:
        return True
    if low is None:
        place = (high or 0.0) - 1
    elif high is None:
        place = max(time.time(), low + 0.001)
    else:
        place = (low + high) / 2
    if (low is None or low < place) and (high is None or place < high):
        return _move(runs_dir / layout.QUEUE / run_id, place)
    # Two neighbours queued in the same instant, or halved too often: everyone gets a place of their own, a second apart
    # and not later than the last one's, so that whoever is queued next still comes last.
    order.insert(at, run_id)
    last = max(since.values())
    moved = [_move(runs_dir / layout.QUEUE / other, last - len(order) + k) for k, other in enumerate(order, start=1)]
    return moved[at]


def _move(marker: Path, since: float) -> bool:
    """Gives a marker another `since`, if it is still there; whether it was."""
    token = secrets.token_hex(4)
    new, old = (marker.with_name(f".{marker.name}.{token}.{kind}") for kind in ("new", "old"))
    write_json_atomic(new, {**(read_json(marker) or {}), "since": since})
    try:
        # Taken away first: replacing it could bring back a marker that a scheduler or somebody else takes just now.
        with saving(marker):
            try:
                marker.rename(old)
            except FileNotFoundError:
                return False
            new.rename(marker)
            old.unlink()
        return True
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if old.exists():
                old.rename(marker)


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
