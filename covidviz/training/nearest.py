"""How near a new image is to the training images of a run, as its best network sees them.

An image is the network's output before the head, averaged over the places of the last feature map (one number per
channel). Two images are as far apart as the cosine distance of these vectors: 0 the same direction, 1 nothing in
common, at most 2. How far an image is from training is the mean distance to its `NEAREST` nearest training images; what
is usual is told by the same number for the validation images (k nearest neighbours as a detector of what is out of
distribution: Sun et al. 2022, https://arxiv.org/abs/2204.06507).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from covidviz.errors import StoreError
from covidviz.store.reader import Run
from covidviz.training import devices
from covidviz.training.batches import slices, to_input
from covidviz.training.dataset import Split, load_dataset
from covidviz.training.features import CACHEABLE, Cut, features
from covidviz.training.image_cache import content_key
from covidviz.training.inference import Predictor

__all__ = ["NEAREST", "Answer", "Neighbour", "Neighbours", "channels_of", "pooled"]

NEAREST = 5
MOST_REFERENCE = 2000  # validation images that say what is usual; more would say it no better
AT_ONCE = 256  # images compared with all training images at a time
CHUNK = 64 << 20  # bytes of features that are averaged at a time

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Neighbour:
    """A training image: its sample id, its labels, and the cosine distance to it (0 to 2)."""

    sample_id: str
    labels: list[str]
    distance: float


@dataclass(frozen=True)
class Answer:
    """What is known of one image.

    nearest: training images, the nearest first.
    distance: mean of their distances.
    nearer: how many of the validation images are nearer to training than this one (strictly).
    beyond: `distance` as a multiple of that of the validation image farthest from training.
    twin: the distance to the nearest training image alone, as a multiple of the validation images' median `distance`.
    Both multiples are NaN where what they are a multiple of is 0.
    """

    nearest: list[Neighbour]
    distance: float
    nearer: int
    beyond: float
    twin: float


@dataclass(frozen=True)
class Neighbours:
    """The training images of a run.

    vectors: float32 [N, D], each of length 1; `sample_id` and `labels` of the N images.
    reference: float64 [M], sorted: the distance from training of the validation images.
    """

    vectors: Tensor
    sample_id: list[str]
    labels: list[list[str]]
    reference: NDArray[np.float64]

    @classmethod
    def of(cls, run_dir: Path, predictor: Predictor, tell: Tell) -> Neighbours:
        """From the cached features of the run where they are there; else computed now, and kept in the cache.

        Args:
            predictor: of the same run.
            tell: called with (what is done, images done, all); what it raises stops the work.

        Raises:
            StoreError: the run's list of samples is gone.
            DataError: the dataset is gone, or one of its images.
        """
        config, device = predictor.config, predictor.device
        samples = Run(run_dir).samples()
        if samples.empty or not {f"label_{name}" for name in config.classes} <= set(samples.columns):
            raise StoreError(f"run {run_dir.name} has no readable list of its samples")
        with devices.numerics(device.device):
            data = load_dataset(
                config, device.device, samples=samples, on_progress=lambda done, n: tell("reading images", done, n)
            )
            train, val = (
                _vectors(predictor, data.splits[name], partial(tell, f"computing features, {name}"))
                for name in ("train", "val")
            )
        found = cls(
            train,
            data.splits["train"].sample_id,
            [
                [name for name, yes in zip(config.classes, row, strict=True) if yes]
                for row in data.splits["train"].labels
            ],
            np.empty(0),
        )
        chosen = val[np.linspace(0, len(val) - 1, min(len(val), MOST_REFERENCE)).astype(np.int64)]
        distances: list[NDArray[np.float64]] = []
        for part in slices(len(chosen), AT_ONCE):
            tell("comparing", part.start, len(chosen))
            distances.append(found.closest(chosen[part])[0].mean(axis=1))
        return cls(found.vectors, found.sample_id, found.labels, np.sort(np.concatenate(distances)))

    def closest(self, unit: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosine distances and rows of the nearest training images, each [Q, k], for vectors of length 1, [Q, D]."""
        similar, rows = (unit @ self.vectors.T).topk(min(NEAREST, len(self.vectors)), dim=1)
        return (1 - similar.double()).clamp_(0, 2).numpy(), rows.numpy()

    def ask(self, vectors: Tensor) -> list[Answer]:
        """For each of the vectors of `pooled`, [Q, D], of any length.

        Raises:
            ValueError: they have another D.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.vectors.shape[1]:
            raise ValueError(f"vectors of shape {list(vectors.shape)} given, accepted: [Q, {self.vectors.shape[1]}]")
        answers, usual, farthest = [], float(np.median(self.reference)), float(self.reference[-1])
        for part in slices(len(vectors), AT_ONCE):
            for distances, rows in zip(*self.closest(_unit(vectors[part])), strict=True):
                near = [
                    Neighbour(self.sample_id[row], self.labels[row], float(distance))
                    for distance, row in zip(distances, rows, strict=True)
                ]
                mean = float(distances.mean())
                nearer = int(np.searchsorted(self.reference, mean, side="left"))
                answers.append(Answer(near, mean, nearer, _times(mean, farthest), _times(near[0].distance, usual)))
        return answers

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors."""
        return self.vectors.nbytes


def _times(value: float, unit: float) -> float:
    return value / unit if unit > 0 else float("nan")


def channels_of(parts: Cut, image_size: int, device: torch.device) -> int:
    """How many channels the last feature map has before the head."""
    x, channels = to_input(np.zeros((1, image_size, image_size), np.uint8), device), 0
    with torch.inference_mode():
        for _, step in parts.front:
            x = step(x)
            channels = x.shape[1] if x.ndim == 4 else channels
    return channels


def pooled(values: Tensor, channels: int) -> Tensor:
    """One number per channel, float32 [n, channels].

    Args:
        values: output before the head, [n, channels, h, w], or flattened [n, channels * h * w].
    """
    return values.float().reshape(len(values), channels, -1).mean(2)


def _unit(vectors: Tensor) -> Tensor:
    """Of length 1; a vector of zeros stays one, and is at distance 1 from all."""
    return torch.nn.functional.normalize(vectors.float(), dim=1)


def _vectors(predictor: Predictor, split: Split, tell: Callable[[int, int], None]) -> Tensor:
    """All images of a split, float32 [N, D] of length 1 on the CPU."""
    config, device, parts = predictor.config, predictor.device, predictor.parts
    channels = channels_of(parts, config.image_size, device.device)
    # A run that trains the head alone has left exactly these in the cache, mirrored ones too where it mirrors.
    own = config.trainable == "head" and split.name == "train" and config.augment in CACHEABLE
    content = content_key(split.images.root, split.images.paths, config.image_size)
    out = torch.empty(len(split), channels)
    try:
        found, _ = features(parts, split.images, content, device, config.augment if own else "none", predictor.batch,
                            tell, fast=config.cache != "exact")  # fmt: skip
    except StoreError:  # no room for them; what is kept here is smaller
        rows = [np.arange(part.start, part.stop) for part in slices(len(split), predictor.batch)]
        for row, grey in zip(rows, split.images.batches(rows), strict=True):
            with torch.inference_mode(), device.autocast():
                out[row] = pooled(parts.before(to_input(grey, device.device)), channels).cpu()
            tell(int(row[-1]) + 1, len(split))
        return _unit(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the map is read-only, and nothing writes into it
        stored = found.everything(copy=False)
    for part in slices(len(split), found.rows_of(CHUNK)):
        values = stored[part]
        out[part] = pooled(values.permute(0, 3, 1, 2) if values.ndim == 4 else values, channels)
    return _unit(out)
