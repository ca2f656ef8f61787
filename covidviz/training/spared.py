"""What the cache of frozen features spares a run."""

from __future__ import annotations

from typing import Any

from covidviz.config import TrainConfig
from covidviz.training.features import Features

__all__ = ["Spared"]


class Spared:
    """What was kept of the frozen part of the network, and the time it spares: for status.json and the log."""

    def __init__(self, config: TrainConfig, before: str) -> None:
        """
        Args:
            before: name of the first step that learns.
        """
        self.config, self.before = config, before
        self.splits: dict[str, dict[str, Any]] = {}

    def add(self, split: str, found: Features, *, new: bool) -> None:
        """The features of a split are used, computed now (`new`) or found in the cache."""
        self.splits[split] = {
            "images": len(found),
            "variants": found.variants,
            "bytes": found.bytes,
            "computed": new,
            "seconds": found.seconds,
            "key": found.key,
        }

    def saved(self, epochs: int) -> float | None:
        """Seconds that running the frozen part in each of so many epochs would have taken more; None where unknown."""
        saved = 0.0
        for name, kept in self.splits.items():
            if kept["seconds"] is None:
                return None
            once = kept["seconds"] / kept["variants"]
            passes = {"train": epochs * (1 + self.config.train_eval), "val": epochs, "test": 0}[name] + 1
            saved += passes * once - (kept["seconds"] if kept["computed"] else 0.0)
        return max(0.0, saved)

    def document(self, epochs: int | None = None) -> dict[str, Any] | None:
        """For status.json, after so many epochs (default: the planned ones); None where nothing is kept."""
        if not self.splits:
            return None
        saved = self.saved(self.config.epochs if epochs is None else epochs)
        size = sum(kept["bytes"] for kept in self.splits.values())
        saved_s = None if saved is None else round(saved, 1)
        return {"before": self.before, "bytes": size, "saved_s": saved_s, "splits": self.splits}

    def sentence(self) -> str:
        """For the log."""
        what = ", ".join(f"{name} {'computed' if kept['computed'] else 'found'}" for name, kept in self.splits.items())
        size, saved = sum(kept["bytes"] for kept in self.splits.values()), self.saved(self.config.epochs)
        spares = f", saves about {saved:.1f} s in {self.config.epochs} epochs" if saved else ""
        return f"frozen part before {self.before}: {what} ({size / 1e6:,.1f} MB in the cache{spares})"
