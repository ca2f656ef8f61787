"""How far metrics could lie elsewhere by chance: bootstrap intervals (Efron 1979) in milliseconds.

Drawing N images with replacement only decides how often each kind of image comes, and a kind is a cell of the confusion
matrix, or with several labels a combination of true and decided labels. So one multinomial draw over the kinds stands
for N draws of images, with the same distribution. Where images belong to patients, patients are drawn, and a kind is
the sum over a patient's images. numpy only.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.evaluation.metrics import predicted

__all__ = ["Interval", "bootstrap", "from_counts", "intervals", "numbered"]


@dataclass(frozen=True)
class Interval:
    """A metric's `value`, and the `low` and `high` end of its interval."""

    value: float
    low: float
    high: float


def intervals(
    prob: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    task: str,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals of the metrics of `covidviz.evaluation.metrics.classification_metrics`, but for the loss.

    Args:
        prob: [N, C] in 0..1, N >= 1.
        labels: 0/1, [N, C].
        classes: C names.
        task: `single-label` or `multi-label`.
        clusters: what each image belongs to, such as its patient, [N]; these are drawn instead of images. None, an
            empty text or not-a-number: unknown, so the image stands for itself.
        level: share of the resamples between the ends, in (0, 1).
        resamples: how many.
        seed: the same gives the same ends.

    Raises:
        ValueError: no images, or `level` not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: {level} given, accepted: between 0 and 1")
    drawn = bootstrap(prob, labels, classes, task, clusters=clusters, resamples=resamples, seed=seed)
    tail = (1 - level) / 2
    table = np.stack(list(drawn.values()))
    low, high = np.quantile(table[:, 1:], [tail, 1 - tail], axis=1)
    return {name: Interval(*map(float, ends)) for name, *ends in zip(drawn, table[:, 0], low, high, strict=True)}


def bootstrap(
    prob: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    task: str,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Each metric as observed, followed by its value in each resample: float64 [1 + resamples].

    Two models on the same images and seed are not drawn in pairs: their kinds of images differ.

    Args, Raises: as `intervals`.
    """
    truth = np.asarray(labels).astype(bool)
    guess = predicted(prob, task).astype(bool)
    n = len(truth)
    if not n:
        raise ValueError("no images given, accepted: at least one")
    kinds, kind_of = _kinds(truth, guess)
    if clusters is None:
        units, times = kinds, np.bincount(kind_of)
    else:
        unit_of = numbered(clusters)
        per_unit = np.zeros((unit_of.max() + 1, len(kinds)), dtype=np.int64)
        np.add.at(per_unit, (unit_of, kind_of), 1)
        per_unit, times = np.unique(per_unit, axis=0, return_counts=True)
        units = per_unit @ kinds
    total = int(times.sum())
    drawn = np.random.default_rng(seed).multinomial(total, times / total, size=resamples)
    # Products of whole numbers below 2 ** 53, which matrix routines for floats compute exactly.
    sums = np.concatenate([times[None], drawn]).astype(np.float64) @ units.astype(np.float64)
    return from_counts(sums, classes, task)


def from_counts(sums: NDArray[np.float64], classes: Sequence[str], task: str) -> dict[str, NDArray[np.float64]]:
    """The metrics of `covidviz.evaluation.metrics.classification_metrics`, but for the loss, from counts.

    Args:
        sums: [D, 3 C + 2], a row per draw: true positives, true and decided images of each class; images with all
            labels right; images.

    Returns:
        Per metric float64 [D].
    """
    c = len(classes)
    tp, true, guessed = (sums[:, k * c : (k + 1) * c] for k in range(3))
    right, images = sums[:, -2], sums[:, -1]
    f1 = _ratio(2 * tp, true + guessed)
    if task == "single-label":
        values = {"accuracy": right / images}
    else:
        wrong = (true + guessed - 2 * tp).sum(axis=1)
        values = {"label_accuracy": 1 - wrong / (c * images), "exact_match": right / images}
    values["macro_f1"] = f1.mean(axis=1)
    values["micro_f1"] = _ratio(2 * tp.sum(axis=1), (true + guessed).sum(axis=1))
    for name, per_class in (("f1", f1), ("recall", _ratio(tp, true)), ("precision", _ratio(tp, guessed))):
        values |= {f"{name}_{label}": per_class[:, i] for i, label in enumerate(classes)}
    return values


def _kinds(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The distinct images by true and decided labels, and which of them each image is, [N].

    What metrics are made of, [K, 3 C + 2]: per class true positive, true, decided; all labels right; 1 image.
    """
    packed = np.packbits(np.concatenate([truth, guess], axis=1), axis=1)
    wide = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    wide[:, : packed.shape[1]] = packed
    codes = wide.view(np.uint64)
    if codes.shape[1] == 1:
        _, first, kind_of = np.unique(codes[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, kind_of = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    t, g = truth[first], guess[first]
    right = (t == g).all(axis=1, keepdims=True)
    return np.concatenate([t & g, t, g, right, np.ones_like(right)], axis=1).astype(np.int64), kind_of.reshape(-1)


def numbered(clusters: Sequence[Hashable]) -> NDArray[np.int64]:
    """0, 1, ... for the distinct values; each unknown one gets a number of its own."""
    numbers: dict[Hashable, int] = {}
    out = np.empty(len(clusters), dtype=np.int64)
    for row, value in enumerate(clusters):
        unknown = value is None or value == "" or value != value  # only not-a-number differs from itself
        out[row] = numbers.setdefault((row, "unknown") if unknown else value, len(numbers))
    return out


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
