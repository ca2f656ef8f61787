"""What a run's score would have been with a mistake in the evaluation: the compute worker's kind `what_if`.

For teaching. The network is loaded, misused and dropped; nothing is written, neither into the run nor elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from covidviz.data.images import check_readable, decode
from covidviz.errors import DataError, InputError
from covidviz.evaluation.metrics import classification_metrics, confusion
from covidviz.paths import dataset_root
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.training.batches import augment, slices, to_input
from covidviz.training.beside import beside
from covidviz.training.inference import Predictor
from covidviz.training.models import drawing
from covidviz.training.scoring import probabilities
from covidviz.training.shelf import all_cores, progress

__all__ = ["MISTAKES", "REPEATS", "WhatIf", "augmentation"]

Event = dict[str, Any]
Emit = Callable[[Event | None], None]

MISTAKES = ("train-mode", "augmented")
REPEATS = 5


@dataclass(frozen=True)
class _Ready:
    """A run's network and the images of one split that can be read: uint8 [N, S, S], labels 0/1 [N, C]."""

    predictor: Predictor
    images: NDArray[np.uint8]
    labels: NDArray[np.int8]


class WhatIf:
    """Answers one question after the other, computing in threads of its own; keeps what the last one needed."""

    def __init__(self) -> None:
        self._kept: tuple[object, _Ready] | None = None
        self._lock = threading.Lock()

    def events(self, message: Event) -> Generator[Event | None, None, None]:
        """`run_dir`, `split` and `mistake` (of `MISTAKES`): a `repeat` for each of `REPEATS` passes, then `done`.

        `repeat`: `number` (from 1), `of`, `metrics` and `confusion` as a run's. `done`: `how` in words what was done.

        Raises:
            InputError: no such mistake or split.
            StoreError, WeightsError: the run can't be used.
            DataError: its images are gone.
        """
        yield (yield from beside(lambda emit: self._work(message, emit)))

    def _work(self, message: Event, emit: Emit) -> Event:
        all_cores()
        mistake, split, run_dir = message.get("mistake"), message.get("split"), Path(message["run_dir"])
        if mistake not in MISTAKES:
            raise InputError(f"mistake: {mistake!r} given, accepted: {', '.join(MISTAKES)}")
        if split not in layout.SPLITS:
            raise InputError(f"split: {split!r} given, accepted: {', '.join(layout.SPLITS)}")
        tell = progress(emit)
        with self._lock:
            key = (str(run_dir), split, Run(run_dir).version(layout.BEST))
            if self._kept is None or self._kept[0] != key:
                self._kept = None  # before the next one is loaded: a network may take half a gigabyte
                self._kept = (key, _load(run_dir, split, tell))
            ready = self._kept[1]
            config = ready.predictor.config
            for number in range(1, REPEATS + 1):

                def passed(done: int, total: int, number: int = number) -> None:
                    tell(f"pass {number} of {REPEATS}", done, total)

                prob = misjudged(ready.predictor, ready.images, str(mistake), number, passed)
                emit({
                    "event": "repeat", "number": number, "of": REPEATS,
                    "metrics": classification_metrics(prob, ready.labels, config.classes, config.task),
                    "confusion": confusion(prob, ready.labels, config.classes, config.task),
                })  # fmt: skip
        if mistake == "augmented":
            return {"event": "done", "how": f"each image changed at random ({augmentation(config.augment)})"}
        words = f"dropout {config.dropout:g} live, BatchNorm by the statistics of batches of {config.batch_size}"
        return {"event": "done", "how": f"{words}, in a random order"}


def augmentation(of_run: str) -> str:
    """How the images of a validation would be augmented by mistake: as the training was, else as in the reports."""
    return of_run if of_run != "none" else "course"


def _load(run_dir: Path, split: str, tell: Callable[[str, int, int], None]) -> _Ready:
    tell("loading the network", 0, 0)
    predictor = Predictor.of(run_dir)
    config, samples = predictor.config, Run(run_dir).samples()
    rows = samples[samples["split"] == split]
    if rows.empty:
        raise DataError(f"run {run_dir.name} has no image in {split}")
    paths = rows["path"].astype(str).tolist()
    images, unreadable = decode(
        dataset_root(config.data), paths, config.image_size,
        on_progress=lambda done, n: tell("reading images", done, n),
    )  # fmt: skip
    check_readable(len(paths), [(paths[row], error) for row, error in unreadable])
    good = np.setdiff1d(np.arange(len(paths)), [row for row, _ in unreadable])
    labels = rows[[f"label_{name}" for name in config.classes]].to_numpy(np.int8)
    return _Ready(predictor, images[good], labels[good])


def misjudged(
    predictor: Predictor,
    images: NDArray[np.uint8],
    mistake: str,
    number: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Probabilities [N, C] of the images [N, S, S], in their order, judged with a mistake.

    `train-mode`: as where `model.eval()` was forgotten: dropout draws, each BatchNorm takes the statistics of its
    batch, and who shares a batch is chance. `augmented`: the images change as in training. Afterwards the network is
    as before.

    Args:
        number: of the pass; another one draws otherwise.
    """
    config, device = predictor.config, predictor.device
    train = mistake == "train-mode"
    order = np.random.default_rng([config.seed, number]).permutation(len(images)) if train else np.arange(len(images))
    batch = config.batch_size if train else predictor.batch
    prob = np.empty((len(images), len(config.classes)), np.float32)
    how = "none" if train else augmentation(config.augment)
    buffers = {name: value.clone() for name, value in predictor.model.named_buffers()}
    try:
        predictor.model.train(train)
        for i, part in enumerate(slices(len(images), batch)):
            rows = order[part]
            grey = augment(torch.from_numpy(images[rows]), how, seed=config.seed, epoch=number, number=i)
            with torch.no_grad(), device.autocast(), drawing(config.seed + 10_007 * number + i):
                logits = _logits(predictor.model, to_input(grey, device.device))
            prob[rows] = probabilities(logits, config.task).cpu().numpy()
            if on_progress is not None:
                on_progress(part.stop, len(images))
    finally:
        predictor.model.eval()
        for name, value in predictor.model.named_buffers():
            value.copy_(buffers[name])
    return prob


def _logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(x)
    return found
