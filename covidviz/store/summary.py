"""The best epoch of a run and its metrics, and their course on the validation split."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeGuard

import orjson

from covidviz.store.files import parse_line

__all__ = ["Curves", "best_metrics", "better", "is_number"]


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
