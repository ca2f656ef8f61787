"""Whose probabilities the playground looks at: a finished run's, or a built-in example's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from covidviz.store.reader import Run
from covidviz.ui import thresholds_data
from covidviz.ui.results import Results

__all__ = ["BUILT_IN", "Source", "built_in", "of_run"]

BUILT_IN = {
    "example": "Made-up example, half trained",
    "untrained": "Made-up example, untrained: .5 for every image",
}
CLASSES = ("covid19", "normal", "pneumonia")
TRAINED_ON = (200, 4000, 2000)  # images of each class: those of the course
DRAWN = (40, 400, 200)  # of the histogram
# Logits of a network that has begun to learn: (mean, spread) for those that have the label and for the others.
SAID = (((-0.4, 1.5), (-3.2, 1.2)), ((1.6, 1.6), (-1.4, 1.6)), ((0.9, 1.6), (-1.8, 1.4)))


@dataclass(frozen=True)
class Source:
    """What the component needs: `classes`, images that have and have not each label (`counts`, of the training), and
    the address of the probabilities (`url`) or these themselves (`made_up`). `note`: what they are, for people."""

    id: str
    classes: tuple[str, ...]
    critical: str | None
    counts: tuple[tuple[int, int], ...]
    note: str
    url: str | None = None
    made_up: dict[str, Any] | None = None


@lru_cache(maxsize=2)
def built_in(name: str) -> Source:
    """One of `BUILT_IN`. The same numbers each time."""
    truth = np.repeat(np.eye(len(CLASSES), dtype=int), DRAWN, axis=0)
    if name == "untrained":
        prob = np.full(truth.shape, 0.5)
    else:
        rng = np.random.default_rng(0)
        mean, spread = (
            np.where(truth == 1, [pair[0][i] for pair in SAID], [pair[1][i] for pair in SAID]) for i in (0, 1)
        )
        prob = 1 / (1 + np.exp(-rng.normal(mean, spread)))
    total = sum(TRAINED_ON)
    numbers = {
        "n": len(truth),
        "c": len(CLASSES),
        "prob": prob.round(4).ravel().tolist(),
        "truth": truth.ravel().tolist(),
    }
    note = f"These probabilities are made up; the numbers of images are those of the course ({total:,} in training)."
    return Source(name, CLASSES, CLASSES[0], tuple((n, total - n) for n in TRAINED_ON), note, made_up=numbers)


def of_run(run: Run, found: Results, split: str) -> Source:
    """A run's probabilities on one split; the numbers of images are those it was trained on."""
    samples = run.samples()
    train = samples[samples["split"] == "train"]
    counts = []
    for name in found.classes:
        yes = int(train[f"label_{name}"].sum()) if f"label_{name}" in train else 0
        counts.append((yes, len(train) - yes))
    asked = (
        "Each class is taken as a yes-or-no question here, although the run gives one class per image."
        if found.task == "single-label"
        else ""
    )
    of = thresholds_data.scores(run, split)
    note = f"{len(of.ids):,} images; the numbers of images at the left are those of the training. {asked}".strip()
    url = f"/scores/{run.id}/{split}?v={thresholds_data.key(run, split)}"
    return Source(f"{run.id} {split}", found.classes, found.critical, tuple(counts), note, url=url)
