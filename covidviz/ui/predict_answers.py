"""POST /predicting/{run}/{what}: images to look at with a finished run. No streamlit.

    image   the file itself              lines of JSON: progress, then `done` {prob, called, size, picture, remarks,
                                         heat, vector} or `error` (`about` "run": it concerns every image)
    near    JSON {vectors}               progress, then `done` {of, answers: [{nearest, distance, nearer, beyond,
                                         level, hint, twin}]}
    csv     JSON {rows}                  the table to keep

The headers `X-Covidviz-Token` (of the page, as for the live lab) and `X-Covidviz-Session` come with each of them. An
upload lies in a temporary folder of its own until its answer is given; there are at most `MOST_UPLOADS` at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import shutil
import tempfile
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool

from covidviz.errors import InputError
from covidviz.evaluation.decisions import decided
from covidviz.jobs.compute import Job, worker
from covidviz.store.files import saving
from covidviz.store.reader import Run
from covidviz.store.thresholds import read_thresholds
from covidviz.ui import pictures
from covidviz.ui.lab_answers import SESSION, token
from covidviz.ui.predict_table import table
from covidviz.ui.predict_words import hint, twin
from covidviz.ui.relay import QUEUED, relay

__all__ = ["MAX_BODY", "Upload", "allowed", "look", "near", "received", "table"]

Event = dict[str, Any]
Gone = Callable[[], Awaitable[bool]]

MAX_BODY = 4_000_000  # bytes of JSON; 200 vectors of the widest network, or a table of 10,000 rows
MOST_UPLOADS = 6
PREFIX = "covidviz-upload-"
STALE_S = 3600.0

_open: weakref.WeakSet[Upload] = weakref.WeakSet()


def allowed(headers: Mapping[str, str]) -> str | None:
    """The session of a request with this server's token; None for any other request."""
    given, session = headers.get("x-covidviz-token", ""), headers.get("x-covidviz-session", "")
    if not hmac.compare_digest(given.encode(), token().encode()) or SESSION.fullmatch(session) is None:
        return None
    return session


class Upload:
    """One file in a temporary folder, which goes with it."""

    def __init__(self, *, dicom: bool) -> None:
        """
        Args:
            dicom: its name said so; some of these files do not.

        Raises:
            StoreError: the disk is full.
        """
        with saving(Path(tempfile.gettempdir()) / PREFIX):
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name) / ("image.dcm" if dicom else "image")
        _open.add(self)

    async def fill(self, chunks: AsyncIterator[bytes], limit: int) -> None:
        """Write what comes.

        Raises:
            InputError: more than `limit` bytes.
            StoreError: the disk is full.
        """
        size = 0
        with saving(self.path), self.path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise InputError(f"the file is larger than {limit // 1_000_000} MB, accepted: smaller images")
                file.write(chunk)

    def close(self) -> None:
        """Remove it."""
        _open.discard(self)
        self._folder.cleanup()


async def received(chunks: AsyncIterator[bytes], *, dicom: bool, limit: int) -> Upload:
    """An upload, as soon as there is room for another one.

    Raises:
        as `Upload.fill`; nothing is left then.
    """
    while len(_open) >= MOST_UPLOADS:
        await asyncio.sleep(0.05)
    if not _open:
        _sweep()
    upload = Upload(dicom=dicom)
    try:
        await upload.fill(chunks, limit)
    except BaseException:
        upload.close()
        raise
    return upload


def _sweep() -> None:
    """What a server that was killed has left."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left, ignore_errors=True)


async def look(run: Run, upload: Upload, session: str, gone: Gone) -> AsyncIterator[bytes]:
    """The answer to `image`; the upload is removed with its last line."""

    async def ask(deliver: Callable[[Event], object]) -> Job:
        asked = {"run_dir": str(run.dir), "path": str(upload.path)}
        return await run_in_threadpool(worker().ask, "predict", session, deliver, **asked)

    async def changed(event: Event) -> Event:
        return event | await run_in_threadpool(_called, run, event["prob"])

    try:
        yield QUEUED
        async with contextlib.aclosing(relay(ask, gone, changed)) as lines:
            async for line in lines:
                yield line
    finally:
        upload.close()


async def near(run: Run, body: bytes, session: str, gone: Gone) -> AsyncIterator[bytes]:
    """The answer to `near`."""

    async def ask(deliver: Callable[[Event], object]) -> Job:
        try:
            vectors = orjson.loads(body)["vectors"]
        except (ValueError, TypeError, KeyError):
            raise InputError("vectors: accepted: those given with predictions") from None
        return await run_in_threadpool(worker().ask, "near", session, deliver, run_dir=str(run.dir), vectors=vectors)

    async def changed(event: Event) -> Event:
        return {**event, "answers": await run_in_threadpool(_worded, run, event)}

    yield QUEUED
    async with contextlib.aclosing(relay(ask, gone, changed)) as lines:
        async for line in lines:
            yield line


def _called(run: Run, prob: list[float | None]) -> Event:
    """Which classes are called, by index."""
    config = run.config()
    if config is None or len(prob) != len(config.classes):
        return {"called": []}
    values = [float("nan") if p is None else p for p in prob]
    thresholds = {name: one.value for name, one in read_thresholds(run.dir).items()}
    row = decided([values], config.classes, config.task, thresholds)[0]
    return {"called": [k for k, yes in enumerate(row) if yes]}


def _worded(run: Run, event: Event) -> list[Event]:
    """With words, and the version under which the browser finds each picture."""
    answers = []
    for one in event["answers"]:
        beyond, double = (float("nan") if one[key] is None else one[key] for key in ("beyond", "twin"))
        again, words = twin(double), hint(one["nearer"], event["of"], beyond)
        text = f"Apart from that one: {words.text[:1].lower()}{words.text[1:]}" if again else words.text
        nearest = [{**image, "v": pictures.file_key(run, image["sample_id"])} for image in one["nearest"]]
        answers.append({**one, "nearest": nearest, "level": words.level, "hint": text, "twin": again})
    return answers
