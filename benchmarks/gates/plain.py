"""The plain torchvision script: ImageFolder, DataLoader, the usual transforms, `model.train()`, everything run through
the whole network in each epoch. Only its head is that of covidviz, so that both train the same."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from benchmarks.gates.row import clock_name, seconds, use

LAST_BLOCK = {"resnet18": "layer4", "vgg16": "features.28"}


def transform(size: int) -> transforms.Compose:
    """As the tutorials have it: the shorter side to 256 / 224 of the size, its centre cut out."""
    return transforms.Compose(
        [
            transforms.Resize(size * 256 // 224),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )


def network(name: str, case: str, classes: int = 3, width: int = 256) -> nn.Module:
    """A torchvision network from scratch with a new head; `case` (head, block, all) says what learns."""
    model = models.get_model(name)
    old = model.fc if name.startswith("resnet") else model.classifier[0]
    head = nn.Sequential(nn.Linear(old.in_features, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, classes))
    model.requires_grad_(case == "all")
    setattr(model, "fc" if name.startswith("resnet") else "classifier", head)
    if case == "block":
        model.get_submodule(LAST_BLOCK[name]).requires_grad_(True)
    return model


class Plain:
    """One network in training on the images of one folder."""

    def __init__(
        self,
        data: Path,
        name: str,
        case: str,
        *,
        size: int = 224,
        batch: int = 32,
        device: str = "cpu",
        workers: int = 0,
    ) -> None:
        """
        Args:
            workers: processes that decode; 0 decodes in the training process.
        """
        self.device = device
        self.model = network(name, case).to(device)
        learning = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learning, lr=1e-2, momentum=0.9)
        keep = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": device != "cpu"}
        sets = {split: ImageFolder(str(data / split), transform(size)) for split in ("train", "val")}
        self.train = DataLoader(sets["train"], batch, shuffle=True, **keep)  # type: ignore[arg-type]
        self.val = DataLoader(sets["val"], batch, **keep)  # type: ignore[arg-type]

    def epoch(self) -> float:
        """Train on every image once and validate; returns the validation accuracy."""
        self.model.train()
        for x, y in self.train:
            x, y = x.to(self.device), y.to(self.device)
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()
        self.model.eval()
        right = 0
        with torch.no_grad():
            for x, y in self.val:
                right += int((self.model(x.to(self.device)).argmax(1).cpu() == y).sum())
        return right / len(self.val.dataset)  # type: ignore[arg-type]


def apart(*args: Any, **kwargs: Any) -> Callable[[], float]:
    """`Plain` in a process of its own, which nothing reaches that covidviz sets for its trainings.

    The process is there until this one ends; each call replaces what it has.

    Returns:
        What takes one epoch and returns its seconds there.
    """
    _pool().apply(_begin, (clock_name(), args, kwargs))
    return lambda: _pool().apply(_epoch)


@cache
def _pool() -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    with patch.dict(os.environ, environment, clear=True):
        return multiprocessing.get_context("spawn").Pool(1)


_plain: list[Plain] = []


def _begin(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    use(name)
    _plain[:] = [Plain(*args, **kwargs)]


def _epoch() -> float:
    return seconds(_plain[0].epoch)
