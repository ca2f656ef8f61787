"""How far a training has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Position"]


@dataclass
class Position:
    """How far a training has come, besides weights, optimizer and random state.

    epoch: the one that runs or comes next, from 1; batch: how many of its batches are done.
    prob, loss: what the running epoch gave so far, [n, C] and [n], in the order of the epoch.
    seconds: the running epoch has taken so far.
    best_epoch, best: of the monitored metric; 0 and None before the first epoch ended.
    history: validation probabilities of each epoch, float16 [N, C].
    """

    prob: Tensor
    loss: Tensor
    epoch: int = 1
    batch: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best: float | None = None
    history: list[NDArray[np.float16]] = field(default_factory=list)

    def state(self, done: int) -> dict[str, Any]:
        """For a checkpoint; `history` as one tensor [E, N, C].

        Args:
            done: samples of the running epoch that have been trained on.
        """
        history = np.stack(self.history) if self.history else np.zeros((0,), np.float16)
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "best": self.best,
            "history": torch.from_numpy(history),
            # cloned, or all of the epoch's memory would be written
            "prob": self.prob[:done].clone(),
            "loss": self.loss[:done].clone(),
        }

    def take(self, state: Mapping[str, Any]) -> None:
        """Go to where `state` was made."""
        self.epoch, self.batch, self.seconds = state["epoch"], state["batch"], state["seconds"]
        self.best_epoch, self.best = state["best_epoch"], state["best"]
        self.history = list(state["history"].numpy())
        self.prob[: len(state["prob"])] = state["prob"].to(self.prob.device)
        self.loss[: len(state["loss"])] = state["loss"].to(self.loss.device)
