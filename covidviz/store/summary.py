"""What the index says of a run: its row, the best epoch and its metrics, their course on the validation split."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson

from covidviz.store.files import parse_line

__all__ = ["LATER", "Curves", "RunSummary", "best_metrics", "better", "is_number"]

LATER = ("metrics", "curves", "settings")  # the large fields of a row


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number (and no truth value)."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1023


def better(new: float, old: float, metric: str) -> bool:
    """Whether `new` beats `old`: a lower loss, a higher anything else."""
    return new < old if metric == "loss" else new > old


def best_metrics(rows: Iterable[Mapping[str, Any]], monitor: str) -> tuple[int | None, dict[str, dict[str, Any]]]:
    """The first epoch with the best `monitor` (such as `val_macro_f1`), and {split: {name: value}} at that epoch.

    Rows are lines of metrics.jsonl; a line that was written twice counts as written last. Without any usable value
    of the monitor there is no best epoch: (None, {}).
    """
    metric = monitor.removeprefix("val_")
    table: dict[int, dict[str, dict[str, Any]]] = {}
    for row in rows:
        epoch, split = row.get("epoch"), row.get("split")
        if isinstance(epoch, int) and isinstance(split, str):
            values = {key: value for key, value in row.items() if key not in ("epoch", "split")}
            table.setdefault(epoch, {})[split] = values
    best: int | None = None
    highest = 0.0
    for epoch in sorted(table):
        value = table[epoch].get("val", {}).get(metric)
        if is_number(value) and (best is None or better(value, highest, metric)):
            best, highest = epoch, value
    return best, table[best] if best is not None else {}


@dataclass(frozen=True)
class Curves:
    """The metrics of the validation split over the epochs. Shared between threads: never changed, only replaced.

    epochs: int [E], rising. values: per metric float64 [E], not-a-number where an epoch has none.
    """

    epochs: array[int] = field(default_factory=lambda: array("i"))
    values: dict[str, array[float]] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Number by number; not-a-number equals not-a-number."""
        if not isinstance(other, Curves):
            return NotImplemented
        return self.epochs == other.epochs and _bytes(self.values) == _bytes(other.values)

    def grown(self, data: bytes) -> Curves:
        """These and what whole lines of metrics.jsonl add; an epoch that was written again counts as written last."""
        rows = [row for row in _lines(data) if row.get("split") == "val" and _is_epoch(row.get("epoch"))]
        if not rows:
            return self
        epochs = [row["epoch"] for row in rows]
        if len(self.epochs) or any(a >= b for a, b in itertools.pairwise(epochs)):
            table = {epoch: self.at(i) for i, epoch in enumerate(self.epochs)}
            table.update(zip(epochs, rows, strict=True))
            epochs = sorted(table)
            rows = [table[epoch] for epoch in epochs]
        return Curves(array("i", epochs), _columns(rows))

    def best(self, metric: str) -> int | None:
        """Where (an index into `epochs`) `metric` is best, first come first served; None without any value."""
        found, at = math.nan, None
        for i, value in enumerate(self.values.get(metric, ())):
            if value == value and (at is None or better(value, found, metric)):
                found, at = value, i
        return at

    def at(self, i: int) -> dict[str, float]:
        """The metrics at index `i`, those that have a value there."""
        return {name: curve[i] for name, curve in self.values.items() if curve[i] == curve[i]}


@dataclass(frozen=True)
class RunSummary:
    """One row of the runs table. Times are seconds since 1970 or None."""

    run_id: str
    name: str
    state: str
    model: str = ""
    weights: str = ""
    trainable: str = ""
    task: str = ""
    loss: str = ""
    focal_gamma: float | None = None
    lr: float | None = None
    data: str = ""
    epochs: int = 0
    epoch: int = 0
    progress: float = 0.0
    eta_s: float | None = None
    monitor: str = ""
    best_epoch: int | None = None
    best: float | None = None  # the monitor there
    metrics: dict[str, float] = field(default_factory=dict)  # of the validation split at the best epoch
    created: float | None = None
    started: float | None = None
    finished: float | None = None
    device: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False
    note: str = ""
    error: str | None = None
    critical: str = ""  # the critical class
    support: int | None = None  # samples of it in the validation split
    curves: Curves = field(default_factory=Curves)  # of the validation split
    settings: dict[str, Any] = field(default_factory=dict)  # config.json as it is

    def document(self) -> dict[str, Any]:
        """What a list of runs says of this one, without its curves and all its settings."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("curves", "settings")}

    @classmethod
    def later(cls, values: dict[str, Any], rest: Callable[[int], Mapping[str, Any]], i: int) -> RunSummary:
        """A row of all `values` but those in `LATER`, which `rest(i)` gives when somebody looks at one of them.

        What such a row says can't be told from another one. Setting each field of a frozen dataclass would take longer
        than all else that is done to read 1,000 rows.
        """
        row = object.__new__(cls)
        values["rest"] = rest, i
        object.__setattr__(row, "__dict__", values)
        return row

    if not TYPE_CHECKING:  # it would hide misspelt names from the type checker

        def __getattr__(self, name: str) -> Any:
            if name not in LATER or "rest" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__} has no {name!r}")
            rest, i = self.__dict__["rest"]
            self.__dict__.update(rest(i))
            return self.__dict__[name]


def _bytes(values: Mapping[str, array[float]]) -> dict[str, bytes]:
    return {name: curve.tobytes() for name, curve in values.items()}


def _is_epoch(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _lines(data: bytes) -> list[dict[str, Any]]:
    """What may be lines of the validation split, parsed together: one by one takes twice as long for 1,000 runs."""
    lines = [line for line in data.split(b"\n") if b'"val"' in line]
    try:
        rows = orjson.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:  # one of them is broken, or holds a number that is none
        rows = [parse_line(line) for line in lines]
    return [row for row in rows if isinstance(row, dict)]


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, array[float]]:
    """The rows by metric; what is missing or no finite number becomes not-a-number."""
    names = [name for name in dict.fromkeys(itertools.chain(*rows)) if name not in ("epoch", "split")]
    try:  # all in C where every row has numbers for every name: 1,000 runs have half a million of them
        columns = zip(*map(itemgetter(*names, "epoch"), rows), strict=True)
        found = {name: array("d", column) for name, column in zip(names, columns, strict=False)}
        if all(math.isfinite(sum(column)) for column in found.values()):
            return found
    except (KeyError, TypeError, OverflowError):
        pass
    return {
        name: array("d", [value if is_number(value := row.get(name)) else math.nan for row in rows]) for name in names
    }
