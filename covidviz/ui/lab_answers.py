"""POST /lab: from what a page asks to a stream of events, one JSON object per line.

The body is `{"token", "session", "kind", "config", ...}`, the events are those of `covidviz.training.compute` after a
first `queued`. The answer to `open` says also under which `word` the browser finds the validation images' thumbnails
(`covidviz.ui.dataset_pictures`). When the browser goes away the job is cancelled.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool

from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.errors import ConfigError, InputError
from covidviz.jobs.compute import Job, worker
from covidviz.jobs.submit import located
from covidviz.ui import dataset_pictures, datasets
from covidviz.ui.relay import QUEUED, relay

__all__ = ["MAX_BODY", "Question", "stream", "token", "understood"]

Event = dict[str, Any]

MAX_BODY = 64_000  # bytes
KINDS = ("open", "lab", "sweep", "lr_range")
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
LOOK_S = 5.0  # between two looks at the dataset's folder: while a slider is dragged they would cost more than the rest

_TOKEN = secrets.token_urlsafe(32)

log = logging.getLogger(__name__)


def token() -> str:
    """What a page hands its component, so that no other web page can have this server compute. New with each server."""
    return _TOKEN


@dataclass(frozen=True)
class Question:
    """A body that came with the right token: `kind`, `session`, `config` as given, and the fields of the kind."""

    kind: str
    session: str
    config: Any
    fields: dict[str, Any]


def understood(body: bytes) -> Question | None:
    """A request's body; None where its token is not this server's.

    Raises:
        InputError: it is no JSON object with a session.
    """
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InputError("the body is no JSON") from None
    if not isinstance(asked, dict):
        raise InputError("the body is no JSON object")
    if not hmac.compare_digest(str(asked.get("token")).encode(), _TOKEN.encode()):
        return None
    session = asked.get("session")
    if not isinstance(session, str) or SESSION.fullmatch(session) is None:
        raise InputError("session: accepted: 1 to 64 letters, digits, - and _")
    fields = {name: asked[name] for name in ("field", "values") if name in asked}
    return Question(str(asked.get("kind")), session, asked.get("config"), fields)


async def stream(question: Question, gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """The lines of the answer.

    Args:
        gone: whether the browser does not listen any more.
    """
    yield QUEUED
    prepared: _Prepared | None = None

    async def ask(deliver: Callable[[Event], object]) -> Job:
        nonlocal prepared
        prepared = await run_in_threadpool(_prepare, question)
        return _ask(question, prepared, deliver)

    async def changed(event: Event) -> Event:
        assert prepared is not None
        return event | await run_in_threadpool(_pictures, prepared) if question.kind == "open" else event

    async with contextlib.aclosing(relay(ask, gone, changed)) as lines:
        async for line in lines:
            yield line


@dataclass(frozen=True)
class _Prepared:
    """A config with every default filled in, and the dataset it names."""

    config: TrainConfig
    manifest: Manifest
    version: object


def _prepare(question: Question) -> _Prepared:
    """
    Raises:
        ConfigError: a setting is wrong.
        DataError: the dataset can't be used, or not from here.
        WeightsError: there is no such weights file.
    """
    if question.kind not in KINDS:
        raise ConfigError(f"kind: {question.kind!r} given, accepted: {', '.join(KINDS)}")
    if not isinstance(question.config, dict):
        raise ConfigError("config: accepted: an object with the settings of a run")
    config = TrainConfig.parse(question.config)
    path, version, manifest = _dataset(
        config.data, config.split_column, config.classes, config.task, config.label_rule, config.seed,
        int(time.monotonic() / LOOK_S),
    )  # fmt: skip
    config = located(config.replace(data=str(path)))
    return _Prepared(config.resolve(manifest.classes), manifest, version)


@lru_cache(maxsize=16)
def _dataset(
    data: str,
    split_column: str,
    classes: tuple[str, ...],
    task: str,
    label_rule: str | None,
    seed: int,
    when: int,  # noqa: ARG001  another one after LOOK_S
) -> tuple[Path, object, Manifest]:
    config = TrainConfig(
        data=data, split_column=split_column, classes=classes, task=task, label_rule=label_rule, seed=seed
    )
    path = datasets.find(data)
    return path, datasets.folder_version(path), datasets.of_config(config)


def _ask(question: Question, prepared: _Prepared, deliver: Callable[[Event], object]) -> Job:
    return worker().ask(
        question.kind, question.session, deliver=deliver, config=prepared.config.dump(), version=repr(prepared.version),
        **question.fields,
    )  # fmt: skip


def _pictures(prepared: _Prepared) -> Event:
    """What the page needs to show the validation images."""
    manifest = prepared.manifest
    val = manifest.samples[manifest.samples["split"] == "val"]
    paths = dict(zip(val["sample_id"].astype(str), val["path"].astype(str), strict=True))
    return {"root": str(manifest.root), "word": dataset_pictures.offer(manifest.root, paths, prepared.version)}
