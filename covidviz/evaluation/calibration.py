"""Whether probabilities mean what they say: reliability, calibration error, Brier score, temperature. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.evaluation.intervals import wilson

__all__ = [
    "BINS", "Reliability", "Temperature", "brier", "calibration_error", "fit_temperature", "log_loss", "reliability",
    "top_label", "with_temperature",
]  # fmt: skip

BINS = 15  # as Guo et al. (2017)
COLDEST, HOTTEST = 0.05, 20.0  # temperatures looked at
SMALLEST = float(np.finfo(np.float32).eps)  # probabilities are stored as float32; scikit-learn cuts there too
SINGLE = "single-label"


@dataclass(frozen=True)
class Reliability:
    """Images by what was promised, in bins of equal width over 0..1: [B] each, not-a-number where a bin is empty.

    n: images; confidence: their mean probability; observed: the share for which it came true, with the `low` and `high`
    end of its Wilson interval.
    """

    n: NDArray[np.int64]
    confidence: NDArray[np.float64]
    observed: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def reliability(prob: ArrayLike, hits: ArrayLike, bins: int = BINS) -> Reliability:
    """The points of a reliability diagram; a probability on the border of two bins belongs to the lower one.

    Args:
        prob: in 0..1, [N]: of one label, or the confidence of `top_label`.
        hits: 0/1, [N]: whether the label is true, or the decision right.
        bins: how many.

    Raises:
        ValueError: `prob` outside 0..1 or not a number, the shapes differ, or less than one bin.
    """
    p, hit = np.asarray(prob, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    if bins < 1:
        raise ValueError(f"bins: {bins} given, accepted: at least 1")
    if p.ndim != 1 or p.shape != hit.shape:
        raise ValueError(f"prob of shape {p.shape} and hits of shape {hit.shape} given, accepted: [N]")
    _check(p)
    # With scikit-learn's edges: a product such as .2 * 15 would not fall on the border that it means.
    part = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)
    n = np.bincount(part, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(part, weights=p, minlength=bins) / n
        came_true = np.bincount(part, weights=hit, minlength=bins)
        observed = came_true / n
    low, high = wilson(came_true, n)
    empty = n == 0
    return Reliability(n, confidence, observed, np.where(empty, np.nan, low), np.where(empty, np.nan, high))


def calibration_error(prob: ArrayLike, hits: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error in 0..1, the mean gap of a reliability diagram weighted by its counts: Naeini et al.,
    AAAI 2015; Guo et al., ICML 2017.

    Args, Raises: as `reliability`; not-a-number without images.
    """
    found = reliability(prob, hits, bins)
    total = found.n.sum()
    if not total:
        return float("nan")
    there = found.n > 0
    return float((found.n[there] * np.abs(found.observed - found.confidence)[there]).sum() / total)


