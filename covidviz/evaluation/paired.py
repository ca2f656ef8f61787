"""Two runs, or two groups of runs that differ in their seed alone, judged on the same images. numpy only.

Whether one of them is right more often is asked of the images on which they disagree (exact McNemar test); how far a
metric differs is told with a paired bootstrap interval: each resample draws the same images, or patients, for both.

Where few images change sides, resampling is too sure of itself: of two runs that decide alike it says 0 to 0. So the
interval of a share of the same images (accuracy, exact match, recall) is at least as wide as that of A. Agresti and
Y. Min, Statistics in Medicine 24 (2005) 729, which counts half an image more in each cell of the two-by-two table.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.evaluation.bootstrap import from_counts, numbered

__all__ = ["FLIPS", "Difference", "Paired", "compare", "flips_of", "majority", "mcnemar"]

FLIPS = ("both_right", "fixed", "broken", "both_wrong")  # by what `flips_of` numbers 0, 1, 2, 3
MOST_UNITS = 2048  # images or patients that are drawn one by one; more are drawn in so many random bags
EXACT = 10_000  # images up to which the first term of the binomial sum is a whole number divided by another


@dataclass(frozen=True)
class Difference:
    """A metric in 0..1: of A, of B (means over the runs of a group), B - A, and the interval of that.

    `a_runs`, `b_runs`: of each run of A and of B.
    """

    a: float
    b: float
    diff: float
    low: float
    high: float
    a_runs: tuple[float, ...]
    b_runs: tuple[float, ...]


@dataclass(frozen=True)
class Paired:
    """What B does with A's images. An image is right in a group of runs where more than half of them have it right.

    Attributes:
        n: images; `fixed` of them are wrong in A and right in B, `broken` the other way round.
        mcnemar_p: exact, two-sided, of `fixed` against `broken`.
        metrics: as `covidviz.evaluation.metrics.classification_metrics` names them, but for the loss.
        recalls: per class (images with it, found by A, found by B, found by B alone, found by A alone).
        units: patients, or images where patients are not known, that the intervals draw.
        runs: how many runs A and B are.
    """

    n: int
    both_right: int
    fixed: int
    broken: int
    both_wrong: int
    mcnemar_p: float
    metrics: dict[str, Difference]
    recalls: dict[str, tuple[int, int, int, int, int]]
    units: int
    runs: tuple[int, int]

    def document(self) -> dict[str, object]:
        """The part of the JSON document of `compare` that is numbers."""
        return {
            "n": self.n, "both_right": self.both_right, "fixed": self.fixed, "broken": self.broken,
            "both_wrong": self.both_wrong, "mcnemar_p": self.mcnemar_p,
            "metrics": {
                name: {"a": one.a, "b": one.b, "diff": one.diff, "low": one.low, "high": one.high}
                for name, one in self.metrics.items()
            },
        }  # fmt: skip


def mcnemar(fixed: int, broken: int) -> float:
    """The exact two-sided p of McNemar's test: that a fair coin falls at least as unevenly as `fixed` to `broken`.

    Q. McNemar, Psychometrika 12 (1947) 153, with the binomial distribution in place of chi squared.

    Raises:
        ValueError: a count below 0.

    >>> round(mcnemar(14, 9), 4)
    0.4049
    """
    if fixed < 0 or broken < 0:
        raise ValueError(f"fixed {fixed} and broken {broken} given, accepted: counts from 0")
    n, k = fixed + broken, min(fixed, broken)
    if abs(fixed - broken) <= 1:
        return 1.0  # both tails together are everything
    if n <= EXACT:
        last = math.comb(n, k) / 2**n
    else:
        last = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
    # P(X = i - 1) / P(X = i) = i / (n - i + 1), from k down to 1.
    i = np.arange(k, 0, -1, dtype=np.float64)
    return min(1.0, 2 * last * (1 + float(np.cumprod(i / (n - i + 1)).sum())))


def majority(right: Sequence[ArrayLike]) -> NDArray[np.bool_]:
    """What more than half of the runs have right: bool [N] of bool [N] per run. Half of them is not enough."""
    votes: NDArray[np.int64] = np.sum([np.asarray(one, dtype=bool) for one in right], axis=0, dtype=np.int64)
    return np.asarray(2 * votes > len(right))


def flips_of(truth: ArrayLike, a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> NDArray[np.int64]:
    """Where in `FLIPS` each image belongs, [N]. Right means that every label is decided as it is.

    Args:
        truth: 0/1 [N, C]; a, b: what each run decided, 0/1 [N, C].
    """
    labels = np.asarray(truth, dtype=bool)
    in_a, in_b = (majority([(np.asarray(one, dtype=bool) == labels).all(axis=1) for one in side]) for side in (a, b))
    return np.where(in_a, np.where(in_b, 0, 2), np.where(in_b, 1, 3))


def compare(
    truth: ArrayLike,
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike],
    classes: Sequence[str],
    task: str,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Paired:
    """B against A on the same images.

    Where a side has several runs, each resample also draws as many of them less one, which gives the mean of a metric
    the variance that other seeds would give it (J. N. K. Rao, C. F. J. Wu, J. Am. Stat. Assoc. 83 (1988) 231).

    Args:
        truth: 0/1 [N, C], N >= 1.
        a, b: what each run of the side decided, 0/1 [N, C]; at least one run.
        classes: C names.
        task: `single-label` or `multi-label`.
        clusters: what each image belongs to, such as its patient, [N], drawn instead of images; None, an empty text or
            not-a-number: unknown, so the image stands for itself.
        level: share of the resamples between the ends of an interval, in (0, 1).

    Raises:
        ValueError: no images, no runs, shapes that differ, or `level` not between 0 and 1.
    """
    labels = np.asarray(truth, dtype=bool)
    sides = [[np.asarray(one, dtype=bool) for one in side] for side in (a, b)]
    if not 0 < level < 1:
        raise ValueError(f"level: {level} given, accepted: between 0 and 1")
    if not len(labels) or not all(sides):
        raise ValueError(f"{len(labels)} images, {len(a)} and {len(b)} runs given, accepted: at least one each")
    for one in (*sides[0], *sides[1]):
        if one.shape != labels.shape or labels.shape[1:] != (len(classes),):
            raise ValueError(f"shapes {labels.shape} and {one.shape} given, accepted: [N, {len(classes)}]")
    counts = np.bincount(flips_of(labels, *sides), minlength=4)
    both_right, fixed, broken, both_wrong = (int(n) for n in counts)
    rng = np.random.default_rng(seed)
    unit_of = np.arange(len(labels)) if clusters is None else numbered(clusters)
    units = int(unit_of.max()) + 1
    bag_of = unit_of if units <= MOST_UNITS else (rng.permutation(units) % MOST_UNITS)[unit_of]
    bags = min(units, MOST_UNITS)
    # Bags of equally many units each sum up to values with the same variance as units drawn one by one.
    times = np.concatenate([np.ones((1, bags)), rng.multinomial(bags, np.full(bags, 1 / bags), size=resamples)])
    means = []
    per_run = []
    for side in sides:
        values = [_metrics(labels, one, classes, task, bag_of, times) for one in side]
        per_run.append({name: tuple(float(one[name][0]) for one in values) for name in values[0]})
        means.append(_mean_of_drawn(values, rng))
    tail = (1 - level) / 2
    metrics = {}
    right_a, right_b = (np.mean([(one == labels).all(axis=1) for one in side], axis=0) for side in sides)
    found_a, found_b = (np.mean(side, axis=0) for side in sides)
    gains = dict.fromkeys(("accuracy", "exact_match"), right_b - right_a)
    gains |= {f"recall_{name}": (found_b - found_a)[labels[:, i], i] for i, name in enumerate(classes)}
    if task == "single-label":
        gains["micro_f1"] = gains["accuracy"]  # the same number
    for name in means[0]:
        difference = means[1][name] - means[0][name]
        low, high = map(float, np.quantile(difference[1:], [tail, 1 - tail]))
        if name in gains:
            least = _agresti_min(gains[name], level)
            low, high = min(low, least[0]), max(high, least[1])
        metrics[name] = Difference(
            float(means[0][name][0]), float(means[1][name][0]), float(difference[0]), low, high,
            per_run[0][name], per_run[1][name],
        )  # fmt: skip
    return Paired(
        len(labels), both_right, fixed, broken, both_wrong, mcnemar(fixed, broken), metrics,
        _recalls(labels, sides, classes), units, (len(a), len(b)),
    )  # fmt: skip


def _agresti_min(gain: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Ends, in -1..1, of the interval of the mean of -1, 0 and 1 (of runs: also between), [N]; 0 and 0 of nothing."""
    if not len(gain):
        return 0.0, 0.0
    n, total = len(gain) + 2, float(gain.sum())
    middle, spread = total / n, math.sqrt(float((gain**2).sum()) + 1 - total**2 / n) / n
    half = NormalDist().inv_cdf(0.5 + level / 2) * spread
    return max(-1.0, middle - half), min(1.0, middle + half)


