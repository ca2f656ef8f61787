"""Whose turn it is in the compute worker: short answers first and in order, long ones share. No torch.

A job is a generator that hands control back many times a second. A turn goes to the job of a person before one in the
background; among several to the one that has computed least, in whole seconds, so that what takes less than a second
runs to its end in the order of asking; and every fifth turn to the long job that has waited longest, so that a room
full of people who drag sliders does not stop the one who waits for features.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from covidviz.errors import CovidvizError

__all__ = ["ENDS", "Job", "Turns"]

Event = dict[str, Any]
Events = Generator[Event | None, None, None]

ENDS = ("done", "error", "cancelled")
TURN_S = 0.05
LONG_S = 1.0  # who has computed this long is a long one
EVERY = 5  # turns, of which one is for a long job
# What a newer question of the same session makes pointless.
REPLACES = {"open": ("open", "lab"), "lab": ("open", "lab"), "sweep": ("sweep",), "lr_range": ("lr_range",)}


@dataclass(eq=False)
class Job:
    """Something asked for.

    events: yields what to tell, or None; the last one is of `ENDS`. What it raises becomes an error.
    ended: called once, whatever the end.
    attained: seconds it has had; latest: the number of its latest turn.
    """

    id: int
    session: str
    kind: str
    background: bool
    events: Events
    ended: Callable[[], None] = lambda: None
    attained: float = 0.0
    latest: int = 0


class Turns:
    """The open jobs of a worker. Used by one thread."""

    def __init__(self, say: Callable[[int, Event], None], clock: Callable[[], float] = time.perf_counter) -> None:
        """
        Args:
            say: given the id of a job and an event.
            clock: seconds.
        """
        self.jobs: list[Job] = []  # oldest first
        self.say, self.clock = say, clock
        self.count = 0

    def add(self, job: Job) -> None:
        """Take on a job; older ones of its session that it makes pointless are cancelled."""
        stale = REPLACES.get(job.kind, ())
        for other in [one for one in self.jobs if one.session == job.session and one.kind in stale]:
            self._end(other, {"event": "cancelled"})
        self.jobs.append(job)

    def cancel(self, job_id: int) -> None:
        """End a job that nobody waits for any more, if it is still there."""
        for job in [one for one in self.jobs if one.id == job_id]:
            self._end(job, {"event": "cancelled"})

    def turn(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Let the next job compute for `TURN_S`, or until it ends or someone has a new question.

        Args:
            interrupted: whether there is one.
        """
        if not self.jobs:
            return
        self.count += 1
        job = self.next()
        job.latest = self.count
        began = now = self.clock()
        while now - began < TURN_S:
            try:
                event = next(job.events)
            except Exception as error:
                event = _told(error)
            now, before = self.clock(), now
            job.attained += now - before
            if event is not None and event["event"] in ENDS:
                self._end(job, event)
                return
            if event is not None:
                self.say(job.id, event)
            if interrupted():
                return

    def next(self) -> Job:
        """Whose turn comes; there is at least one job."""
        group = [job for job in self.jobs if not job.background] or self.jobs
        long = [job for job in group if job.attained >= LONG_S]
        if long and self.count % EVERY == 0:
            return min(long, key=lambda job: job.latest)
        return min(group, key=lambda job: int(job.attained))  # the first of equals is the oldest

    def _end(self, job: Job, event: Event) -> None:
        self.jobs.remove(job)
        try:
            job.events.close()
        finally:
            job.ended()
            self.say(job.id, event)


def _told(error: Exception) -> Event:
    """What a person is told; the details of what nobody expected go to the terminal of the server."""
    if isinstance(error, CovidvizError):
        text = str(error)
    elif isinstance(error, MemoryError) or "not enough memory" in str(error) or "can't allocate memory" in str(error):
        text = "the machine's memory is too small for these settings"
    elif isinstance(error, StopIteration):
        text = "the computation ended without a result"
    else:
        sys.stderr.write(traceback.format_exc())
        text = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return {"event": "error", "message": text}
