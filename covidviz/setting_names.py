"""Settings and their values in words, for pages and reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covidviz.catalog import AUGMENTATIONS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, TASKS

__all__ = ["DEFAULT_LOSS", "LABELS", "setting", "trainable", "value", "weights"]

LABELS = {
    "data": "Dataset", "split_column": "Split column", "classes": "Classes, in order",
    "critical_class": "Critical class", "task": "Task", "label_rule": "Label rule",
    "image_size": "Image size", "augment": "Augmentation",
    "model": "Network", "weights": "Starting weights", "head": "Head: hidden widths", "dropout": "Dropout",
    "trainable": "What learns", "loss": "Loss", "focal_gamma": "Focal gamma", "focal_alpha": "Focal alpha",
    "pos_weight": "Weight rare labels up", "optimizer": "Optimizer", "lr": "Learning rate",
    "backbone_lr": "Learning rate of the backbone", "momentum": "Momentum", "nesterov": "Nesterov",
    "weight_decay": "Weight decay", "schedule": "Schedule", "lr_steps": "Steps", "batch_size": "Batch size",
    "epochs": "Epochs", "seed": "Seed", "monitor": "Best epoch by", "patience": "Patience",
    "train_eval": "Exact train metrics", "precision": "Precision", "device": "Device", "cache": "Cache",
    "name": "Name", "tags": "Tags", "recipe": "Recipe",
}  # fmt: skip

_TABLES: dict[str, Mapping[str, Any]] = {
    "model": MODELS, "task": TASKS, "loss": LOSSES, "augment": AUGMENTATIONS, "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}  # fmt: skip
DEFAULT_LOSS = {"single-label": "cross_entropy", "multi-label": "bce"}
_EMPTY = {
    "head": "no hidden layer", "classes": "all", "critical_class": "covid19 where there is one", "label_rule": "none",
    "backbone_lr": "the same", "tags": "none", "lr_steps": "none", "recipe": "none",
}  # fmt: skip


def weights(name: str) -> str:
    """`imagenet` to `ImageNet`; a file by its name."""
    return {"imagenet": "ImageNet", "none": "From scratch"}.get(name) or Path(name).name


def trainable(text: str) -> str:
    """What learns, short: `head`, `all`, `from layer3`, `layer2, layer4`."""
    return text.replace("from:", "from ").replace(",", ", ")


def value(raw: Any) -> str:
    """A value for people: numbers short, tuples joined, None as `off`."""
    if raw is None or raw == ():
        return "off"
    if isinstance(raw, bool):
        return "on" if raw else "off"
    if isinstance(raw, tuple | list):
        return ", ".join(map(str, raw))
    return f"{raw:g}" if isinstance(raw, float) else str(raw)


def setting(name: str, raw: Any, task: str = "single-label") -> str:
    """The value `raw` of setting `name` for people: catalog rows by their title, None as what it stands for."""
    if name in _TABLES:
        raw = DEFAULT_LOSS[task] if name == "loss" and raw is None else raw
        row = _TABLES[name].get(str(raw))
        return row.title if row is not None else str(raw)
    if name == "weights":
        return weights(str(raw))
    if name == "trainable":
        return trainable(str(raw))
    if name == "label_rule" and "@train" in str(raw):
        return f"{raw} (in train only: a fault, for teaching)"
    return _EMPTY[name] if name in _EMPTY and raw in (None, ()) else value(raw)
