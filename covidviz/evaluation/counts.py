"""All metric definitions from a confusion matrix alone, as a report prints it: images need not be known. Pure Python.

Equal to `covidviz.evaluation.metrics` where both apply (tested). What a matrix per label can't tell, the exact match of
all labels, comes as the bounds that hold for every way the errors may lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from covidviz.evaluation.intervals import wilson

__all__ = ["Counts", "Score", "constant", "score"]


class Counts(NamedTuple):
    """One label: images that have it or not, called so or not."""

    tn: int
    fp: int
    fn: int
    tp: int


@dataclass(frozen=True)
class Score:
    """One matrix under every definition. Shares are 0..1; 0/0 is 0.

    n: images. labels: by class.
    exact_match: (low, high), the same twice where it is known.
    label_accuracy: share of right yes-or-no answers over images and labels.
    """

    n: int
    labels: Mapping[str, Counts]
    exact_match: tuple[float, float]
    label_accuracy: float
    micro_f1: float
    macro_f1: float
    f1: Mapping[str, float]

    @property
    def exact(self) -> float | None:
        """The exact match of all labels, None where the matrix does not tell."""
        low, high = self.exact_match
        return low if low == high else None

    @property
    def right_labels(self) -> int:
        """How many yes-or-no answers are right."""
        return sum(one.tn + one.tp for one in self.labels.values())

    def value(self, metric: str) -> float | None:
        """A metric by its name in the run-directory contract; None where the matrix does not tell."""
        if metric in ("accuracy", "exact_match"):
            return self.exact
        if metric.startswith("f1_"):
            return self.f1.get(metric.removeprefix("f1_"))
        return {"label_accuracy": self.label_accuracy, "micro_f1": self.micro_f1, "macro_f1": self.macro_f1}.get(metric)

    def recall(self, name: str) -> tuple[int, int, tuple[float, float]]:
        """How many images of class `name` were found, of how many, and Wilson's 95 % interval of that share."""
        one = self.labels[name]
        hits, support = one.tp, one.tp + one.fn
        return hits, support, wilson(hits, support)


def score(confusion: Mapping[str, Any], exact: float | None = None) -> Score:
    """Every definition from one confusion document.

    Args:
        confusion: `classes` and `matrix` (rows true) of a single-label task, or {class: {tn, fp, fn, tp}}.
        exact: exact match, where it is known from elsewhere. A single-label matrix tells it.

    Raises:
        ValueError: the labels of a multi-label matrix count different numbers of images.
    """
    labels, n, known = _labels(confusion)
    if known is None:
        known = exact
    wrong = [one.fp + one.fn for one in labels.values()]
    # At least the images that are wrong in the worst label, at most one image for each wrong answer.
    bounds = (1 - min(n, sum(wrong)) / n, 1 - max(wrong) / n) if n else (0.0, 0.0)
    f1 = {name: _ratio(2 * one.tp, 2 * one.tp + one.fp + one.fn) for name, one in labels.items()}
    hits = sum(one.tp for one in labels.values())
    return Score(
        n=n,
        labels=labels,
        exact_match=bounds if known is None else (known, known),
        label_accuracy=_ratio(n * len(labels) - sum(wrong), n * len(labels)),
        micro_f1=_ratio(2 * hits, 2 * hits + sum(wrong)),
        macro_f1=sum(f1.values()) / len(f1),
        f1=f1,
    )


def _labels(confusion: Mapping[str, Any]) -> tuple[dict[str, Counts], int, float | None]:
    if "matrix" not in confusion:
        labels = {name: Counts(one["tn"], one["fp"], one["fn"], one["tp"]) for name, one in confusion.items()}
        sizes = {sum(one) for one in labels.values()}
        if len(sizes) != 1:
            raise ValueError(f"confusion: the labels count {sorted(sizes)} images, accepted: the same images for each")
        return labels, sizes.pop(), None
    matrix: Sequence[Sequence[int]] = confusion["matrix"]
    n = sum(map(sum, matrix))
    labels = {}
    for i, name in enumerate(confusion["classes"]):
        tp, true, called = matrix[i][i], sum(matrix[i]), sum(row[i] for row in matrix)
        labels[name] = Counts(n - true - called + tp, called - tp, true - tp, tp)
    return labels, n, _ratio(sum(matrix[i][i] for i in range(len(matrix))), n)


def constant(sets: Mapping[str, int], classes: Sequence[str]) -> tuple[str, Score]:
    """What saying the most frequent answer for every image scores.

    Args:
        sets: images by their set of labels, written `covid19|pneumonia`; an empty name is none of them.
        classes: all labels.

    Returns:
        That set, and its score; the exact match is known.
    """
    said = max(sets, key=lambda one: sets[one])
    called, n = set(said.split("|")), sum(sets.values())
    confusion = {}
    for name in classes:
        support = sum(count for labels, count in sets.items() if name in labels.split("|"))
        yes = name in called
        confusion[name] = {
            "tn": 0 if yes else n - support, "fp": n - support if yes else 0,
            "fn": 0 if yes else support, "tp": support if yes else 0,
        }  # fmt: skip
    return said, score(confusion, exact=sets[said] / n)


def _ratio(above: float, below: float) -> float:
    return above / below if below else 0.0
