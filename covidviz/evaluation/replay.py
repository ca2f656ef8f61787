"""A run epoch by epoch: which images were learned, forgotten or never settled. numpy only.

Forgetting events are those of Toneva et al. 2019, "An Empirical Study of Example Forgetting during Deep Neural Network
Learning": an image that was right in one epoch and is wrong in the next was forgotten once. They looked at training
images whenever these were in a batch; here it is the validation images after each epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.errors import InputError
from covidviz.evaluation.metrics import predicted

__all__ = [
    "FATES", "SINGLE", "Fates", "aligned", "cross_entropy", "epochs_in_order", "fates", "right_over_time", "thinned",
    "true_probability",
]  # fmt: skip

SINGLE = "single-label"
FATES = ("learned", "forgotten", "flickering", "always-right", "always-wrong")
LEARNED, FORGOTTEN, FLICKERING, RIGHT, WRONG = range(5)


@dataclass(frozen=True)
class Fates:
    """What became of each of N images.

    kind: index into `FATES`, uint8 [N]: `learned` (wrong in the first epoch, right in the last, never lost in
        between), `forgotten` (right in some epoch, wrong in the last), `flickering` (right in the last, but forgotten
        on the way), `always-right`, `always-wrong`. Every image is of exactly one kind.
    forgetting: how often it was forgotten, int32 [N].
    since: index of the epoch since which it has been as it is in the last one, int32 [N].
    """

    kind: NDArray[np.uint8]
    forgetting: NDArray[np.int32]
    since: NDArray[np.int32]


def right_over_time(prob: ArrayLike, labels: ArrayLike, task: str) -> NDArray[np.bool_]:
    """Whether each image is right in each epoch, bool [E, N].

    Args:
        prob: [E, N, C] in 0..1. An image with a probability that is no number is wrong.
        labels: 0/1, [N, C].
        task: `single-label` (the likeliest class is the true one) or `multi-label` (all labels right at .5).
    """
    given, truth = np.asarray(prob, dtype=np.float32), np.asarray(labels)
    if given.ndim != 3 or given.shape[1:] != truth.shape:
        raise InputError(f"prob: shape {given.shape} given, accepted: (epochs, *{truth.shape})")
    right = np.zeros(given.shape[:2], dtype=np.bool_)
    for e, one in enumerate(given):  # an epoch at a time: all of them as float64 would be four times the memory
        right[e] = (predicted(one, task) == truth).all(axis=1) & np.isfinite(one).all(axis=1)
    return right


def fates(right: ArrayLike) -> Fates:
    """What became of each image.

    Args:
        right: bool [E, N], epochs in order, E >= 1.
    """
    was = np.asarray(right, dtype=np.bool_)
    if was.ndim != 2 or not len(was):
        raise InputError(f"right: shape {was.shape} given, accepted: (epochs, images) with at least one epoch")
    forgetting = (was[:-1] & ~was[1:]).sum(axis=0, dtype=np.int32)
    ever, always, end = was.any(axis=0), was.all(axis=0), was[-1]
    kind = np.select(
        [always, ~ever, ~end, forgetting > 0], [RIGHT, WRONG, FORGOTTEN, FLICKERING], default=LEARNED
    ).astype(np.uint8)
    changed = was != end
    last = len(was) - 1 - changed[::-1].argmax(axis=0)  # the last epoch in which it was otherwise
    since = np.where(changed.any(axis=0), last + 1, 0).astype(np.int32)
    return Fates(kind, forgetting, since)


def true_probability(prob: ArrayLike, labels: ArrayLike, task: str) -> NDArray[np.float32]:
    """The probability of the truth, [..., N] in 0..1: of the true class; with several labels the lowest that was given
    to one of the right answers.

    Args:
        prob: [..., N, C]; labels: 0/1, [N, C].
    """
    given, truth = np.asarray(prob, dtype=np.float32), np.asarray(labels) == 1
    if task == SINGLE:
        return np.asarray(np.where(truth, given, 0).sum(axis=-1))
    return np.asarray(np.where(truth, given, 1 - given).min(axis=-1, initial=1))


def cross_entropy(prob: ArrayLike, labels: ArrayLike, task: str, least: float = 2.0**-24) -> NDArray[np.float32]:
    """Minus the logarithm of the probability of the truth, [N]; with several labels the mean over them.

    Args:
        prob: [N, C]; labels: 0/1, [N, C].
        least: below this a probability counts as this (float16 knows no smaller number).
    """
    given, truth = np.asarray(prob, dtype=np.float32), np.asarray(labels) == 1
    if task == SINGLE:
        return np.asarray(-np.log(np.where(truth, given, 0).sum(axis=-1).clip(least)))
    return np.asarray(-np.log(np.where(truth, given, 1 - given).clip(least)).mean(axis=-1))


def aligned(sample_id: Sequence[str], known: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the samples of one list are in another, by their ids: (rows of `sample_id`, rows of `known`), as many each.

    In the order of `sample_id`; an id that is not known is left out, and of one that comes twice the first counts.
    """
    place = {str(name): k for k, name in reversed(list(enumerate(known)))}
    rows: dict[str, int] = {}
    for k, name in enumerate(sample_id):
        if str(name) in place:
            rows.setdefault(str(name), k)
    return np.array(list(rows.values()), np.int64), np.array([place[name] for name in rows], np.int64)


def epochs_in_order(epoch: ArrayLike) -> NDArray[np.int64]:
    """Rows of `epoch` sorted by it; of an epoch that was written twice the later row counts."""
    rows = {int(value): k for k, value in enumerate(np.asarray(epoch).tolist())}
    return np.array([rows[value] for value in sorted(rows)], np.int64)


def thinned(n: int, most: int, keep: Sequence[int] = ()) -> NDArray[np.int64]:
    """At most `most` of `n` positions, evenly spread: the first, the last and those of `keep` among them, in order.

    Args:
        most: at least 2, and more than `keep` has beside the first and last.
    """
    if n <= most:
        return np.arange(n)
    fixed = {0, n - 1, *(k for k in keep if 0 <= k < n)}
    even = np.linspace(0, n - 1, max(2, most - len(fixed) + 2)).round().astype(int).tolist()
    return np.array(sorted(fixed | set(even)), np.int64)
