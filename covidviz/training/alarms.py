"""Signs that a training goes wrong, told while it runs. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covidviz.evaluation.metrics import predicted

__all__ = ["validation_alarms"]

CONSTANT = 0.01


def validation_alarms(
    prob: NDArray[np.float32], labels: NDArray[np.int8], loss: NDArray[np.float32], classes: Sequence[str], task: str
) -> list[str]:
    """What is suspicious about the validation results of an epoch; empty when nothing is.

    Args:
        prob: [N, C]; labels: 0/1, [N, C]; loss: per sample, [N].
    """
    found = []
    if loss.min() < 0:
        found.append(f"The loss is negative ({loss.min():.3g}), which no sound loss is.")
    if np.ptp(prob, axis=0).max() < CONSTANT:
        found.append("Every validation image gets the same prediction, so the network ignores the image.")
    never = (labels.sum(axis=0) > 0) & (predicted(prob, task).sum(axis=0) == 0)
    found += [
        f"{name} is never predicted in validation." for name, is_never in zip(classes, never, strict=True) if is_never
    ]
    return found
