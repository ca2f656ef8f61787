"""Work that can't be cut into short turns, in a thread that goes on only while it has its turn. No torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["Cancelled", "beside"]

Event = dict[str, Any]
Result = TypeVar("Result")
WAIT_S = 0.02  # for how long a turn waits for the thread before it says that there is nothing new


class Cancelled(Exception):  # noqa: N818 (an event, not an error)
    """Nobody waits for this work any more."""


def beside(work: Callable[[Callable[[Event | None], None]], Result]) -> Generator[Event | None, None, Result]:
    """Run `work(emit)` in a thread, as a generator of what it emits; it returns and raises what `work` does.

    After each `emit` the thread waits until the generator is asked again, so others can be let through there. What it
    computes between two of them is not interrupted, but it does not hold up the caller either: the generator then
    yields None. When the generator is closed, the next `emit` raises `Cancelled` in the thread.
    """
    go: SimpleQueue[bool] = SimpleQueue()
    out: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def emit(event: Event | None) -> None:
        out.put(("event", event))
        if not go.get():
            raise Cancelled

    def run() -> None:
        try:
            result = work(emit)
        except BaseException as error:
            out.put(("error", error))
        else:
            out.put(("result", result))

    threading.Thread(target=run, name="beside", daemon=True).start()
    try:
        while True:
            try:
                what, value = out.get(timeout=WAIT_S)
            except Empty:
                yield None
                continue
            if what == "error":
                raise value
            if what == "result":
                return value
            yield value
            go.put(True)
    finally:
        go.put(False)
