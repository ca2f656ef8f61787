"""How far a run is, and how long it still takes."""

from __future__ import annotations

import time

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig

__all__ = ["Work"]


class Work:
    """How much of the run is done, counted in images that pass through the network."""

    BACKWARD = 2.0  # a backward pass costs about two forward passes
    EXPLAIN = 1.2

    def __init__(self, config: TrainConfig, n: dict[str, int]) -> None:
        """
        Args:
            n: images per split.
        """
        layers = MODELS[config.model].layer_names
        learning = {name for named in config.trainable_layers for name in layers if f"{named}.".startswith(f"{name}.")}
        self.train = n["train"] * (1 + self.BACKWARD * len(learning) / len(layers))
        self.epoch = self.train + n["val"] + (n["train"] if config.train_eval else 0)
        self.total = config.epochs * self.epoch + sum(n.values()) + self.EXPLAIN * (n["val"] + n["test"])
        self.before = self.current = 0.0
        self.first: tuple[float, float] | None = None

    def skip_epochs(self, epochs: int) -> None:
        """Count this many epochs as done."""
        self.before, self.current = epochs * self.epoch, 0.0

    def enter(self, amount: float) -> None:
        """Something of this amount begins, and what ran before is done."""
        self.before += self.current
        self.current = amount

    def at(self, share: float) -> tuple[float, float | None]:
        """(progress of the run 0..1, seconds to go or None) when this share of what runs is done."""
        now, progress = time.monotonic(), min(1.0, (self.before + share * self.current) / self.total)
        if self.first is None:
            self.first = (now, progress)
        gained = progress - self.first[1]
        return progress, (now - self.first[0]) * (1 - progress) / gained if gained > 0 else None
