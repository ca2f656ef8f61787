"""What the System page shows, as plain values: who computes where, who waits, what takes the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from covidviz.errors import CovidvizError
from covidviz.jobs.devices import Slot
from covidviz.jobs.queue import Claim, Waiting
from covidviz.store.index import RunSummary
from covidviz.store.usage import RunUsage, Usage, measure
from covidviz.ui.text import shorten

__all__ = ["Meter", "Place", "places", "queue_items", "size", "usage_rows"]


def size(n: float) -> str:
    """Bytes for people: `0 B`, `812 kB`, `3.4 MB`, `1.20 GB`."""
    for unit, digits in (("B", 0), ("kB", 0), ("MB", 1)):
        if n < 999.5 or (unit == "MB" and n < 999.95):
            return f"{n:.{digits}f} {unit}"
        n /= 1000
    return f"{n:.2f} GB" if n < 999.995 else f"{n / 1000:.2f} TB"


# --- devices ---


@dataclass(frozen=True)
class Place:
    """A device and the run on it."""

    slot: Slot
    run: RunSummary | None


def places(
    slots: Sequence[Slot], runs: Sequence[RunSummary], claims: Sequence[Claim], here: Callable[[str], bool]
) -> tuple[list[Place], list[RunSummary]]:
    """Each device with its run, and the running ones that are on none of them.

    Args:
        claims: what the scheduler has given out. A training sees only its own GPU and calls it `cuda:0`, so the slot of
            its claim counts, not the device it names.
        here: whether a run without a claim (trained in a terminal) is on this machine.
    """
    running = {run.run_id: run for run in runs if run.state == "running"}
    given = {claim.run_id: claim.slot for claim in claims}
    taken: dict[str, RunSummary] = {}
    elsewhere = []
    names = {slot.name for slot in slots}
    for run_id, run in sorted(running.items(), key=lambda item: item[0] not in given):
        name = given.get(run_id) or (run.device.split(" ")[0] if here(run_id) else "")
        if name in names and name not in taken:
            taken[name] = run
        else:
            elsewhere.append(run)
    return [Place(slot, taken.get(slot.name)) for slot in slots], elsewhere


# --- queue ---


def queue_items(waiting: Sequence[Waiting], runs: Mapping[str, RunSummary]) -> list[dict[str, str]]:
    """For the queue's component: `id`, `name`, `note`; only runs that say they are queued."""
    rows = []
    for row in waiting:
        run = runs.get(row.run_id)
        if run is not None and run.state == "queued":
            device = {"auto": "any device", "cuda": "any GPU", "cpu": "CPU"}.get(row.device, row.device)
            rows.append({"id": row.run_id, "name": shorten(run.name, 200), "note": device})
    return rows


# --- disk ---


def usage_rows(usage: Usage, runs: Mapping[str, RunSummary], n: int = 200) -> list[dict[str, object]]:
    """The `n` largest runs: `name`, `state`, and bytes of `total`, `last`, `best`, `cams`, `other`."""
    largest = sorted(usage.runs, key=lambda row: -row.total)[:n]
    return [_usage_row(row, runs.get(row.run_id)) for row in largest]


def _usage_row(row: RunUsage, run: RunSummary | None) -> dict[str, object]:
    known = row.last + row.best + row.cams
    return {
        "name": shorten(run.name, 200) if run else row.run_id,
        "state": run.state if run else "",
        "total": row.total,
        "last": row.last,
        "best": row.best,
        "cams": row.cams,
        "other": row.total - known,
    }


class Meter:
    """Measures the disk, and clears it up, in a thread of its own. Shared by all sessions; no page waits for it."""

    def __init__(self, runs: Path, cache: Path, data: Path) -> None:
        self._folders = (runs, cache, data)
        self._lock = Lock()
        self._idle = Event()
        self._idle.set()
        self._usage: Usage | None = None
        self._doing = ""
        self.said: tuple[str, bool] | None = None  # what the last clean-up did, and whether it worked

    @property
    def doing(self) -> str:
        """What it is busy with, empty when idle."""
        return "" if self._idle.is_set() else self._doing

    @property
    def usage(self) -> Usage | None:
        """As measured last; None before the first time."""
        return self._usage

    def measure(self) -> None:
        """Look again, unless it is busy."""
        self._start("Measuring the disk", None)

    def clear(self, doing: str, work: Callable[[], int]) -> None:
        """Do `work`, which returns the bytes it freed, and measure again; nothing happens while it is busy."""
        self._start(doing, work)

    def wait(self, seconds: float) -> None:
        """Until it is idle, but at most `seconds`."""
        self._idle.wait(seconds)

    def _start(self, doing: str, work: Callable[[], int] | None) -> None:
        with self._lock:
            if not self._idle.is_set():
                return
            self._idle.clear()
            self._doing = doing
        Thread(target=self._work, args=(work,), daemon=True, name="covidviz-disk").start()

    def _work(self, work: Callable[[], int] | None) -> None:
        try:
            if work is not None:
                self.said = (f"Freed {size(work())}.", True)
        except (CovidvizError, OSError) as error:
            self.said = (str(error), False)
        try:
            self._usage = measure(*self._folders)
        finally:
            self._idle.set()
