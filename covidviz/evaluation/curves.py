"""ROC and precision-recall curves of one label, the areas under them, and how sure the area is. numpy only.

Equal to scikit-learn's `roc_curve`, `precision_recall_curve`, `roc_auc_score` and `average_precision_score` (tested).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.evaluation.thresholds import counts_at_scores

__all__ = ["Curves", "auc_interval", "curves", "thinned"]


@dataclass(frozen=True)
class Curves:
    """The points that thresholds lead to, the highest threshold first; the first point decides nothing.

    thresholds: float64 [T + 1], the distinct probabilities after an infinity. fpr, recall, precision: float64 [T + 1],
    in 0..1; `recall` is the ROC's true positive rate. Not-a-number where there is no negative (fpr) or no positive
    (recall); the precision of no decision is 1, as scikit-learn draws it.
    auc, average_precision: None where one of the two kinds of images (for the second: the positives) is missing.
    """

    thresholds: NDArray[np.float64]
    fpr: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    auc: float | None
    average_precision: float | None
    positives: int
    negatives: int


def curves(prob: ArrayLike, labels: ArrayLike) -> Curves:
    """Both curves of one label.

    Args:
        prob: in 0..1, [N]; N may be 0.
        labels: 0/1, [N].

    Raises:
        ValueError: `prob` outside 0..1 or not a number, or the shapes differ.
    """
    found = counts_at_scores(prob, labels)
    truth = np.asarray(labels) != 0
    positives, negatives = int(truth.sum()), int((~truth).sum())
    tp, fp = (np.concatenate([[0], counts]).astype(np.float64) for counts in (found.tp, found.fp))
    with np.errstate(invalid="ignore"):
        recall, fpr = tp / positives if positives else tp * np.nan, fp / negatives if negatives else fp * np.nan
        precision = np.divide(tp, tp + fp, out=np.ones_like(tp), where=tp + fp > 0)
    both = positives > 0 and negatives > 0
    return Curves(
        thresholds=np.concatenate([[np.inf], found.thresholds]),
        fpr=fpr,
        recall=recall,
        precision=precision,
        auc=float(np.trapezoid(recall, fpr)) if both else None,
        average_precision=float((np.diff(recall) * precision[1:]).sum()) if positives else None,
        positives=positives,
        negatives=negatives,
    )


def auc_interval(prob: ArrayLike, labels: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """The interval of an area under the ROC curve: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837.

    The variance is DeLong's; the interval is laid around the logit of the area, so that it stays in 0..1.

    Args:
        prob: in 0..1, [N]; labels: 0/1, [N].
        level: how often such an interval holds the true area, in (0, 1).

    Returns:
        Lower and upper end; None where the area is unknown, 0 or 1, or one of the kinds has less than two images.

    Raises:
        ValueError: `level` not between 0 and 1, or a probability that is not a number.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: {level} given, accepted: between 0 and 1")
    p, truth = np.asarray(prob, dtype=np.float64), np.asarray(labels) != 0
    if np.isnan(p).any():
        raise ValueError("prob: not a number given, accepted: 0 to 1")
    yes, no = p[truth], p[~truth]
    if len(yes) < 2 or len(no) < 2:
        return None
    # How large a share of the other kind each image stands above; equals count half.
    above = (_below(no, yes, "left") + _below(no, yes, "right")) / (2 * len(no))
    under = 1 - (_below(yes, no, "left") + _below(yes, no, "right")) / (2 * len(yes))
    area = float(above.mean())
    variance = above.var(ddof=1) / len(yes) + under.var(ddof=1) / len(no)
    if not 0 < area < 1 or variance == 0:
        return None
    half = NormalDist().inv_cdf(0.5 + level / 2) * np.sqrt(variance) / (area * (1 - area))
    middle = np.log(area / (1 - area))
    return float(1 / (1 + np.exp(half - middle))), float(1 / (1 + np.exp(-half - middle)))


def _below(
    among: NDArray[np.float64], values: NDArray[np.float64], side: Literal["left", "right"]
) -> NDArray[np.int64]:
    return np.searchsorted(np.sort(among), values, side=side)


def thinned(x: ArrayLike, y: ArrayLike, most: int = 400) -> NDArray[np.int64]:
    """Which points of a line to draw: rising indices of at most about `most`, evenly along its length, ends included.

    Args:
        x, y: [T] in 0..1.
    """
    at = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    n = at.shape[1]
    if n <= most:
        return np.arange(n)
    length = np.concatenate([[0.0], np.abs(np.diff(at, axis=1)).sum(axis=0).cumsum()])
    return np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)).clip(0, n - 1))
