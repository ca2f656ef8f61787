"""The compute worker: `python -m covidviz.training.compute`, one warm process per server, which asks it in JSON lines.

In on stdin: `{"id", "session", "background", "kind", ...}` or `{"cancel": id}`. Out on stdout: `{"event": "ready"}`
once, then `{"id", "event", ...}`; each job ends with one `done`, `error` or `cancelled`. The kinds:

    open      config                   progress*, done {classes, critical, task, n_train, val {ids, paths, labels},
                                       features, mb}
    lab       config                   progress*, epoch {epoch, epochs, train, val, best}*,
                                       done {best_epoch, prob (validation, best epoch), seconds, epochs}
    sweep     config, field, values    progress*, point {value, val (best epoch) or null, diverged}*, done
    lr_range  config                   progress*, lr {lr, loss}*, done {suggested}
    predict   run_dir, path            progress*, done {prob, size, picture, remarks, heat, vector}
    near      run_dir, vectors         progress*, done {of, answers}; both as `covidviz.training.predicting` says, and
                                       an error with `about` "run" is one of the run, not of the image
    what_if   run_dir, split, mistake  progress*, repeat {number, of, metrics, confusion}*, done {how}; see
                                       `covidviz.training.what_if`

`config` is a resolved one; `version` changes with the dataset's folder. A loss that becomes NaN ends in an `error` with
`diverged`. The process ends when stdin does, that is with its server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
import psutil

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, CovidvizError
from covidviz.training.turns import Job, Turns

if TYPE_CHECKING:
    from covidviz.training.lab import Epoch, LabData
    from covidviz.training.shelf import Shelf

__all__ = ["main"]

Event = dict[str, Any]
Events = Generator[Event | None, None, None]

MOST_VALUES = 64


class DivergedError(CovidvizError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Asked:
    """What a job was asked: the `request`, its `config`, and the features of `key` on the `shelf`."""

    request: dict[str, Any]
    config: TrainConfig
    key: tuple[str, Any]
    shelf: Shelf

    def data(self) -> Generator[Event | None, None, LabData]:
        """The features, computed first where they are not there; raises as `covidviz.training.lab.open_lab`."""
        from covidviz.training.lab import check

        check(self.config)
        return (yield from self.shelf.obtain(self.key, self.config))


def _open(asked: Asked) -> Events:
    data = yield from asked.data()
    val = data.splits["val"]
    yield {
        "event": "done",
        "classes": asked.config.classes,
        "critical": asked.config.critical_class,
        "task": asked.config.task,
        "n_train": len(data.splits["train"].sample_id),
        "val": {"ids": val.sample_id, "paths": val.paths, "labels": val.labels},
        "features": data.splits["train"].features.shape[1],
        "mb": round(data.nbytes / 1e6, 1),
    }


def _lab(asked: Asked) -> Events:
    data = yield from asked.data()
    try:
        best, epochs, seconds = yield from _trained(data, asked.config, told=True)
    except DivergedError as error:
        yield {"event": "error", "message": str(error), "diverged": True}
        return
    yield {"event": "done", "best_epoch": best.epoch, "prob": best.prob, "seconds": round(seconds, 4), "epochs": epochs}


def _sweep(asked: Asked) -> Events:
    from covidviz.training.lab import check, key_of

    field, values = asked.request.get("field"), asked.request.get("values")
    if field not in TrainConfig.model_fields:
        raise ConfigError(f"field: {field!r} given, accepted: a setting of the head's training, such as focal_gamma")
    if not isinstance(values, list) or not 0 < len(values) <= MOST_VALUES:
        raise ConfigError(f"values: accepted: a list of 1 to {MOST_VALUES} values of {field}")
    configs = [asked.config.replace(**{field: value}) for value in values]
    for config in configs:
        check(config)
        if key_of(config) != key_of(asked.config):
            raise ConfigError(f"field: {field!r} given, accepted: a setting that leaves the features as they are")
    data = yield from asked.data()
    for value, config in zip(values, configs, strict=True):
        try:
            best, _, _ = yield from _trained(data, config)
        except DivergedError:
            yield {"event": "point", "value": value, "val": None, "diverged": True}
        else:
            yield {"event": "point", "value": value, "val": best.val, "diverged": False}
    yield {"event": "done"}


def _lr_range(asked: Asked) -> Events:
    from covidviz.training.beside import beside
    from covidviz.training.lab import check
    from covidviz.training.lr_finder import find

    try:
        check(asked.config)
    except ConfigError:  # more than the head learns: steps of the whole network take seconds each
        yield from beside(lambda emit: _emitted(asked.config, emit))
        return
    data = yield from asked.data()
    yield from find(asked.config, data, lambda *_: None)


def _emitted(config: TrainConfig, emit: Callable[[Event | None], None]) -> None:
    from covidviz.training.lr_finder import find
    from covidviz.training.shelf import all_cores, progress

    all_cores()
    for event in find(config, None, progress(emit)):
        emit(event)


PREDICTING = ("predict", "near")  # of `covidviz.training.predicting`
OF_A_RUN = (*PREDICTING, "what_if")  # which need no config
KINDS: dict[str, Callable[[Asked], Events]] = {
    "open": _open,
    "lab": _lab,
    "sweep": _sweep,
    "lr_range": _lr_range,
}


def _trained(
    data: LabData, config: TrainConfig, *, told: bool = False
) -> Generator[Event | None, None, tuple[Epoch, int, float]]:
    """Train a head to the end; the best epoch, how many there were, and the seconds it took without others' turns.

    Args:
        told: yield an event for each epoch.

    Raises:
        DivergedError, ConfigError: the head is too large for the machine.
    """
    from covidviz.training import lab

    _check_size(config, data.splits["train"].features.shape[1])
    best: Epoch | None = None
    last, seconds, resumed = 0, 0.0, time.perf_counter()
    try:
        for epoch in lab.train(data, config):
            seconds += time.perf_counter() - resumed
            if epoch is not None:
                best, last = epoch if epoch.best or best is None else best, epoch.epoch
            if epoch is None or not told:
                yield None
            else:
                values = {"train": epoch.train, "val": epoch.val, "best": epoch.best}
                yield {"event": "epoch", "epoch": last, "epochs": config.epochs, **values}
            resumed = time.perf_counter()
    except CovidvizError as error:
        if type(error) is CovidvizError:  # as `lab.train` says it
            raise DivergedError(str(error)) from error
        raise
    assert best is not None
    return best, last, seconds + time.perf_counter() - resumed


def _check_size(config: TrainConfig, features: int) -> None:
    weights = sum(a * b for a, b in pairwise((features, *config.head, len(config.classes))))
    if 3 * 4 * weights > psutil.virtual_memory().total // 8:  # value, momentum and one product, float32
        raise ConfigError(f"head: {weights:,} weights given, accepted in the lab: fewer, for this machine's memory")


class Worker:
    """From messages to jobs."""

    def __init__(self, say: Callable[[int, Event], None]) -> None:
        from covidviz.training.predicting import Predicting
        from covidviz.training.shelf import Shelf
        from covidviz.training.what_if import WhatIf

        self.shelf, self.turns, self.predicting, self.what_if = Shelf(), Turns(say), Predicting(), WhatIf()

    def handle(self, message: dict[str, Any]) -> None:
        """Take on or cancel a job."""
        if "cancel" in message:
            self.turns.cancel(message["cancel"])
            return
        job_id, kind = message["id"], str(message.get("kind"))
        try:
            if kind not in KINDS and kind not in OF_A_RUN:
                raise ConfigError(f"kind: {kind!r} given, accepted: {', '.join((*KINDS, *OF_A_RUN))}")
            asked = None if kind in OF_A_RUN else self._asked(message)
        except Exception as error:
            events, ended = _failed(error), lambda: None
        else:
            if asked is None:
                events, ended = (self.what_if if kind == "what_if" else self.predicting).events(message), lambda: None
            else:
                events, ended = KINDS[kind](asked), lambda: self.shelf.leave(asked.key, job_id)
                self.shelf.want(asked.key, job_id)
        session, background = str(message.get("session")), bool(message.get("background"))
        self.turns.add(Job(job_id, session, kind, background, events, ended))

    def _asked(self, message: dict[str, Any]) -> Asked:
        from covidviz.training.lab import key_of

        config = TrainConfig.parse(message["config"])
        return Asked(message, config, (key_of(config), message.get("version")), self.shelf)


def _failed(error: Exception) -> Events:
    raise error
    yield None


def _read(lines: BinaryIO, inbox: SimpleQueue[dict[str, Any]]) -> None:
    for line in lines:
        inbox.put(orjson.loads(line))
    os._exit(0)  # the server is gone; whatever is computed goes into nobody's hands, and the caches bear any end


def main() -> None:
    """Answer until stdin ends."""
    # Read when torch is loaded. Threads that spin while they wait make everything beside them slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    asked = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what a library prints is no answer
    inbox: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_read, args=(asked, inbox), name="read", daemon=True).start()

    def say(job_id: int | None, event: Event) -> None:
        named = event if job_id is None else {"id": job_id, **event}
        try:
            line = orjson.dumps(named, option=orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as error:  # such as a class name that is no text
            line = orjson.dumps({"id": job_id, "event": "error", "message": f"the answer can't be told: {error}"})
        try:
            answers.write(line + b"\n")
            answers.flush()
        except OSError:
            os._exit(0)  # as in `_read`, which is about to see it too

    worker = Worker(say)
    import torch

    torch.set_num_threads(1)  # of this thread: more make a head's small steps slower, and others have work too
    say(None, {"event": "ready"})
    while True:
        while not (inbox.empty() and worker.turns.jobs):
            worker.handle(inbox.get())
        worker.turns.turn(lambda: not inbox.empty())


if __name__ == "__main__":
    main()
