"""POST /what_if/{run}: the compute worker's answer to a mistake, as lines of JSON."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool

from covidviz.errors import InputError
from covidviz.jobs.compute import Job, worker
from covidviz.store.reader import Run
from covidviz.ui.predict_answers import allowed
from covidviz.ui.relay import QUEUED, relay

__all__ = ["MAX_BODY", "allowed", "stream"]

Event = dict[str, Any]

MAX_BODY = 4_000  # bytes


async def stream(run: Run, body: bytes, session: str, gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """The lines of the answer to {`mistake`, `split`}, as `covidviz.training.what_if` gives them.

    Args:
        gone: whether the browser does not listen any more.
    """

    async def ask(deliver: Callable[[Event], object]) -> Job:
        try:
            asked = orjson.loads(body)
            wanted = {"mistake": str(asked["mistake"]), "split": str(asked["split"])}
        except (ValueError, TypeError, KeyError):
            raise InputError("accepted: an object with mistake and split") from None
        return await run_in_threadpool(worker().ask, "what_if", session, deliver, run_dir=str(run.dir), **wanted)

    async def changed(event: Event) -> Event:
        return event

    yield QUEUED
    async with contextlib.aclosing(relay(ask, gone, changed)) as lines:
        async for line in lines:
            yield line
