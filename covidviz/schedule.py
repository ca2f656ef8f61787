"""The learning rate as a pure function of the step: a resumed run needs no scheduler, and the form can draw it."""

from __future__ import annotations

import math

from covidviz.config import TrainConfig, parse_lr_steps

__all__ = ["learning_rates"]

# one_cycle as torch's OneCycleLR: share of steps that rise, first and last rate as parts of the highest
RISE, FIRST, LAST = 0.3, 1 / 25, 1 / 25e4


def learning_rates(config: TrainConfig, step: int, steps_per_epoch: int) -> tuple[float, float]:
    """(head, backbone) learning rate of a step.

    Args:
        step: from 0, over the whole run.
        steps_per_epoch: of the whole run, `config.epochs` x this is its length.
    """
    factor = _factor(config, step, steps_per_epoch)
    return config.lr * factor, (config.backbone_lr or config.lr) * factor


def _factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    total = max(1, config.epochs * steps_per_epoch)
    if config.schedule == "step":
        epoch = step // max(1, steps_per_epoch) + 1
        reached = [lr for start, lr in parse_lr_steps(config.lr_steps) if start <= epoch]
        return reached[-1] / config.lr if reached else 1.0
    if config.schedule == "cosine":
        return _half_cosine(1.0, 0.0, step / total)
    if config.schedule == "one_cycle":
        rise = RISE * total
        if step < rise:
            return _half_cosine(FIRST, 1.0, step / rise)
        return _half_cosine(1.0, LAST, (step - rise) / max(1.0, total - 1 - rise))
    return 1.0


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2
