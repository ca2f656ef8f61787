"""Settings in words: options and values of the form that are no catalog rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from covidviz.jobs.devices import slots
from covidviz.setting_names import DEFAULT_LOSS, setting, trainable, value, weights

__all__ = ["DEFAULT_LOSS", "devices", "metric", "monitors", "setting", "trainable", "value", "weights"]


def monitors(task: str, classes: Sequence[str]) -> list[str]:
    """The validation metrics whose best epoch can be kept."""
    common = ["accuracy"] if task == "single-label" else ["label_accuracy", "exact_match"]
    per_class = [f"{metric}_{name}" for name in classes for metric in ("recall", "precision", "f1")]
    return [f"val_{metric}" for metric in ("macro_f1", "micro_f1", *common, "loss", *per_class)]


@lru_cache(maxsize=1)
def devices() -> list[str]:
    """`auto`, then what this machine has, as the field takes it."""
    return ["auto", *(slot.name for slot in slots())]


def metric(monitor: str) -> str:
    """`val_macro_f1` to `macro F1`, `val_recall_covid19` to `recall covid19`."""
    return monitor.removeprefix("val_").replace("_f1", " F1").replace("f1_", "F1 ").replace("_", " ")
