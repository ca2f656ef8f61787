"""Numbers and small words as a report writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from covidviz.evaluation.metric_names import metric_name

__all__ = ["SPLITS", "bare", "capital", "chance", "duration", "ends", "listed", "named", "plural", "short", "with_ends"]

SPLITS = {"train": "training", "val": "validation", "test": "test"}


def bare(value: float | None, digits: int = 2) -> str:
    """A share without the zero before its point, as statistics are written: `.83`, `1.00`; a dash where unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):.{digits}f}".removeprefix("0")
    return f"\N{MINUS SIGN}{text}" if round(value, digits) < 0 else text


def chance(value: float) -> str:
    """A probability: `.83`, but `>.99` and `<.01` where rounding would make it certain."""
    return ">.99" if 0.995 <= value < 1 else "<.01" if 0 < value < 0.005 else bare(value)


def ends(low: float | None, high: float | None, digits: int = 2) -> str:
    """`.78 to .87`; empty where unknown."""
    return "" if low is None or high is None else f"{bare(low, digits)} to {bare(high, digits)}"


def with_ends(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """`.83 (.78 to .87)`."""
    known = "" if value is None else ends(low, high, digits)
    return f"{bare(value, digits)} ({known})" if known else bare(value, digits)


def plural(n: int, word: str, words: str = "") -> str:
    """`1 image`, `1,622 images`."""
    return f"{n:,} {word if n == 1 else words or f'{word}s'}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """`a, b and c`."""
    return " ".join([", ".join(names[:-1]), word, names[-1]]) if len(names) > 1 else "".join(names)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def named(key: str) -> str:
    """A metric's name for the head of a column: `Macro F1`."""
    return capital(metric_name(key))


def short(text: str, length: int = 60) -> str:
    """On one line, cut to `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def duration(seconds: float | None) -> str:
    """`4 s`, `3 min`, `2 h 07 min`; a dash where unknown."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
