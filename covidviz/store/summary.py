"""The best epoch of a run and its metrics. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from covidviz.store.files import parse_line

__all__ = ["best_metrics", "best_validation_line", "better", "is_number"]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number (and no truth value)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


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


def best_validation_line(data: bytes, metric: str) -> dict[str, Any] | None:
    """The first line with the best `metric` of the validation split, in whole lines of metrics.jsonl, parsed.

    Parsing every line of a thousand runs takes seconds, so numbers are looked up as text and only the line that won is
    parsed. Should it turn out not to be what it seemed, or be written in another way than RunWriter's, all are parsed.
    """
    return _quick(data, metric) or _thorough(data, metric)


_VAL = b'"split": "val"'


def _quick(data: bytes, metric: str) -> dict[str, Any] | None:
    key = f'"{metric}": '.encode()
    parts = data.split(_VAL)
    starts = [part.find(key) + len(key) for part in parts[1:]]
    try:
        values = [float(part[at : part.find(b",", at)]) for part, at in zip(parts[1:], starts, strict=True)]
    except ValueError:  # null, or the last field of its line
        return None
    if not values:
        return None
    best = min(values) if metric == "loss" else max(values)
    i = values.index(best)
    row = parse_line(parts[i].rpartition(b"\n")[2] + _VAL + parts[i + 1].partition(b"\n")[0])
    sound = row is not None and row.get("split") == "val" and is_number(best) and row.get(metric) == best
    return row if sound else None


def _thorough(data: bytes, metric: str) -> dict[str, Any] | None:
    found = None
    for line in data.splitlines():
        row = parse_line(line) if b'"val"' in line else None
        if row is None or row.get("split") != "val" or not is_number(row.get(metric)):
            continue
        if found is None or better(row[metric], found[metric], metric):
            found = row
    return found