def _mean_of_drawn(
    values: Sequence[dict[str, NDArray[np.float64]]], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Each metric as observed (the mean of the runs), then with runs drawn for each resample: [1 + resamples]."""
    if len(values) == 1:
        return values[0]
    k = len(values)
    resamples = len(next(iter(values[0].values()))) - 1
    weights = np.concatenate([np.full((1, k), 1 / k), rng.multinomial(k - 1, np.full(k, 1 / k), resamples) / (k - 1)])
    return {name: (np.stack([one[name] for one in values], axis=1) * weights).sum(axis=1) for name in values[0]}


def _metrics(
    truth: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    classes: Sequence[str],
    task: str,
    bag_of: NDArray[np.intp],
    times: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """The metrics of one run in each draw, [D]; `times` [D, bags] says how often each bag came."""
    bags = times.shape[1]
    right = (truth == decided).all(axis=1, keepdims=True)
    columns = np.concatenate([truth & decided, truth, decided, right, np.ones_like(right)], axis=1)
    sums = times @ np.stack([np.bincount(bag_of[column], minlength=bags) for column in columns.T], axis=1).astype(float)
    return from_counts(sums, classes, task)


def _recalls(
    truth: NDArray[np.bool_], sides: Sequence[Sequence[NDArray[np.bool_]]], classes: Sequence[str]
) -> dict[str, tuple[int, int, int, int, int]]:
    found = {}
    for i, name in enumerate(classes):
        has = truth[:, i]
        in_a, in_b = (majority([one[has, i] for one in side]) for side in sides)
        only_b, only_a = int((in_b & ~in_a).sum()), int((in_a & ~in_b).sum())
        found[name] = (int(has.sum()), int(in_a.sum()), int(in_b.sum()), only_b, only_a)
    return found
