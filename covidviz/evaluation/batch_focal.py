"""A course report's "focal loss" as a function of B, the mean binary cross-entropy of a batch, and where it leads.

F(B) = (1 - exp(-B))^gamma ln B, kept for teaching (`covidviz.training.losses.batch_focal`). Its alpha only scales it.
numpy and the standard library.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["descent", "minimum", "slope", "value"]

Floats = NDArray[np.float64]

HALVINGS = 80


def value(bce: ArrayLike, gamma: float) -> Floats:
    """F(B) for B > 0 and gamma >= 0; below 0 where B < 1."""
    b = np.asarray(bce, np.float64)
    found: Floats = (-np.expm1(-b)) ** gamma * np.log(b)
    return found


def slope(bce: ArrayLike, gamma: float) -> Floats:
    """F'(B): where it is below 0, a step of gradient descent raises the cross-entropy."""
    b = np.asarray(bce, np.float64)
    q = -np.expm1(-b)
    found: Floats = gamma * q ** (gamma - 1) * (1 - q) * np.log(b) + q**gamma / b
    return found


def minimum(gamma: float) -> float | None:
    """The B where F is least: gamma ln B = -(exp(B) - 1) / B, found by halving. None for gamma 0: it falls without end.

    >>> round(minimum(2), 3)
    0.519
    """
    if gamma <= 0:
        return None
    low, high = -1 / gamma - 2, 0.0  # of ln B; the left side rises and is below 0 at low, above at 0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        b = math.exp(middle)
        if gamma * middle + (math.expm1(b) / b if b > 0 else 1.0) < 0:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def descent(start: float, gamma: float | None, lr: float, steps: int) -> Floats:
    """The cross-entropy over steps of gradient descent on F, or on the cross-entropy itself (`gamma` None).

    The smallest network there is: one logit x for the truth of every image of the batch, so B = log(1 + exp(-x)).

    Args:
        start: B before the first step, > 0.
        lr: learning rate, > 0.

    Returns:
        float64 [steps + 1].
    """
    found = np.empty(steps + 1)
    b = start
    x = -_log_expm1(b)
    for i in range(steps + 1):
        found[i] = b
        pull = -math.expm1(-b)  # -dB/dx
        x += lr * pull * (1.0 if gamma is None else float(slope(b, gamma)))
        b = max(_softplus(-x), 1e-12)
    return found


def _log_expm1(b: float) -> float:
    return b + math.log(-math.expm1(-b))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
