"""What the small curves of the form show: loss against probability, learning rate over the epochs. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from covidviz.config import TrainConfig
from covidviz.evaluation.loss_curves import CROSS_ENTROPY, focal, loss
from covidviz.schedule import learning_rates

__all__ = ["focal_curves", "schedule_curve"]

STEPS_PER_EPOCH = 20  # enough for a smooth curve, whatever the dataset
POINTS = 120


def focal_curves(gamma: float, alpha: float | None) -> list[dict[str, Any]]:
    """The curves over p: cross-entropy, and focal loss with its weight for positives and for negatives.

    Returns:
        For each `name`, `x` and `y` (as long), and `kind`: its colour and line style in the browser.
    """
    x = [i / 50 for i in range(1, 51)]
    shape = focal(gamma, alpha)
    curves = [("cross-entropy", "quiet", loss(CROSS_ENTROPY, x, 1))]
    if alpha is None:
        curves.append(("focal", "first", loss(shape, x, 1)))
    else:
        # of a no, the truth is given probability p where yes is given 1 - p
        curves += [("positives", "first", loss(shape, x, 1)), ("negatives", "second", loss(shape, 1 - np.array(x), 0))]
    return [{"name": name, "kind": kind, "x": x, "y": y.round(4).tolist()} for name, kind, y in curves]


def schedule_curve(config: TrainConfig) -> list[dict[str, Any]]:
    """The learning rate of the head over the epochs: `x` in epochs from 0, `y` the rate."""
    total = config.epochs * STEPS_PER_EPOCH
    every = max(1, total // POINTS)
    steps = [*range(0, total, every), total - 1]
    x = [*(round(step / STEPS_PER_EPOCH, 3) for step in steps[:-1]), config.epochs]
    y = [learning_rates(config, step, STEPS_PER_EPOCH)[0] for step in steps]
    return [{"name": "learning rate", "kind": "first", "x": x, "y": y}]
