"""Losses of one yes-or-no question as functions of p, the probability said for yes, and what follows from them.

Cross-entropy, focal, class-balanced and asymmetric loss are one formula with five numbers (`Shape`):

    yes: -w+ (1 - p)^g+ log p        no: -w- q^g- log(1 - q) with q = max(p - clip, 0)

`covidviz.training.losses` computes the same from logits (tested). numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ASYMMETRIC", "CROSS_ENTROPY", "Shape", "Shares", "class_balanced", "class_balanced_weights", "focal", "gradient",
    "loss", "said_for", "shares", "true_at",
]  # fmt: skip

Floats = NDArray[np.float64]

CLASS_BALANCED_BETA = 0.9999
HALVINGS = 60


@dataclass(frozen=True)
class Shape:
    """The five numbers: exponents >= 0 and weights >= 0 of a yes (`pos`) and a no (`neg`), and `clip` in 0..1."""

    gamma_pos: float = 0.0
    gamma_neg: float = 0.0
    weight_pos: float = 1.0
    weight_neg: float = 1.0
    clip: float = 0.0


CROSS_ENTROPY = Shape()
ASYMMETRIC = Shape(1.0, 4.0, clip=0.05)  # the defaults of Ridnik et al. 2021


def focal(gamma: float, alpha: float | None = None) -> Shape:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002); alpha (0..1) weighs a yes, 1 - alpha a no, None neither."""
    return Shape(gamma, gamma) if alpha is None else Shape(gamma, gamma, alpha, 1 - alpha)


def class_balanced(positives: float, negatives: float, beta: float = CLASS_BALANCED_BETA) -> Shape:
    """Cross-entropy weighted by the effective number of images that have the label and that have it not."""
    pos, neg = class_balanced_weights([positives, negatives], beta)
    return Shape(weight_pos=float(pos), weight_neg=float(neg))


def class_balanced_weights(counts: ArrayLike, beta: float = CLASS_BALANCED_BETA) -> Floats:
    """Weights (1 - beta) / (1 - beta^n), scaled to sum to their number (Cui et al. 2019, arXiv:1901.05555).

    Args:
        counts: images per class, [C]; an empty class gets the weight of one image.
        beta: 0..1 (exclusive).

    Returns:
        [C].
    """
    counts = np.maximum(np.asarray(counts, dtype=np.float64), 1)
    # expm1 and log keep the digits that 1 - beta^n would lose
    weights = (1 - beta) / -np.expm1(counts * np.log(beta))
    return np.asarray(weights / weights.sum() * len(weights))


def loss(shape: Shape, p: ArrayLike, yes: ArrayLike) -> Floats:
    """The loss where yes has probability `p` (0..1) and is (`yes`: bool or 0/1) or is not the truth.

    Infinite where the truth has probability 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(yes) > 0, _yes(shape, p), _no(shape, p)) + 0.0  # not -0


def _yes(shape: Shape, p: ArrayLike) -> Floats:
    p = np.asarray(p, np.float64)
    value: Floats = -shape.weight_pos * (1 - p) ** shape.gamma_pos * np.log(p)
    return value


def _no(shape: Shape, p: ArrayLike) -> Floats:
    q = _clipped(shape, p)
    value: Floats = -shape.weight_neg * q**shape.gamma_neg * np.log1p(-q)
    return value


def _clipped(shape: Shape, p: ArrayLike) -> Floats:
    clipped: Floats = np.maximum(np.asarray(p, np.float64) - shape.clip, 0)
    return clipped


def gradient(shape: Shape, p: ArrayLike, yes: ArrayLike) -> Floats:
    """The derivative of `loss` by the logit of `p`: what an image pulls with. <= 0 for a yes, >= 0 for a no."""
    p = np.asarray(p, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = np.where(p > 0, np.log(np.maximum(p, 1e-300)), 0)  # p log p is 0 at 0
        of_yes = shape.weight_pos * (1 - p) ** shape.gamma_pos * (shape.gamma_pos * p * log_p - (1 - p))
        q = _clipped(shape, p)
        # log(1 - q) / q goes to -1 where q vanishes; (1 - p) / (1 - q) is 1 without a clip, also at p = 1
        ratio = np.where(q > 0, np.log1p(-q) / np.where(q > 0, q, 1), -1.0)
        left = np.where(q < 1, (1 - p) / np.where(q < 1, 1 - q, 1), 1.0)
        pull = np.where(p < 1, -shape.gamma_neg * ratio * (1 - p), 0) + left
        of_no = np.where(p > shape.clip, shape.weight_neg * q**shape.gamma_neg * pull * p, 0.0)
    return np.where(np.asarray(yes) > 0, of_yes, of_no) + 0.0


def true_at(shape: Shape, p: ArrayLike) -> Floats:
    """What a `p` (0..1) said by a network that has learned all there is to learn stands for.

    That is the share of yes among such images for which the mean loss is least at `p`. Cross-entropy: `p` itself. For
    focal loss (Charoenphakdee et al. 2021, arXiv:2011.09172; that it makes networks less sure is what Mukhoti et al.
    2020, arXiv:2002.09437, use it for) nearer to 0 or 1 than `p`. It never falls as `p` rises.
    """
    p = np.asarray(p, np.float64)
    no, yes = gradient(shape, p, 0), -gradient(shape, p, 1)
    both = no + yes
    return np.where(both > 0, no / np.where(both > 0, both, 1), p)


def said_for(shape: Shape, true: ArrayLike) -> Floats:
    """The other way round: what such a network says where the share of yes is `true`, found by halving."""
    true = np.asarray(true, np.float64)
    low, high = np.zeros_like(true), np.ones_like(true)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        less = true_at(shape, middle) < true
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    found: Floats = (low + high) / 2
    return found


@dataclass(frozen=True)
class Shares:
    """How much of the whole comes from images that have the label, 0..1 (NaN where the whole is 0)."""

    loss: float
    gradient: float


def shares(
    shape: Shape, p: ArrayLike, yes: ArrayLike, positives: float | None = None, negatives: float | None = None
) -> Shares:
    """The part that the images with the label have in its loss, and in the pull on the network (|gradient|).

    Args:
        p: probability said for yes, [N], in 0..1; kept 1e-7 away from both ends, as float32 sigmoids are.
        yes: 0/1, [N].
        positives, negatives: as if so many images had the label and had it not; default: as many as there are.
    """
    p, truth = np.clip(np.asarray(p, np.float64), 1e-7, 1 - 1e-7), np.asarray(yes) > 0
    counts = [float(truth.sum()) if positives is None else positives,
              float((~truth).sum()) if negatives is None else negatives]  # fmt: skip

    def part(values: Floats) -> float:
        mean = [float(values[side].mean()) if side.any() else 0.0 for side in (truth, ~truth)]
        total = counts[0] * mean[0] + counts[1] * mean[1]
        return counts[0] * mean[0] / total if total > 0 else float("nan")

    return Shares(part(loss(shape, p, truth)), part(np.abs(gradient(shape, p, truth))))
