"""What every threshold would decide: the four counts of each label, without going through the images once for each.

A label is decided where its probability is at least the threshold, compared as exact numbers: a stored float32 is not
rounded, nor is the threshold. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Choices", "Counts", "cheapest", "choices", "counts_at", "counts_at_scores"]

BUCKETS = 16384  # fewer put more images beside a threshold; more do not fit the processor's fast memory


@dataclass(frozen=True)
class Counts:
    """`tp`, `fp`, `fn`, `tn` (int64) at each of `thresholds` [T], in its order: [T, C], or [T] for one label."""

    thresholds: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]


def counts_at(prob: ArrayLike, labels: ArrayLike, thresholds: ArrayLike) -> Counts:
    """The counts at given thresholds, such as the positions of a slider.

    An image is put into one of `BUCKETS` equal parts of 0..1 and counted there. A float times a constant, cut to a
    whole number, never decreases, so only images in the same part as a threshold have to be compared with it.

    Args:
        prob: in 0..1, [N, C] or [N].
        labels: 0/1, of the same shape.
        thresholds: any numbers in any order, [T].

    Raises:
        ValueError: `prob` outside 0..1 or not a number, or the shapes differ.
    """
    p, truth = _checked(prob, labels)
    given = np.asarray(thresholds, dtype=np.float64).reshape(-1)
    order = np.argsort(given, kind="stable")
    grid = _rounded_up(given[order], p.dtype)
    tp, predicted = np.empty((2, len(given), *p.shape[1:]), dtype=np.int64)
    for label in np.ndindex(p.shape[1:]):
        at = (slice(None), *label)
        tp[(order, *label)], predicted[(order, *label)] = _above(p[at], truth[at], grid)
    return _counts(given, tp, predicted, truth)


def counts_at_scores(prob: ArrayLike, labels: ArrayLike) -> Counts:
    """The counts at every distinct probability of one label, highest first: all that a threshold can lead to, but for
    deciding nothing. The points of a ROC or precision-recall curve.

    Args:
        prob: in 0..1, [N].
        labels: 0/1, [N].

    Raises:
        ValueError: as `counts_at`.
    """
    p, truth = _checked(prob, labels)
    if p.ndim != 1:
        raise ValueError(f"prob of shape {p.shape} given, accepted: [N], one label")
    order = np.argsort(p, kind="stable")[::-1]
    p, sorted_truth = p[order], truth[order]
    last = np.flatnonzero(np.append(p[1:] != p[:-1], True)) if len(p) else np.empty(0, np.int64)
    tp = np.cumsum(sorted_truth, dtype=np.int64)[last]
    return _counts(p[last].astype(np.float64), tp, last + 1, truth)


def _checked(prob: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    p, truth = np.asarray(prob), np.asarray(labels)
    if p.dtype not in (np.float32, np.float64):
        p = p.astype(np.float32 if p.dtype == np.float16 else np.float64)
    if p.shape != truth.shape or p.ndim not in (1, 2):
        raise ValueError(f"prob of shape {p.shape} and labels of shape {truth.shape} given, accepted: [N, C] or [N]")
    if p.size and not (p.min() >= 0 and p.max() <= 1):  # not a number is neither
        raise ValueError(f"prob from {p.min()} to {p.max()} given, accepted: 0 to 1")
    return p, truth != 0


def _rounded_up(thresholds: NDArray[np.float64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """The smallest number of `dtype` that is not below each: p >= t holds for the same p of that type.

    Rounding to the nearest instead would count p = float32(.7) = .69999999 as at least .7.
    """
    near = thresholds.astype(dtype)
    return np.where(near < thresholds, np.nextafter(near, dtype.type(np.inf)), near)


def _above(
    p: NDArray[np.floating], truth: NDArray[np.bool_], grid: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At each of the sorted `grid` [T]: how many images of a label and how many images have p >= it."""
    n, parts = len(grid), _part(np.clip(grid, 0, 1))
    touched = np.zeros(BUCKETS + 1, dtype=bool)
    touched[parts] = True
    key = _part(p)
    key <<= 1
    key += truth
    both = np.bincount(key, minlength=2 * (BUCKETS + 1)).reshape(-1, 2)
    both[touched] = 0
    reached = np.zeros((n + 1, 2), dtype=np.int64)  # images by how many thresholds they reach, and by truth
    np.add.at(reached, np.searchsorted(parts, np.arange(BUCKETS + 1), side="right"), both)
    beside = np.flatnonzero(touched.repeat(2)[key])
    rank = np.searchsorted(grid, p[beside], side="right")
    reached += np.bincount(rank * 2 + truth[beside], minlength=2 * (n + 1)).reshape(-1, 2)
    at_least = reached[::-1].cumsum(axis=0)[::-1][1:]
    return at_least[:, 1], at_least.sum(axis=1)


