"""Optimizers over what is trainable; the rates they are given come from `covidviz.schedule`."""

from __future__ import annotations

import torch
from torch import nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.training.models import trainable_parameters

__all__ = ["make_optimizer", "set_learning_rates"]


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


def set_learning_rates(optimizer: torch.optim.Optimizer, rates: tuple[float, float]) -> None:
    """Give the head and, where it learns, the backbone their rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        group["lr"] = rate
