"""What the compute worker says to one question, as lines of JSON for the browser that asked. No streamlit."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import orjson

from covidviz.errors import CovidvizError
from covidviz.jobs.compute import DIED, ENDED, ENDS, NEVER, Job

__all__ = ["QUEUED", "relay", "said"]

Event = dict[str, Any]
Deliver = Callable[[Event], object]

LONGEST = 500  # characters of an error, which may quote what was given
GONE_S = 1.0  # between two looks whether the browser still listens
QUEUED = b'{"event":"queued"}\n'  # the first line


async def relay(
    ask: Callable[[Deliver], Awaitable[Job]],
    gone: Callable[[], Awaitable[bool]],
    changed: Callable[[Event], Awaitable[Event]],
) -> AsyncGenerator[bytes]:
    """The lines after the first one. When the browser goes away, or the generator is closed, the job is cancelled. An
    error that came because the worker ended, not because of what was asked, has `worker`.

    Args:
        ask: asks the worker, with where its events go. What a person did wrong is told as an `error`.
        gone: whether the browser does not listen any more.
        changed: what becomes of a `done`.
    """
    loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()
    job: Job | None = None
    try:
        try:
            job = await ask(lambda event: loop.call_soon_threadsafe(events.put_nowait, event))
        except (CovidvizError, OSError, ValueError) as error:  # as every route
            yield said(error)
            return
        while True:
            try:
                event = await asyncio.wait_for(events.get(), GONE_S)
            except TimeoutError:
                if await gone():
                    return
                event = None
            if _server_ends():
                yield said("the server was ended")
                return
            if event is None:
                continue
            if event["event"] == "error":
                ended = event["message"] in (DIED, ENDED, NEVER)
                event = {**event, "message": _short(event["message"]), **({"worker": True} if ended else {})}
            elif event["event"] == "done":
                event = await changed(event)
            yield orjson.dumps(event) + b"\n"
            if event["event"] in ENDS:
                return
    finally:
        if job is not None:
            job.cancel()


def said(error: object) -> bytes:
    """An error as the last line."""
    return orjson.dumps({"event": "error", "message": _short(str(error))}) + b"\n"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _server_ends() -> bool:
    """Whether someone pressed Ctrl-C: uvicorn then waits for open answers, and some of them take minutes."""
    server = getattr(signal.getsignal(signal.SIGINT), "__self__", None)  # uvicorn handles signals in a method of it
    return bool(getattr(server, "should_exit", False))