def _part(p: NDArray[np.floating]) -> NDArray[np.int64]:
    return (p * p.dtype.type(BUCKETS)).astype(np.int64)


def _counts(
    thresholds: NDArray[np.float64], tp: NDArray[np.int64], predicted: NDArray[np.int64], truth: NDArray[np.bool_]
) -> Counts:
    positives = truth.sum(axis=0, dtype=np.int64)
    fp, fn = predicted - tp, positives - tp
    return Counts(thresholds, tp, fp, fn, len(truth) - tp - fp - fn)


@dataclass(frozen=True)
class Choices:
    """The thresholds that some cost makes the best, highest first: [K] each, and what they lead to.

    Any other threshold costs more than one of these, whatever a miss costs compared with a false alarm.
    """

    thresholds: NDArray[np.float64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]


def choices(prob: ArrayLike, labels: ArrayLike) -> Choices:
    """What a cost of misses and false alarms can choose among: the corners of the lower convex hull of (fp, fn).

    These are the corners of the ROC's convex hull (Provost and Fawcett, Machine Learning 42 (2001) 203). Each threshold
    is a short number between the two probabilities that it parts. One above all probabilities is 1, which is left out
    where a probability is 1 itself: it would not decide nothing.

    Args:
        prob: in 0..1, [N], N >= 1; labels: 0/1, [N].

    Raises:
        ValueError: as `counts_at`, or no images.
    """
    found = counts_at_scores(prob, labels)
    if not len(found.tp):
        raise ValueError("no images given, accepted: at least one")
    scores, fp, fn = found.thresholds.tolist(), found.fp.tolist(), found.fn.tolist()
    below = [*scores[1:], -np.inf]
    if scores[0] < 1:
        below, scores = [scores[0], *below], [2.0, *scores]
        fp, fn = [0, *fp], [fn[0] + int(found.tp[0]), *fn]
    kept: list[int] = []
    for i in range(len(scores)):
        if kept and fn[i] == fn[kept[-1]]:
            continue  # more false alarms at best, and no miss less
        if kept and fp[i] == fp[kept[-1]]:
            kept.pop()
        while len(kept) > 1 and _needless(fp, fn, kept[-2], kept[-1], i):
            kept.pop()
        kept.append(i)
    values = [_short(below[i], scores[i]) for i in kept]
    return Choices(np.array(values), np.array([fp[i] for i in kept]), np.array([fn[i] for i in kept]))


def cheapest(among: Choices, ratio: float) -> int:
    """Which of `choices` costs least (the highest threshold of equals) if a miss costs `ratio` times a false alarm.

    Raises:
        ValueError: `ratio` is not above 0.
    """
    if not ratio > 0:
        raise ValueError(f"ratio: {ratio} given, accepted: above 0")
    return int(np.argmin(ratio * among.fn + among.fp))


def _needless(fp: list[int], fn: list[int], a: int, b: int, c: int) -> bool:
    """Whether b lies on or above the straight line from a to c, so that no cost makes it the only best."""
    return (fp[b] - fp[a]) * (fn[a] - fn[c]) >= (fn[a] - fn[b]) * (fp[c] - fp[a])


def _short(low: float, high: float) -> float:
    """The shortest decimal number near the middle of (low, high], in 0..1."""
    if low < 0:
        return 0.0
    if high > 1:
        return 1.0
    for digits in range(1, 17):
        middle = round(float(low + high) / 2, digits)
        if low < middle <= high:
            return middle
    return float(high)
