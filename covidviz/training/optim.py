"""Optimizers and learning rates. A rate is a pure function of the step, so that a resumed run needs no scheduler."""

from __future__ import annotations

import math

import torch
from torch import nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig, parse_lr_steps
from covidviz.training.models import trainable_parameters

__all__ = ["learning_rates", "make_optimizer", "set_learning_rates"]

# one_cycle as torch's OneCycleLR: share of steps that rise, first and last rate as parts of the highest
RISE, FIRST, LAST = 0.3, 1 / 25, 1 / 25e4


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a resolved config over what is trainable: group 0 the head, group 1 (if any) the backbone."""
    head = f"{MODELS[config.model].head}."
    named = trainable_parameters(model)
    groups = [
        {"params": [p for name, p in named if name.startswith(head)], "lr": config.lr},
        {"params": [p for name, p in named if not name.startswith(head)], "lr": config.backbone_lr or config.lr},
    ]
    groups = [group for group in groups if group["params"]]
    decay = config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups, momentum=config.momentum, nesterov=config.nesterov, weight_decay=decay, fused=True
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(groups, betas=(config.momentum, 0.999), weight_decay=decay, fused=True)


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


def set_learning_rates(optimizer: torch.optim.Optimizer, rates: tuple[float, float]) -> None:
    """Give the head and, where it learns, the backbone their rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        group["lr"] = rate
