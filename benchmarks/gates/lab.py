"""A head on features in memory: the lab's steps against the plain autograd loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.gates.row import Row, Settings, clock, in_turn, ratio
from covidviz.config import TrainConfig
from covidviz.training import lab as live
from covidviz.training.models import make_head

CLASSES = ("covid19", "normal", "pneumonia")


def features(n: int, width: int = 512) -> live.LabData:
    """Random features of n training and n / 4 validation images, as the lab holds them."""
    values = {"data": "none", "classes": CLASSES, "weights": "none", "model": "resnet18"}
    config = TrainConfig.parse(values).resolve(CLASSES)
    generator = torch.Generator().manual_seed(0)
    splits = {}
    for name, rows in (("train", n), ("val", n // 4)):
        labels = np.eye(3, dtype=np.int8)[torch.randint(0, 3, (rows,), generator=generator).numpy()]
        x = (
            torch.rand(rows, width, generator=generator)
            + 0.2 * torch.from_numpy(labels).float().repeat(1, width)[:, :width]
        )
        names = [f"{name}{row}" for row in range(rows)]
        splits[name] = live.LabSplit(names, names, labels, x)
    return live.LabData(config, splits)


def plain(data: live.LabData, config: TrainConfig) -> float:
    """The loop that a tutorial shows, from the same head; returns the last validation accuracy."""
    part, val = data.splits["train"], data.splits["val"]
    x, y = part.features, torch.from_numpy(part.labels).argmax(1)
    head: nn.Module = make_head(config, x.shape[1], 3)
    optimizer = torch.optim.SGD(head.parameters(), lr=config.lr, momentum=config.momentum)
    accuracy = 0.0
    for _ in range(config.epochs):
        head.train()
        for rows in torch.randperm(len(x)).split(config.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(head(x[rows]), y[rows]).backward()
            optimizer.step()
        head.eval()
        with torch.no_grad():
            accuracy = float((head(val.features).argmax(1).numpy() == val.labels.argmax(1)).mean())
    return accuracy


def fused_head(settings: Settings) -> Iterator[Row]:
    """Ten epochs of batch 32 on ResNet-18 features of 6,200 images, with one thread as in the compute worker."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = features(6200)

        def ours() -> float:
            start = clock()
            for _ in live.train(data, data.config):
                pass
            return clock() - start

        def peer() -> float:
            start = clock()
            plain(data, data.config)
            return clock() - start

        ours()
        pairs = in_turn([ours, peer], settings.pairs(2))
    finally:
        torch.set_num_threads(threads)
    yield ratio(
        "lab: 10 epochs of the head, 6,200 images / autograd loop", pairs, note="every metric of each epoch too"
    )
