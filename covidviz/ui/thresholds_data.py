"""What a threshold is judged by: curves, the thresholds that costs choose among, the scores for the browser.

Read once per file version and shared by all sessions: leave as it is. Images whose probabilities are not numbers in
0..1 are left out everywhere here, and counted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from covidviz.evaluation.curves import auc_interval, curves, thinned
from covidviz.evaluation.metrics import usable
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.evaluation.thresholds import Choices, choices
from covidviz.store.reader import Run
from covidviz.ui import pictures
from covidviz.ui.results import SPLIT_TITLES, results, versions

__all__ = ["Drawn", "Scores", "binary", "choices_of", "drawn", "key", "left_out_sentence", "scores"]

MANY = 20_000  # images beyond which each one's file is not looked at

Version = tuple[int, int]
Versions = tuple[Version, Version, Version]


@dataclass(frozen=True)
class Scores:
    """One split: prob (as the browser gets it) and labels 0/1 [N, C] of the images `ids` that have probabilities;
    `left_out` more have none."""

    ids: list[str]
    prob: NDArray[np.float32]
    labels: NDArray[np.int64]
    left_out: int


def scores(run: Run, split: str) -> Scores:
    """The numbers of one split of `results(run)`."""
    return _scores(str(run.dir), split, versions(run))


@st.cache_resource(show_spinner=False, max_entries=12)
def _scores(folder: str, split: str, known: Versions) -> Scores:  # noqa: ARG001  the cache key
    found = results(Run(Path(folder)))
    if found is None:
        raise KeyError(split)
    rows = found.frame[found.frame["split"] == split]
    prob = prob_of(rows, found.classes)
    good = usable(prob)
    rows = rows[good]
    ids = rows["sample_id"].astype(str).tolist()
    return Scores(ids, prob[good].astype(np.float32), labels_of(rows, found.classes), int((~good).sum()))


def left_out_sentence(left_out: int, images: int) -> str:
    """What is missing where some images have no probabilities; empty where none has."""
    if not left_out:
        return ""
    return (
        f"{left_out:,} of {images:,} {'image' if images == 1 else 'images'} left out here: their probabilities are not "
        "numbers from 0 to 1, as after a training that diverged."
    )


@dataclass(frozen=True)
class Drawn:
    """The curves of one class, thinned for drawing: (x, y) each, None where there is none.

    auc, average_precision: of the whole curve, None where unknown; auc_ends: 95 % interval.
    positives, negatives: images. images: tells whether two runs were judged on the same ones with the same labels.
    """

    roc: tuple[list[float], list[float]] | None
    pr: tuple[list[float], list[float]] | None
    auc: float | None
    auc_ends: tuple[float, float] | None
    average_precision: float | None
    positives: int
    negatives: int
    images: str


def drawn(run: Run, split: str, name: str) -> Drawn | None:
    """The curves of the class `name`; None where the run has no predictions, no such split or no such class."""
    return _drawn(str(run.dir), split, name, versions(run))


@st.cache_resource(show_spinner=False, max_entries=128)
def _drawn(folder: str, split: str, name: str, known: Versions) -> Drawn | None:  # noqa: ARG001
    run = Run(Path(folder))
    found = results(run)
    if found is None or split not in found.splits or name not in found.classes:
        return None
    of = scores(run, split)
    k = found.classes.index(name)
    prob, labels = of.prob[:, k], of.labels[:, k]
    whole = curves(prob, labels)
    both = whole.positives > 0 and whole.negatives > 0
    return Drawn(
        roc=_line(whole.fpr, whole.recall) if both else None,
        pr=_line(whole.recall[1:], whole.precision[1:]) if whole.positives else None,
        auc=whole.auc,
        auc_ends=auc_interval(prob, labels),
        average_precision=whole.average_precision,
        positives=whole.positives,
        negatives=whole.negatives,
        images=_fingerprint(of.ids, labels),
    )


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    at = thinned(x, y)
    return [round(float(v), 4) for v in x[at]], [round(float(v), 4) for v in y[at]]


def _fingerprint(ids: list[str], labels: NDArray[np.int64]) -> str:
    pairs = sorted(zip(ids, labels.tolist(), strict=True))
    return hashlib.blake2s(repr(pairs).encode(), digest_size=8).hexdigest()


def choices_of(run: Run, name: str) -> Choices | None:
    """What a cost can choose among on the validation images; None where there are none."""
    return _choices(str(run.dir), name, versions(run))


@st.cache_resource(show_spinner=False, max_entries=64)
def _choices(folder: str, name: str, known: Versions) -> Choices | None:  # noqa: ARG001
    run = Run(Path(folder))
    found = results(run)
    if found is None or "val" not in found.splits or name not in found.classes:
        return None
    of, k = scores(run, "val"), found.classes.index(name)
    return choices(of.prob[:, k], of.labels[:, k]) if len(of.prob) else None


# --- for the browser


def key(run: Run, split: str) -> str:
    """A short text that changes whenever what `binary` gives does."""
    return hashlib.blake2s(repr((split, versions(run))).encode(), digest_size=6).hexdigest()


def binary(run: Run, split: str) -> bytes | None:
    """The scores of one split, from which a browser computes everything that follows from a threshold.

    Returns:
        Little endian: uint32 length of the head; the head, JSON, filled with spaces to a multiple of 4 bytes: `ids` and
        `v` (content key of each picture, None where the image is missing); float32 prob [N, C]; uint8 labels [N, C].
        None for a run without results, or another split.
    """
    found = results(run)
    if found is None or split not in SPLIT_TITLES or split not in found.splits:
        return None
    of = scores(run, split)
    few = len(of.ids) <= MANY
    v = [pictures.file_key(run, name) for name in of.ids] if few else [key(run, split)] * len(of.ids)
    head = json.dumps({"ids": of.ids, "v": v}).encode()
    head += b" " * (-len(head) % 4)
    parts = [np.array([len(head)], dtype="<u4").tobytes(), head, of.prob.astype("<f4").tobytes()]
    return b"".join([*parts, of.labels.astype(np.uint8).tobytes()])
