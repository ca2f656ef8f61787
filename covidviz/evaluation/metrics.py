"""The named metrics of the run-directory contract, from probabilities and labels. numpy only.

Equal to scikit-learn's with `labels=range(C)` and `zero_division=0` (tested).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.errors import InputError

__all__ = ["cell_members", "classification_metrics", "confusion", "predicted", "usable"]

SINGLE = "single-label"


def predicted(prob: ArrayLike, task: str) -> NDArray[np.int64]:
    """Decisions from probabilities.

    Args:
        prob: [N, C] in 0..1.
        task: `single-label` takes the likeliest class (the first of equals); `multi-label` every p >= 0.5.

    Returns:
        0/1, [N, C].
    """
    prob = np.asarray(prob, dtype=np.float64)
    if task != SINGLE:
        return (prob >= 0.5).astype(np.int64)
    return np.eye(prob.shape[1], dtype=np.int64)[prob.argmax(axis=1)]


def usable(prob: ArrayLike) -> NDArray[np.bool_]:
    """Which rows of [N, C] hold probabilities: all of them numbers in 0..1. A diverged run may have others. [N]"""
    p = np.asarray(prob, dtype=np.float64)
    return np.asarray(((p >= 0) & (p <= 1)).all(axis=1))  # not a number is neither


def classification_metrics(
    prob: ArrayLike, labels: ArrayLike, classes: Sequence[str], task: str, loss: ArrayLike | None = None
) -> dict[str, float]:
    """All metrics of one split, in the order of the contract.

    Args:
        prob: [N, C] in 0..1, N >= 1.
        labels: 0/1, [N, C].
        classes: C names.
        loss: per sample, [N]; its mean is reported.

    Returns:
        `loss` (if given); `accuracy` or, for multi-label, `label_accuracy` and `exact_match`; `macro_f1`, `micro_f1`,
        and `f1_`, `recall_`, `precision_` of each class. What would be 0/0 is 0.
    """
    truth = np.asarray(labels, dtype=np.int64)
    guess = predicted(prob, task)
    right = guess == truth
    values: dict[str, float] = {}
    if loss is not None:
        values["loss"] = float(np.mean(np.asarray(loss, dtype=np.float64)))
    if task == SINGLE:
        values["accuracy"] = float(right.all(axis=1).mean())
    else:
        values["label_accuracy"] = float(right.mean())
        values["exact_match"] = float(right.all(axis=1).mean())
    tp = (guess & truth).sum(axis=0)
    guessed, true = guess.sum(axis=0), truth.sum(axis=0)
    f1 = _ratio(2 * tp, guessed + true)
    values["macro_f1"] = float(f1.mean())
    values["micro_f1"] = float(_ratio(2 * tp.sum(), guessed.sum() + true.sum()))
    for name, per_class in (("f1", f1), ("recall", _ratio(tp, true)), ("precision", _ratio(tp, guessed))):
        values |= {f"{name}_{label}": float(value) for label, value in zip(classes, per_class, strict=True)}
    return values


def _ratio(above: Any, below: Any) -> NDArray[np.float64]:
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def confusion(prob: ArrayLike, labels: ArrayLike, classes: Sequence[str], task: str) -> dict[str, Any]:
    """What was taken for what.

    Args:
        prob: [N, C]; labels: 0/1, [N, C].

    Returns:
        Single-label: `classes` and `matrix` (rows true, columns predicted). Multi-label: per class a dict of the counts
        `tn`, `fp`, `fn`, `tp`.
    """
    truth = np.asarray(labels, dtype=np.int64)
    guess = predicted(prob, task)
    if task == SINGLE:
        return {"classes": list(classes), "matrix": (truth.T @ guess).tolist()}
    counts = {
        "tn": (1 - truth) * (1 - guess),
        "fp": (1 - truth) * guess,
        "fn": truth * (1 - guess),
        "tp": truth * guess,
    }
    totals = {key: value.sum(axis=0) for key, value in counts.items()}
    return {name: {key: int(total[i]) for key, total in totals.items()} for i, name in enumerate(classes)}


def cell_members(prob: ArrayLike, labels: ArrayLike, task: str, cell: str, classes: Sequence[str]) -> NDArray[np.bool_]:
    """The samples that one cell of the confusion matrix counts.

    Args:
        prob: [N, C]; labels: 0/1, [N, C].
        cell: `i-j` (true class index i, predicted j) for single-label, `k-tp`, `k-fp`, `k-fn` or `k-tn` (class index
            k) for multi-label.

    Returns:
        bool, [N].

    Raises:
        InputError: no such cell.
    """
    truth = np.asarray(labels, dtype=np.int64)
    guess = predicted(prob, task)
    last = len(classes) - 1
    pattern = r"(\d+)-(\d+)" if task == SINGLE else r"(\d+)-(tp|fp|fn|tn)"
    match = re.fullmatch(pattern, cell, re.ASCII)
    if match is None or int(match[1]) > last or (task == SINGLE and int(match[2]) > last):
        form = "TRUE-PREDICTED" if task == SINGLE else "CLASS-tp, -fp, -fn or -tn"
        raise InputError(f"cell: {cell!r} given, accepted: {form} with class numbers 0 to {last}")
    row = int(match[1])
    if task == SINGLE:
        return (truth[:, row] == 1) & (guess[:, int(match[2])] == 1)
    true, positive = {"tp": (1, 1), "fp": (0, 1), "fn": (1, 0), "tn": (0, 0)}[match[2]]
    return (truth[:, row] == true) & (guess[:, row] == positive)
