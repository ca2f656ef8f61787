"""The features that the compute worker keeps in memory, and those that are being opened, each once for all who ask."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Generator, Hashable
from typing import Any

import psutil
import torch

from covidviz.config import TrainConfig
from covidviz.training import lab
from covidviz.training.beside import beside
from covidviz.training.lab import LabData

__all__ = ["Shelf", "all_cores", "progress"]

Event = dict[str, Any]
MOST = 4
CORES = torch.get_num_threads()  # as torch or OMP_NUM_THREADS says, before the worker's main thread takes one only
TELL_S = 0.1  # between two words on the progress


class _Opening:
    """Features on their way. Whoever waits for them drives the work on in the own turns."""

    def __init__(self, config: TrainConfig) -> None:
        self.steps = beside(lambda emit: _open(config, emit))
        self.progress: Event | None = None
        self.data: LabData | None = None
        self.error: Exception | None = None

    def step(self) -> None:
        if self.data is not None or self.error is not None:
            return
        try:
            self.progress = next(self.steps) or self.progress
        except StopIteration as end:
            self.data = end.value
        except Exception as error:
            self.error = error


def _open(config: TrainConfig, emit: Callable[[Event | None], None]) -> LabData:
    all_cores()
    try:
        return lab.open_lab(config, progress(emit))
    finally:
        _give_back()


def _give_back() -> None:
    """glibc keeps the memory of the network (150 MB and more) for later, which here is hardly ever."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def all_cores() -> None:
    """Let this thread compute with all of them. The heads' products, in the main thread, are too small for that."""
    torch.set_num_threads(CORES)


def progress(emit: Callable[[Event | None], None]) -> Callable[[str, int, int], None]:
    """A `tell` for `lab.open_lab` that emits a `progress` event now and then, and None at all other times."""
    told, of = -TELL_S, ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told, of
        if what != of or done == total or time.monotonic() - told >= TELL_S:
            told, of = time.monotonic(), what
            emit({"event": "progress", "what": what, "done": done, "total": total})
        else:
            emit(None)

    return tell


class Shelf:
    """`LabData` by key, the longest unused put away first."""

    def __init__(self, most_bytes: int | None = None, most: int = MOST) -> None:
        """
        Args:
            most_bytes: of all features together; default a quarter of the machine's memory. The latest stays anyway.
            most: datasets.
        """
        self.most_bytes = psutil.virtual_memory().total // 4 if most_bytes is None else most_bytes
        self.most = most
        self.kept: OrderedDict[Hashable, LabData] = OrderedDict()
        self._openings: dict[Hashable, _Opening] = {}
        self._wanted: defaultdict[Hashable, set[int]] = defaultdict(set)

    def want(self, key: Hashable, job_id: int) -> None:
        """A job will ask for this, so it is not given up when another one loses interest."""
        self._wanted[key].add(job_id)

    def leave(self, key: Hashable, job_id: int) -> None:
        """A job does not need this any more; what nobody wants is not opened further."""
        self._wanted[key].discard(job_id)
        if not self._wanted[key]:
            del self._wanted[key]
            if (opening := self._openings.pop(key, None)) is not None:
                opening.steps.close()

    def obtain(self, key: Hashable, config: TrainConfig) -> Generator[Event | None, None, LabData]:
        """Yield `progress` events until the features are there, and return them.

        Args:
            key: equal for configs that can share them.
            config: resolved.

        Raises:
            as `covidviz.training.lab.open_lab`.
        """
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        if (found := self._openings.get(key)) is None:
            found = self._openings[key] = _Opening(config)
        opening, said = found, None
        while True:
            opening.step()
            if opening.error is not None or opening.data is not None:
                if self._openings.get(key) is opening:  # the first to see it
                    del self._openings[key]
                    if opening.data is not None:
                        self._keep(key, opening.data)
                if opening.error is not None:
                    raise opening.error
                assert opening.data is not None
                return opening.data
            yield None if opening.progress is said else opening.progress
            said = opening.progress

    def _keep(self, key: Hashable, data: LabData) -> None:
        self.kept[key] = data
        while len(self.kept) > 1 and (
            len(self.kept) > self.most or sum(one.nbytes for one in self.kept.values()) > self.most_bytes
        ):
            self.kept.popitem(last=False)
