"""The images that several runs judged alike: same split, same labels, and a probability from each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidviz.errors import InputError
from covidviz.evaluation.decisions import decided
from covidviz.evaluation.metrics import usable
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.paths import dataset_root

__all__ = ["Judgement", "Matched", "match"]


@dataclass(frozen=True)
class Judgement:
    """What one run said: `frame` of `covidviz.evaluation.ranking.judged` (or samples merged with predictions).

    `thresholds`: multi-label: from which probability a label counts as decided, by class; .5 where it is not given.
    `data`: the dataset it names, a folder or its labels.csv; empty where unknown.
    """

    name: str
    frame: pd.DataFrame
    classes: tuple[str, ...]
    task: str
    thresholds: Mapping[str, float] | None = None
    data: str = ""

    def decided(self, prob: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.bool_]:
        """[N, C] of probabilities [N, C] in the order of `classes`. With one label per image the likeliest class."""
        return decided(prob, classes, self.task, {} if self.task == "single-label" else self.thresholds or {})


@dataclass(frozen=True)
class Matched:
    """The common images, in the order of the first run.

    `truth` bool [N, C]; `a`, `b`: what each run decided, bool [N, C]; `patients` [N] or None where none is known;
    `notes`: what was left out, and what can't be told.
    """

    sample_ids: NDArray[np.object_]
    truth: NDArray[np.bool_]
    a: list[NDArray[np.bool_]]
    b: list[NDArray[np.bool_]]
    classes: tuple[str, ...]
    task: str
    patients: list[object] | None
    notes: tuple[str, ...]


def match(a: Sequence[Judgement], b: Sequence[Judgement], split: str) -> Matched:
    """The images of `split` that every run of both sides judged.

    Raises:
        InputError: other tasks, other classes, no image of this split, or none in common.
    """
    runs = [*a, *b]
    first = runs[0]
    for one in runs[1:]:
        if one.task != first.task:
            raise InputError(f"{first.name} is {first.task}, {one.name} is {one.task}: their images can't be paired")
        if set(one.classes) != set(first.classes):
            raise InputError(
                f"{first.name} and {one.name} have different classes ({', '.join(first.classes)}; "
                f"{', '.join(one.classes)}): their images can't be paired"
            )
    classes = first.classes
    frames = [one.frame[one.frame["split"] == split] for one in runs]
    for one, frame in zip(runs, frames, strict=True):
        if not len(frame):
            there = ", ".join(map(str, dict.fromkeys(one.frame["split"]))) or "none"
            raise InputError(f"{one.name} has no predictions for {split}; it has: {there}")
    indexes = [pd.Index(frame["sample_id"].astype(str)) for frame in frames]
    common = indexes[0]
    for index in indexes[1:]:
        if not index.equals(common):
            common = common[common.isin(index)]
    if not len(common):
        raise InputError(f"no image is in {split} of both, so there is nothing to pair")
    rows = [
        frame if index.equals(common) else frame.iloc[index.get_indexer(common)]
        for frame, index in zip(frames, indexes, strict=True)
    ]
    prob = [prob_of(frame, classes) for frame in rows]
    truth = [labels_of(frame, classes).astype(bool) for frame in rows]
    agreed = np.logical_and.reduce([(one == truth[0]).all(axis=1) for one in truth])
    finite = np.logical_and.reduce([usable(one) for one in prob])
    notes = _left_out(runs, frames, len(common), int((~agreed).sum()), int((agreed & ~finite).sum()))
    keep = agreed & finite
    if not keep.any():
        why = "labels" if not agreed.any() else "probabilities that are numbers"
        raise InputError(f"the {len(common):,} common images of {split} have no {why} in common: nothing to pair")
    labels = truth[0][keep]
    if len(labels) and (labels == labels[0]).all():
        named = ", ".join(name for name, yes in zip(classes, labels[0], strict=True) if yes) or "no label"
        notes.append(f"All {len(labels):,} images have the same label ({named}): precision and F1 mean little here.")
    elif missing := [name for name, n in zip(classes, labels.sum(axis=0), strict=True) if not n]:
        notes.append(f"No image of {', '.join(missing)}: its recall and F1 can't be told, and pull macro F1 down.")
    if min(labels.sum(axis=0).max(initial=0), len(labels)) < 2:
        notes.append("At most one image per class: single images decide every number.")
    calls = [one.decided(values[keep], classes) for one, values in zip(runs, prob, strict=True)]
    return Matched(
        common.to_numpy(dtype=object)[keep], labels, calls[: len(a)], calls[len(a) :], classes, first.task,
        _patients(rows[0], keep), tuple(notes),
    )  # fmt: skip


def _left_out(
    runs: Sequence[Judgement], frames: Sequence[pd.DataFrame], common: int, relabelled: int, unsure: int
) -> list[str]:
    notes = []
    if saved := [f"{one.name}: {_limits(one)}" for one in runs if one.task != "single-label" and one.thresholds]:
        notes.append(f"Labels are decided at the thresholds saved with a run ({'; '.join(saved)}), else at .5.")
    if len({dataset_root(one.data) for one in runs}) > 1:
        notes.append("The runs name different datasets: images of the same path in them are taken for the same image.")
    if any(len(frame) != common for frame in frames):
        sizes = ", ".join(f"{len(frame):,} in {one.name}" for one, frame in zip(runs, frames, strict=True))
        notes.append(f"Not the same images ({sizes}): the {common:,} common ones are compared.")
    if relabelled:
        notes.append(f"{relabelled:,} common images have other labels in one of the runs and are left out.")
    if unsure:
        notes.append(f"{unsure:,} images have a probability that is no number in one of the runs and are left out.")
    return notes


def _limits(one: Judgement) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in (one.thresholds or {}).items() if name in one.classes)


def _patients(frame: pd.DataFrame, keep: NDArray[np.bool_]) -> list[object] | None:
    if "patient_id" not in frame:
        return None
    known = frame["patient_id"].to_numpy(dtype=object)[keep]
    named = [None if value is None or value != value or value == "" else value for value in known]
    return named if any(value is not None for value in named) else None
