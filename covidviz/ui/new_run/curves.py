"""What the small curves of the form show: loss against probability, learning rate over the epochs. No torch."""

from __future__ import annotations

import math
from typing import Any

from covidviz.config import TrainConfig
from covidviz.schedule import learning_rates

__all__ = ["focal", "focal_curves", "schedule_curve"]

STEPS_PER_EPOCH = 20  # enough for a smooth curve, whatever the dataset
POINTS = 120


def focal(p: float, gamma: float, weight: float = 1.0) -> float:
    """Focal loss where the truth is given probability `p` (0..1]: -weight (1 - p)^gamma log p (Lin et al. 2017).

    gamma 0 with weight 1 is cross-entropy. `covidviz.training.losses` computes the same from logits.
    """
    return -weight * (1 - p) ** gamma * math.log(p)


def focal_curves(gamma: float, alpha: float | None) -> list[dict[str, Any]]:
    """The curves over p: cross-entropy, and focal loss with its weight for positives and for negatives.

    Returns:
        For each `name`, `x` and `y` (as long), and `kind`: its colour and line style in the browser.
    """
    x = [i / 50 for i in range(1, 51)]
    curves = [("cross-entropy", "quiet", 0.0, 1.0)]
    if alpha is None:
        curves.append(("focal", "first", gamma, 1.0))
    else:
        curves += [("positives", "first", gamma, alpha), ("negatives", "second", gamma, 1 - alpha)]
    return [
        {"name": name, "kind": kind, "x": x, "y": [round(focal(p, g, w), 4) + 0.0 for p in x]}
        for name, kind, g, w in curves
    ]


def schedule_curve(config: TrainConfig) -> list[dict[str, Any]]:
    """The learning rate of the head over the epochs: `x` in epochs from 0, `y` the rate."""
    total = config.epochs * STEPS_PER_EPOCH
    every = max(1, total // POINTS)
    steps = [*range(0, total, every), total - 1]
    x = [*(round(step / STEPS_PER_EPOCH, 3) for step in steps[:-1]), config.epochs]
    y = [learning_rates(config, step, STEPS_PER_EPOCH)[0] for step in steps]
    return [{"name": "learning rate", "kind": "first", "x": x, "y": y}]