def top_label(prob: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability of the likeliest class (the first of equals), and whether it is the true one: [N] each.

    Args:
        prob: [N, C]; labels: 0/1, [N, C].
    """
    p, truth = np.asarray(prob, dtype=np.float64), np.asarray(labels)
    best = p.argmax(axis=1)
    rows = np.arange(len(p))
    return p[rows, best], truth[rows, best] != 0


def brier(prob: ArrayLike, labels: ArrayLike, task: str) -> float:
    """Brier score, lower is better: G. W. Brier, Mon. Weather Rev. 78 (1950) 1.

    Single-label the squared errors of all classes, summed (0..2); multi-label their mean over the labels (0..1).

    Args:
        prob: in 0..1, [N, C]; labels: 0/1, [N, C].
        task: `single-label` or `multi-label`.

    Returns:
        The mean over the images; not-a-number without any.
    """
    p, truth = _both(prob, labels)
    if not len(p):
        return float("nan")
    squared = (p - truth) ** 2
    return float(squared.sum(axis=1).mean() if task == SINGLE else squared.mean())


def log_loss(prob: ArrayLike, labels: ArrayLike, task: str) -> float:
    """Negative log likelihood in nats, with probabilities cut to `SMALLEST` from 0 and 1.

    Single-label that of the true class; multi-label the mean over the labels.

    Args, Returns: as `brier`.
    """
    p, truth = _both(prob, labels)
    if not len(p):
        return float("nan")
    cut = p.clip(SMALLEST, 1 - SMALLEST)
    if task == SINGLE:
        return float(-np.log(cut[np.arange(len(p)), truth.argmax(axis=1)]).mean())
    return float(-np.log(np.where(truth == 1, cut, 1 - cut)).mean())


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by; above 1 the probabilities had been too sure.

    found: False where the best `value` lies at or beyond the ends of what is looked at (`COLDEST` to `HOTTEST`), so
    that the data do not say. low, high: its 95 % interval (Wald's, of 1 / T); `high` may be infinite.
    """

    value: float
    found: bool
    low: float = 0.0
    high: float = float("inf")


def fit_temperature(prob: ArrayLike, labels: ArrayLike, task: str) -> Temperature:
    """The one temperature with the lowest log loss on these images: Guo et al., ICML 2017.

    Logits are the logarithms of the probabilities (single-label) or their log odds (multi-label), which differ from
    those of the network by a constant at most.

    Args:
        prob: in 0..1, [N, C], N >= 1; labels: 0/1, [N, C].
        task: `single-label` or `multi-label`.

    Raises:
        ValueError: no images, `prob` outside 0..1 or not a number.
    """
    p, truth = _both(prob, labels)
    if not len(p):
        raise ValueError("no images given, accepted: at least one")
    z = _logits(p, task)
    # Convex in 1 / T: Newton's steps to where the slope is 0, and a bisection where they leave the bracket.
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _slope(z, truth, low, task)[0] >= 0:
        return Temperature(HOTTEST, False)
    if _slope(z, truth, high, task)[0] <= 0:
        return Temperature(COLDEST, False)
    at = 1.0
    for _ in range(100):
        slope, bend = _slope(z, truth, at, task)
        if slope > 0:
            high = at
        else:
            low = at
        step = at - slope / bend if bend > 0 else np.inf
        following = float(step) if low < step < high else (low + high) / 2
        if abs(following - at) <= 1e-12 * at:
            break
        at = following
    half = 1.959964 / np.sqrt(_slope(z, truth, at, task)[1])
    return Temperature(1 / at, True, float(1 / (at + half)), float(1 / (at - half)) if at > half else float("inf"))


def with_temperature(prob: ArrayLike, temperature: float, task: str) -> NDArray[np.float64]:
    """The probabilities [N, C] after dividing the logits by `temperature`. The order of the classes stays.

    Raises:
        ValueError: `temperature` is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: {temperature} given, accepted: above 0")
    return _probabilities(_logits(np.asarray(prob, dtype=np.float64), task) / temperature, task)


def _logits(p: NDArray[np.float64], task: str) -> NDArray[np.float64]:
    cut = p.clip(SMALLEST, 1 - SMALLEST)
    return np.log(cut) if task == SINGLE else np.log(cut) - np.log1p(-cut)


def _probabilities(z: NDArray[np.float64], task: str) -> NDArray[np.float64]:
    if task != SINGLE:
        return np.exp(-np.logaddexp(0, -z))
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    out: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return out


def _slope(z: NDArray[np.float64], truth: NDArray[np.float64], beta: float, task: str) -> tuple[float, float]:
    """First and second derivative of the summed log loss of logits beta z by beta."""
    p = _probabilities(beta * z, task)
    slope = float(((p - truth) * z).sum())
    if task == SINGLE:
        return slope, float(((p * z * z).sum(axis=1) - (p * z).sum(axis=1) ** 2).sum())
    return slope, float((p * (1 - p) * z * z).sum())


def _both(prob: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, truth = np.asarray(prob, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if p.ndim != 2 or p.shape != truth.shape:
        raise ValueError(f"prob of shape {p.shape} and labels of shape {truth.shape} given, accepted: [N, C]")
    _check(p)
    return p, truth


def _check(p: NDArray[np.float64]) -> None:
    if p.size and not (p.min() >= 0 and p.max() <= 1):  # not a number is neither
        raise ValueError(f"prob from {p.min()} to {p.max()} given, accepted: 0 to 1")
