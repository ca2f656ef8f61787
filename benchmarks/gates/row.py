"""One measured line, the gates it may have to hold, and how to take two things in turn."""

from __future__ import annotations

import io
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "GATES", "Gate", "Part", "Row", "Settings", "clock", "clock_name", "held", "in_turn", "missing", "quiet", "ratio",
    "seconds", "use",
]  # fmt: skip


@dataclass(frozen=True)
class Gate:
    """What a row must reach: at least `gate` (at most, where `at_most`); `stretch` would be better still."""

    gate: float
    stretch: float | None = None
    at_most: bool = False


# "Ratios in one run, median of at least 5 pairs": peer / ours. The two shares and the differences are at most.
GATES = {
    "head bf16": Gate(18, 27),
    "head exact": Gate(9, 10),
    "head difference": Gate(0, at_most=True),
    "head epoch": Gate(250, 1000),
    "head again": Gate(250, 1000),
    "block vgg16 bf16": Gate(13, 17),
    "block vgg16 exact": Gate(5.5, 7),
    "block resnet18 bf16": Gate(4, 5.5),
    "block resnet18 exact": Gate(2.1, 2.8),
    "all bf16": Gate(2.1, 2.6),
    "all fp32": Gate(1.05, 1.25),
    "input big": Gate(30, 80),
    "input 512": Gate(8),
    "input difference": Gate(0, at_most=True),
    "cam gradcam": Gate(8, 10),
    "cam captum": Gate(3, 3.5),
    "cam difference": Gate(2e-5, at_most=True),
    "cam memory gradcam": Gate(10, 20),
    "cam memory captum": Gate(8),
    "overlay": Gate(100, 150),
    "open naive": Gate(150, 250),
    "open tensorboard": Gate(50, 100),
    "refresh": Gate(500, 900),
    "log tensorboard": Gate(20, 50),
    "log mlflow": Gate(500, 3000),
    "thresholds": Gate(1000),
    "thresholds difference": Gate(0, at_most=True),
    "bootstrap": Gate(800),
    "threshold slider": Gate(0.1, at_most=True),  # seconds
    "checkpoint": Gate(0.01, 0.003, at_most=True),
}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    item: what was measured.
    measured: the number a gate is about: a ratio peer / ours, a difference, a share; None where it was not measured.
    ours, peer: what it was made of, in `unit` (s or MB).
    gate: its name in `GATES`, or empty.
    why: why it was not measured (`not installed: captum`), else empty.
    note: what a reader has to know.
    """

    item: str
    measured: float | None = None
    ours: float | None = None
    peer: float | None = None
    unit: str = "s"
    gate: str = ""
    why: str = ""
    note: str = ""

    def document(self) -> dict[str, Any]:
        """For JSON: the fields, the gate's numbers and the verdict."""
        gate = GATES.get(self.gate)
        limits = {"gate": gate.gate, "stretch": gate.stretch, "at_most": gate.at_most} if gate else {"gate": None}
        rest = {name: getattr(self, name) for name in ("item", "measured", "ours", "peer", "unit", "why", "note")}
        return {**rest, **limits, "name": self.gate, "held": held(self)}


def held(row: Row) -> bool | None:
    """Whether its gate holds; None where it has none or was not measured."""
    gate = GATES.get(row.gate)
    if gate is None or row.measured is None:
        return None
    return row.measured <= gate.gate if gate.at_most else row.measured >= gate.gate


@dataclass(frozen=True)
class Settings:
    """quick: fewer images and pairs. folder: for what is written. workers: of the plain script's DataLoader."""

    quick: bool
    folder: Path
    workers: int

    def pairs(self, quick: int, full: int = 5) -> int:
        return quick if self.quick else full

    def size(self, quick: int, full: int) -> int:
        return quick if self.quick else full


Part = Callable[[Settings], Iterator[Row]]

_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class _Clock:
    now: Callable[[], float] = field(default=time.perf_counter)


_clock = _Clock()


def use(name: str) -> None:
    """Measure in `wall` time or in `cpu` time: that of this process's threads, for a machine that does other work."""
    _clock.now = _CLOCKS[name]


def clock_name() -> str:
    """The one in use."""
    return next(name for name, now in _CLOCKS.items() if now is _clock.now)


def clock() -> float:
    """Seconds by the chosen clock."""
    return _clock.now()


def seconds(call: Callable[[], object]) -> float:
    """What one call takes."""
    start = clock()
    call()
    return clock() - start


def in_turn(calls: Sequence[Callable[[], float]], pairs: int) -> list[tuple[float, ...]]:
    """What each call returns, taken in turn, forwards and backwards, so that a drift of the machine's speed cancels."""
    taken = []
    for number in range(pairs):
        order = range(len(calls)) if number % 2 == 0 else range(len(calls) - 1, -1, -1)
        found = {i: calls[i]() for i in order}
        taken.append(tuple(found[i] for i in range(len(calls))))
    return taken


def ratio(item: str, pairs: Sequence[tuple[float, float]], gate: str = "", note: str = "", unit: str = "s") -> Row:
    """The row of pairs (ours, peer): medians, and the median of the ratios."""
    ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row(item, statistics.median(b / a for a, b in pairs), ours, peer, unit, gate, note=note)


def missing(*modules: str) -> str:
    """`not installed: NAME` for the first of these modules that is not there, else empty."""
    return next((f"not installed: {name}" for name in modules if find_spec(name) is None), "")


@contextmanager
def quiet() -> Iterator[None]:
    """What other packages say about themselves is not shown."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
