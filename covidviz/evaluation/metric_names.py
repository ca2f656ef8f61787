"""Metrics as people call them."""

from __future__ import annotations

__all__ = ["OVERALL", "PER_CLASS", "metric_name"]

OVERALL = {
    "loss": "loss",
    "accuracy": "accuracy",
    "label_accuracy": "label accuracy",
    "exact_match": "exact match",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
}
PER_CLASS = {"recall": "recall", "precision": "precision", "f1": "F1"}


def metric_name(key: str) -> str:
    """`macro_f1` to `macro F1`, `recall_covid19` to `recall of covid19`, `val_loss` to `validation loss`."""
    if key.startswith("val_"):
        return f"validation {metric_name(key.removeprefix('val_'))}"
    if key in OVERALL:
        return OVERALL[key]
    kind, _, name = key.partition("_")
    return f"{PER_CLASS[kind]} of {name}" if kind in PER_CLASS else key
