"""Can the class be guessed from something? Out-of-fold probabilities, and the area under the ROC curve of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Auc", "area", "kernel_model", "linear_model", "out_of_fold", "sample_rows"]

FOLDS = 5
RESAMPLES = 300
LEAST = 8  # images (and groups) of a class from which folds make sense

Model = Callable[[], Any]


@dataclass(frozen=True)
class Auc:
    """Macro one-vs-rest area under the ROC curve, its 95 % interval by resampling patients, and that of each class."""

    auc: float
    low: float
    high: float
    per_class: dict[str, tuple[float, float, float]]

    @property
    def surest(self) -> tuple[str, float]:
        """The class that is guessed best, and the lower end of its interval."""
        return max(((name, low) for name, (_, low, _) in self.per_class.items()), key=lambda one: one[1])

    def details(self) -> dict[str, Any]:
        return {
            "auc": round(self.auc, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "per_class": {name: [round(x, 4) for x in one] for name, one in self.per_class.items()},
        }


def linear_model(n_features: int, n: int) -> Model:
    """Logistic regression on principal components."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    components = max(1, min(80, n_features, n // 2))
    return lambda: make_pipeline(
        PCA(components, random_state=0), StandardScaler(), LogisticRegression(C=0.02, max_iter=500)
    )


def kernel_model(n_features: int, n: int) -> Model:
    """Logistic regression on a Gaussian kernel's features (Nystroem) of principal components."""
    from sklearn.decomposition import PCA
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    components = max(1, min(120, n_features, n // 2))
    kernel = Nystroem(gamma=0.3 / components, n_components=max(2, min(600, n // 2)), random_state=0)
    return lambda: make_pipeline(
        PCA(components, random_state=0), StandardScaler(), kernel, LogisticRegression(C=4, max_iter=300)
    )


def sample_rows(groups: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most about `most` rows, whole groups at random, always the same."""
    if len(groups) <= most:
        return np.arange(len(groups))
    order = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    kept = np.cumsum(np.bincount(groups, minlength=len(order))[order]) <= most
    return np.flatnonzero(np.isin(groups, order[kept]))


def out_of_fold(
    x: np.ndarray,
    labels: NDArray[np.int8],
    groups: NDArray[np.intp],
    model: Model,
    *,
    seed: int = 0,
    tell: Callable[[float], None] | None = None,
) -> NDArray[np.float64] | None:
    """Each image's probabilities by a model that saw neither it nor another image of its group.

    Args:
        x: [N, F]. labels: 0/1 [N, C]. groups: [N], a number per patient.

    Returns:
        [N, C]; with one label per image they sum to 1. None where a class is too rare (or all of it one group).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedGroupKFold

    codes = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    single = bool((labels.sum(1) == 1).all())
    for k in range(labels.shape[1]):
        for value in (0, 1):
            at = labels[:, k] == value
            if at.sum() < LEAST or len(np.unique(groups[at])) < FOLDS:
                return None
    prob = np.full(labels.shape, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # a rare set of labels is not in every fold
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, codes, groups)
        for done, (train, test) in enumerate(folds):
            if single:
                truth = labels[train].argmax(1)
                if len(np.unique(truth)) < labels.shape[1]:
                    return None
                prob[test] = model().fit(x[train], truth).predict_proba(x[test])
            else:
                for k in range(labels.shape[1]):
                    if len(np.unique(labels[train, k])) < 2:
                        return None
                    prob[test, k] = model().fit(x[train], labels[train, k]).predict_proba(x[test])[:, 1]
            if tell is not None:
                tell((done + 1) / FOLDS)
    return prob


def area(
    prob: NDArray[np.float64], labels: NDArray[np.int8], groups: NDArray[np.intp], classes: tuple[str, ...]
) -> Auc | None:
    """The area under each class's ROC curve (the Mann-Whitney statistic, ties count half), and their mean.

    The interval is that of 300 resamples of whole groups (a patient's images stay together).

    Args:
        prob: scores [N, C]. labels: 0/1 [N, C]. groups: [N], numbers from 0.

    Returns:
        None where a class has no image, or all of them.
    """
    groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
    n_groups = int(groups.max(initial=-1)) + 1
    if not n_groups or not (labels.any(0) & ~labels.all(0)).all():
        return None
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, n_groups)), drawn])
    values = np.empty((RESAMPLES + 1, labels.shape[1]))
    for k in range(labels.shape[1]):
        order = np.argsort(prob[:, k], kind="stable")
        starts = np.flatnonzero(np.diff(prob[order, k], prepend=-np.inf))  # equal scores together
        positive = labels[order, k].astype(np.float64)
        for begin in range(0, len(weights), 50):
            drawn_here = weights[begin : begin + 50][:, groups[order]]
            up = np.add.reduceat(drawn_here * positive, starts, axis=1)
            down = np.add.reduceat(drawn_here * (1 - positive), starts, axis=1)
            below = np.cumsum(down, axis=1) - down / 2
            total = up.sum(1) * down.sum(1)
            with np.errstate(invalid="ignore", divide="ignore"):
                values[begin : begin + 50, k] = np.where(total > 0, (up * below).sum(1) / total, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no resample holds
        low, high = np.nanpercentile(values[1:], [2.5, 97.5], axis=0)
        macro = np.nanpercentile(values[1:].mean(1), [2.5, 97.5])
    point = values[0]
    per_class = {
        name: (float(point[k]), float(low[k]), float(high[k])) for k, name in enumerate(classes)
    }  # fmt: skip
    return Auc(float(point.mean()), float(macro[0]), float(macro[1]), per_class)
