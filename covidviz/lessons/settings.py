"""Settings that the runs of the lessons share: seconds on two CPU cores, without a download."""

from __future__ import annotations

from typing import Any

from covidviz.lessons.shape import Trial

__all__ = ["FROZEN", "SHORT"]

# From scratch, so that it runs the same everywhere; a bare head on 64 pixels learns in a second once the features of
# the frozen layers are there, which the runs of several lessons share.
SHORT: dict[str, Any] = {
    "model": "resnet18", "weights": "none", "image_size": 64, "head": (), "dropout": 0.0, "trainable": "head",
    "optimizer": "sgd", "lr": 0.1, "schedule": "cosine", "epochs": 30, "batch_size": 32, "seed": 0,
}  # fmt: skip
FROZEN = Trial("frozen", "Frozen, only the head learns", "plain", SHORT)
