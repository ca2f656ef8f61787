"""How far the seed alone moves a metric, and whether a setting moves it further. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

__all__ = ["Effect", "deviation", "effect", "pooled", "t_quantile"]


@dataclass(frozen=True)
class Effect:
    """Mean of B less mean of A: `diff`, the ends of its 95 % interval (None where one can't be had) and `noise`, the
    standard deviation between seeds (None where unknown)."""

    diff: float
    low: float | None
    high: float | None
    noise: float | None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (over n - 1); None of fewer than two values."""
    return pooled([values]) if len(values) > 1 else None


def pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation within groups, each around its own mean; None where no group has two values."""
    degrees = sum(len(values) - 1 for values in groups if len(values) > 1)
    if not degrees:
        return None
    squares = sum((value - fmean(values)) ** 2 for values in groups if len(values) > 1 for value in values)
    return math.sqrt(squares / degrees)


def effect(a: Sequence[float], b: Sequence[float], *, level: float = 0.95) -> Effect:
    """B against A, each the values of one metric over seeds, at least one.

    The interval is Student's with pooled variance (W. S. Gosset, Biometrika 6 (1908) 1), and needs two seeds on a side.
    """
    diff = fmean(b) - fmean(a)
    noise = pooled([a, b])
    if noise is None:
        return Effect(diff, None, None, None)
    half = t_quantile(0.5 + level / 2, len(a) + len(b) - 2) * noise * math.sqrt(1 / len(a) + 1 / len(b))
    return Effect(diff, diff - half, diff + half, noise)


def t_quantile(share: float, degrees: int) -> float:
    """Student's t below which `share` (0.5 to 1, both left out) of the distribution lies, by halving the range.

    Raises:
        ValueError: `share` or `degrees` (from 1) out of range.

    >>> round(t_quantile(0.975, 4), 3)
    2.776
    """
    if not 0.5 < share < 1 or degrees < 1:
        raise ValueError(f"share {share} and degrees {degrees} given, accepted: above 0.5 below 1, and from 1")
    low, high = 0.0, 1.0
    while _below(high, degrees) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _below(middle, degrees) < share else (low, middle)
    return (low + high) / 2


def _below(t: float, degrees: int) -> float:
    """Share of Student's distribution below t >= 0: Abramowitz and Stegun, Handbook (1964), 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if odd and degrees == 1 else term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= square * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2
