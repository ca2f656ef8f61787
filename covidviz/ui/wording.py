"""Settings in words: options and values of the form that are no catalog rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from covidviz.catalog import AUGMENTATIONS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, TASKS
from covidviz.jobs.devices import slots

__all__ = ["DEFAULT_LOSS", "devices", "metric", "monitors", "setting", "trainable", "value", "weights"]

_TABLES: dict[str, Mapping[str, Any]] = {
    "model": MODELS, "task": TASKS, "loss": LOSSES, "augment": AUGMENTATIONS, "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}  # fmt: skip
DEFAULT_LOSS = {"single-label": "cross_entropy", "multi-label": "bce"}
_EMPTY = {
    "head": "no hidden layer", "classes": "all", "critical_class": "covid19 where there is one", "label_rule": "none",
    "backbone_lr": "the same", "tags": "none", "lr_steps": "none",
}  # fmt: skip


def weights(name: str) -> str:
    """`imagenet` to `ImageNet`; a file by its name."""
    return {"imagenet": "ImageNet", "none": "From scratch"}.get(name) or Path(name).name


def trainable(text: str) -> str:
    """What learns, short: `head`, `all`, `from layer3`, `layer2, layer4`."""
    return text.replace("from:", "from ").replace(",", ", ")


def monitors(task: str, classes: Sequence[str]) -> list[str]:
    """The validation metrics whose best epoch can be kept."""
    common = ["accuracy"] if task == "single-label" else ["label_accuracy", "exact_match"]
    per_class = [f"{metric}_{name}" for name in classes for metric in ("recall", "precision", "f1")]
    return [f"val_{metric}" for metric in ("macro_f1", "micro_f1", *common, "loss", *per_class)]


@lru_cache(maxsize=1)
def devices() -> list[str]:
    """`auto`, then what this machine has, as the field takes it."""
    return ["auto", *(slot.name for slot in slots())]


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
    return _EMPTY[name] if name in _EMPTY and raw in (None, ()) else value(raw)


def metric(monitor: str) -> str:
    """`val_macro_f1` to `macro F1`, `val_recall_covid19` to `recall covid19`."""
    return monitor.removeprefix("val_").replace("_f1", " F1").replace("f1_", "F1 ").replace("_", " ")
