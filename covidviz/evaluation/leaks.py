"""Images that a training has in a way seen: of a patient, or the same radiograph as one, in its training split.

What such images score says little about new patients, so metrics are given without them too. numpy and pandas only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidviz.evaluation.bootstrap import Interval, intervals
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import labels_of, prob_of

__all__ = ["Leaks", "Rescored", "Row", "leaks", "rescored"]


@dataclass(frozen=True)
class Leaks:
    """The images of one split, by sample id, that show a patient or a radiograph of the training split.

    n: images of the split in all.
    """

    n: int
    patients: frozenset[str]
    radiographs: frozenset[str]

    @property
    def ids(self) -> frozenset[str]:
        return self.patients | self.radiographs


def leaks(samples: pd.DataFrame, split: str, pairs: Iterable[tuple[str, str]] = ()) -> Leaks:
    """What of `split` the training split shows too.

    Args:
        samples: `sample_id`, `split`, and `patient_id` where known, as samples.parquet of a run.
        split: `val` or `test`; nothing leaks into `train`.
        pairs: sample ids of two files that hold the same radiograph, whatever their splits; the same as a third one
            means the same as each other. Ids that `samples` does not have still connect others.
    """
    ids = samples["sample_id"].astype(str).to_numpy(dtype=object)
    splits = samples["split"].to_numpy(dtype=object)
    here, train = splits == split, splits == "train"
    n = int(here.sum())
    if split == "train" or not n or not train.any():
        return Leaks(n, frozenset(), frozenset())
    return Leaks(n, frozenset(_of_patients(samples, ids, here, train)), frozenset(_of_pairs(pairs, ids, here, train)))


def _of_patients(
    samples: pd.DataFrame, ids: NDArray[np.object_], here: NDArray[np.bool_], train: NDArray[np.bool_]
) -> Iterable[str]:
    if "patient_id" not in samples:
        return ()
    patients = samples["patient_id"].astype(object).to_numpy()
    known = samples["patient_id"].notna().to_numpy() & (patients != "")
    seen = set(patients[train & known])
    return [str(one) for one, patient in zip(ids[here & known], patients[here & known], strict=True) if patient in seen]


def _of_pairs(
    pairs: Iterable[tuple[str, str]], ids: NDArray[np.object_], here: NDArray[np.bool_], train: NDArray[np.bool_]
) -> Iterable[str]:
    first: dict[str, str] = {}

    def top(one: str) -> str:
        while first.setdefault(one, one) != one:
            first[one] = one = first[first[one]]
        return one

    for a, b in pairs:
        first[top(a)] = top(b)
    if not first:
        return ()
    seen = {top(one) for one in ids[train] if one in first}
    return [one for one in ids[here] if one in first and top(one) in seen]


@dataclass(frozen=True)
class Row:
    """One metric on all images and without those that leak; None where no image is left to measure it on."""

    name: str
    before: Interval | None
    after: Interval | None


@dataclass(frozen=True)
class Rescored:
    """Metrics on the `n` images of a split beside those on the `left` ones that do not leak."""

    n: int
    left: int
    rows: tuple[Row, ...]


def rescored(frame: pd.DataFrame, classes: Sequence[str], task: str, without: Iterable[str]) -> Rescored:
    """The metrics of a split with and without some of its images.

    Shares of images (accuracy, exact match, recall, precision) have Wilson's interval, the others percentiles of a
    bootstrap over patients (see `covidviz.evaluation.bootstrap`); all at 95 %.

    Args:
        frame: rows of one split of `covidviz.evaluation.ranking.judged`, at least one.
        without: sample ids to leave out.

    Raises:
        ValueError: no images.
    """
    keep = ~frame["sample_id"].astype(str).isin(set(without)).to_numpy()
    before, after = _measured(frame, classes, task), _measured(frame[keep], classes, task)
    names = list(before)
    return Rescored(len(frame), int(keep.sum()), tuple(Row(name, before[name], after.get(name)) for name in names))


def _measured(frame: pd.DataFrame, classes: Sequence[str], task: str) -> dict[str, Interval | None]:
    if not len(frame):
        return {}
    prob, labels = prob_of(frame, classes), labels_of(frame, classes)
    guess = predicted(prob, task)
    clusters = frame["patient_id"].tolist() if "patient_id" in frame else None
    drawn = intervals(prob, labels, classes, task, clusters=clusters)
    exact = _share(int((guess == labels).all(axis=1).sum()), len(frame))
    found: dict[str, Interval | None] = {"accuracy": exact}
    if task != "single-label":
        found = {"label_accuracy": drawn["label_accuracy"], "exact_match": exact}
    found["macro_f1"] = drawn["macro_f1"]
    hits, true, said = (guess & labels).sum(axis=0), labels.sum(axis=0), guess.sum(axis=0)
    for kind, of in (("recall", true), ("precision", said)):
        for k, name in enumerate(classes):
            found[f"{kind}_{name}"] = _share(int(hits[k]), int(of[k]))
    return found


def _share(k: int, n: int) -> Interval | None:
    if not n:
        return None
    low, high = wilson(k, n)
    return Interval(k / n, low, high)
