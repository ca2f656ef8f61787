"""Which images to look at: the worst, the best, the most uncertain, those of one class or one cell of the matrix.

Every function takes and returns whole rows. A sample is known by its `sample_id`, never by its position in a filtered
list, so that a picture can't end up above the numbers of another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidviz.errors import InputError
from covidviz.evaluation.metrics import cell_members, predicted

__all__ = ["ORDERS", "cells", "judged", "label_of", "labels_of", "prob_of", "select"]

ORDERS = ("worst", "best", "uncertain", "random", "all")


def prob_of(frame: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """The probabilities of `frame` as [N, C], in the order of `classes`."""
    return frame[[f"prob_{name}" for name in classes]].to_numpy(dtype=np.float64)


def labels_of(frame: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    """The true labels of `frame` as 0/1 [N, C], in the order of `classes`."""
    return frame[[f"label_{name}" for name in classes]].to_numpy(dtype=np.int64)


def judged(samples: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str], task: str) -> pd.DataFrame:
    """Each prediction beside its own sample.

    Args:
        samples: as `samples.parquet`.
        predictions: as `predictions.parquet`; rows in any order, matched by `sample_id`.
        classes: names in the order of the run.
        task: `single-label` or `multi-label`.

    Returns:
        The rows of `predictions` with the columns of `samples`, and
        `right` (the right class, or all labels right at .5),
        `confidence` in 0..1 (single-label: probability of the predicted class; multi-label: the lowest probability
        that was given to one of the decisions).
        Predictions of unknown samples are left out.
    """
    known = samples.drop(columns=[name for name in ("split",) if name in predictions])
    frame = predictions.merge(known, on="sample_id", how="inner", validate="one_to_one").reset_index(drop=True)
    prob, labels = prob_of(frame, classes), labels_of(frame, classes)
    decided = predicted(prob, task)
    frame["right"] = (decided == labels).all(axis=1)
    given = np.where(decided == 1, prob, 1 - prob)
    frame["confidence"] = prob.max(axis=1, initial=0) if task == "single-label" else given.min(axis=1, initial=1)
    return frame


def cells(classes: Sequence[str], task: str) -> list[str]:
    """All cells of the confusion matrix: `i-j` (true i, predicted j), or `k-tp`, `k-fn`, `k-fp`, `k-tn` per label."""
    n = range(len(classes))
    if task == "single-label":
        return [f"{i}-{j}" for i in n for j in n]
    return [f"{k}-{kind}" for k in n for kind in ("tp", "fn", "fp", "tn")]


def select(
    frame: pd.DataFrame,
    classes: Sequence[str],
    task: str,
    *,
    split: str | None = None,
    order: str = "all",
    cls: str | None = None,
    pred: str | None = None,
    cell: str | None = None,
    source: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The rows of `judged` to show, in the order to show them.

    Args:
        split: only this split.
        order: `worst` (only wrong ones, highest loss first), `best` (only right ones, most confident first),
            `uncertain` (smallest margin first: the probability of the likeliest class less that of the second; with
            several labels the smallest distance of a probability from .5), `random` (an order that depends on the
            sample's id and `seed` alone), `all` (highest loss first).
        cls: only images with this true class.
        pred: only images for which this class was predicted (multi-label: p >= .5).
        cell: only the members of this cell of the confusion matrix, right or wrong as they are.
        source: only images of this source.
        seed: of the random order.

    Returns:
        Rows of `frame`. Multi-label with a class or a cell: `right` and `confidence` mean that label alone, and instead
        of the loss counts how far its probability is from the truth. `cls` goes before `pred`.

    Raises:
        InputError: an order, class or cell that does not exist.
    """
    if order not in ORDERS:
        raise InputError(f"order: {order!r} given, accepted: {', '.join(ORDERS)}")
    for name in (cls, pred):
        if name is not None and name not in classes:
            raise InputError(f"class: {name!r} given, accepted: {', '.join(classes)}")
    if cell is not None and cell not in cells(classes, task):
        raise InputError(f"cell: {cell!r} given, accepted: {', '.join(cells(classes, task))}")
    narrow = [
        "split",
        "right",
        "confidence",
        "loss",
        *(name for name in ("source",) if source is not None and name in frame),
        *(f"{kind}_{name}" for kind in ("label", "prob") for name in classes),
    ]
    rows = frame[narrow]  # the other columns may be many and wide
    if split is not None:
        rows = rows[rows["split"] == split]
    if cell is not None:
        member = cell_members(prob_of(rows, classes), labels_of(rows, classes), task, cell, tuple(classes))
        rows = rows[np.asarray(member, dtype=bool)]
    if source is not None:
        rows = rows[rows["source"].astype(str) == source] if "source" in rows else rows.head(0)
    label = label_of(classes, cls=cls, pred=pred, cell=cell)
    judge_label = task == "multi-label" and label is not None
    rank = rows["loss"]
    if judge_label:
        prob, true = rows[f"prob_{label}"].astype(np.float64), rows[f"label_{label}"] == 1
        rows = rows.assign(right=(prob >= 0.5) == true, confidence=prob.where(prob >= 0.5, 1 - prob))
        rank = 1 - prob.where(true, 1 - prob)
    if cls is not None:
        rows = rows[rows[f"label_{cls}"] == 1]
    if pred is not None and len(rows):
        rows = rows[predicted(prob_of(rows, classes), task)[:, list(classes).index(pred)] == 1]
    if cell is None and order in ("worst", "best"):
        rows = rows[rows["right"]] if order == "best" else rows[~rows["right"]]
    if order == "random":
        ids = frame.loc[rows.index, "sample_id"].astype(str)
        picked = ids.map(lambda one: _shuffled(one, seed)).sort_values(kind="stable").index
    else:
        # A loss that is no number belongs to a diverged run: nothing is worse.
        if order == "uncertain":
            rank = -pd.Series(_margin(prob_of(rows, classes), task, label, classes), index=rows.index)
        rank = rows["confidence"] if order == "best" else rank[rows.index]
        picked = rank.sort_values(ascending=False, kind="stable", na_position="first").index
    found = frame.loc[picked]
    return found.assign(**rows.loc[picked, ["right", "confidence"]]) if judge_label else found


def label_of(
    classes: Sequence[str], *, cls: str | None = None, pred: str | None = None, cell: str | None = None
) -> str | None:
    """Multi-label: the one class that is being judged, if any: `cls`, else `pred`, else that of `cell`."""
    return cls or pred or (classes[int(cell.split("-")[0])] if cell is not None else None)


def _shuffled(sample_id: str, seed: int) -> bytes:
    # Of the id alone: an image keeps its place among the others whatever else is filtered.
    return hashlib.blake2b(f"{seed}|{sample_id}".encode(), digest_size=8).digest()


def _margin(prob: NDArray[np.float64], task: str, label: str | None, classes: Sequence[str]) -> NDArray[np.float64]:
    """How sure each decision is, [N] in 0..1: 0 is a coin toss."""
    if task == "multi-label":
        judged_prob = prob if label is None else prob[:, [list(classes).index(label)]]
        return np.abs(judged_prob - 0.5).min(axis=1, initial=0.5) * 2
    if prob.shape[1] < 2 or not len(prob):
        return np.ones(len(prob))
    top = np.partition(prob, -2, axis=1)
    margin: NDArray[np.float64] = top[:, -1] - top[:, -2]
    return margin
