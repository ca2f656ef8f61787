"""The check `label-suspects`: labels that a model disagrees with surely that has not seen them.

Confident learning (C. Northcutt, L. Jiang, I. Chuang, J. Artif. Intell. Res. 70 (2021) 1373): an image counts as
another class where its out-of-fold probability reaches the mean that this class's own images get. Of those only the
ones with a clear margin are told. The model is a simple one, so what it says is a list to look at, not a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.dataset import Dataset, percent, plural
from covidviz.data.doctor.guess import kernel_model, out_of_fold
from covidviz.data.doctor.pictures import described
from covidviz.data.doctor.report import LISTED, Check

__all__ = ["label_suspects", "suspect_scores"]

MARGIN = 0.6  # probability of the other class less that of the given one
SHARE = 0.02  # of all images, from which wrong labels are likelier than a weak model; measured: docs/data-doctor.md
ROUNDS = 2  # of folds drawn anew, averaged
ENOUGH = 100  # images; a model of fewer says nothing surely
MOST = 20_000  # images in one go; more are done in parts


def suspect_scores(prob: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """How surely each label is doubted, [N, C]: the margin in 0..1 for the class that is meant instead, else 0.

    With several labels per image each label is judged by itself, and the margin is that for its opposite.
    """
    doubt = np.zeros(prob.shape)
    if (labels.sum(1) == 1).all() and prob.shape[1] > 1:
        given = labels.argmax(1)
        usual = np.array([prob[given == k, k].mean() if (given == k).any() else 1.0 for k in range(prob.shape[1])])
        own = prob[np.arange(len(prob)), given]
        margin = prob - own[:, None]
        sure = (prob >= usual) & (own < usual[given])[:, None]
        sure[np.arange(len(prob)), given] = False
        doubt[sure] = margin[sure]
        return np.where(doubt == doubt.max(1, keepdims=True), doubt, 0)
    for k in range(prob.shape[1]):
        has = labels[:, k] == 1
        p = prob[:, k]
        if not has.any() or has.all():
            continue
        doubt[:, k] = np.where(
            has,
            np.where(1 - p >= (1 - p[~has]).mean(), 1 - 2 * p, 0),
            np.where(p >= p[has].mean(), 2 * p - 1, 0),
        )
    return np.clip(doubt, 0, 1)


def label_suspects(data: Dataset, groups: NDArray[np.intp], tell: Callable[[float], None] | None = None) -> Check:
    """Images whose label looks wrong to a model of other patients' images."""
    tell = tell or (lambda share: None)  # noqa: ARG005
    rows = np.flatnonzero(data.looks.readable)
    if len(data.classes) < 2 or len(rows) < ENOUGH:
        why = "there is one class only" if len(data.classes) < 2 else f"it takes {ENOUGH} images or more"
        return Check("label-suspects", "note", f"Not looked for: {why}.", details={"auc": None})
    # Parts of whole groups, so that memory and time stay bounded.
    parts = -(-len(rows) // MOST)
    part_of = np.random.default_rng(0).integers(0, parts, int(groups.max()) + 1)[groups[rows]]
    prob = np.full((len(rows), len(data.classes)), np.nan)
    for part in range(parts):
        at = np.flatnonzero(part_of == part)
        x = described(data.looks.thumbs, rows[at])
        total = np.zeros((len(at), len(data.classes)))
        for seed in range(ROUNDS):
            done = (part * ROUNDS + seed) / (parts * ROUNDS)
            one = out_of_fold(
                x, data.labels[rows[at]], groups[rows[at]], kernel_model(x.shape[1], len(at)), seed=seed,
                tell=partial(_part_told, tell, done, parts * ROUNDS),
            )  # fmt: skip
            if one is None:
                return Check(
                    "label-suspects", "note", "Not looked for: a class has too few images or patients.",
                    details={"auc": None},
                )  # fmt: skip
            total += one
        prob[at] = total / ROUNDS
    doubt = suspect_scores(prob, data.labels[rows])
    worst = doubt.max(1)
    order = np.argsort(-worst, kind="stable")
    found = order[worst[order] >= MARGIN]
    share = len(found) / len(rows)
    told = []
    for i in found[:LISTED]:
        row, k = int(rows[i]), int(doubt[i].argmax())
        name = data.classes[k]
        meant = name if data.single or not data.labels[row, k] else f"not {name}"
        told.append(
            {
                "given": data.label_of(row), "suggested": meant, "split": data.split(row),
                "probability": round(float(prob[i, k] if meant == name else 1 - prob[i, k]), 4),
            }
        )  # fmt: skip
    agree = _agreement(prob, data.labels[rows], data.single)
    details = {
        "share": round(share, 5), "margin": MARGIN, "agreement": round(agree, 4),
        "per_class": {
            name: int((data.labels[rows[found], k] == 1).sum()) for k, name in enumerate(data.classes)
        },
        "rows": told,
    }  # fmt: skip
    samples = [data.paths[rows[i]] for i in found[:LISTED]]
    if share < SHARE:
        few = (
            f"{plural(len(found), 'label')} ({percent(share)}) worth a look, no more than a simple model errs."
            if len(found)
            else "No label stands out."
        )
        return Check(
            "label-suspects", "ok", few, _MEANING, "Look at them if you like." if len(found) else "", len(found),
            samples, details,
        )  # fmt: skip
    return Check(
        "label-suspects", "warn",
        f"{plural(len(found), 'label')} ({percent(share)}) look wrong to a simple model that is right on "
        f"{percent(agree)} of all labels.", _MEANING,
        "Look at the listed images, worst first, with someone who can read them. Correct labels in val and test "
        "first: they decide what the scores mean.", len(found), samples, details,
    )  # fmt: skip


def _part_told(tell: Callable[[float], None], done: float, parts: int, share: float) -> None:
    tell(done + share / parts)


_MEANING = (
    "The model learned from other patients' images and surely says another class. It is a simple one: some of these "
    "labels are right and the image unusual."
)


def _agreement(prob: NDArray[np.float64], labels: NDArray[np.int8], single: bool) -> float:
    if single:
        return float((prob.argmax(1) == labels.argmax(1)).mean())
    return float(((prob >= 0.5) == (labels == 1)).mean())
