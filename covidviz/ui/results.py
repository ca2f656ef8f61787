"""What a finished run said about each image, read once per file version. Shared by all sessions: leave as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.evaluation.bootstrap import Interval, intervals
from covidviz.evaluation.metrics import classification_metrics, confusion
from covidviz.evaluation.ranking import judged, labels_of, prob_of
from covidviz.store import layout
from covidviz.store.reader import Run

__all__ = ["SPLIT_TITLES", "Measured", "Results", "Spread", "Version", "measured", "results", "spread", "versions"]

SPLIT_TITLES = {"val": "Validation", "test": "Test", "train": "Train"}  # in the order to offer them

Version = tuple[int, int]


@dataclass(frozen=True)
class Results:
    """`frame` of `covidviz.evaluation.ranking.judged`; images per split, in the order to offer the splits."""

    frame: pd.DataFrame
    classes: tuple[str, ...]
    task: str
    critical: str | None
    splits: dict[str, int]


def results(run: Run) -> Results | None:
    """The judged predictions of a run; None until it is completed, or where its files don't fit together."""
    return _results(str(run.dir), *versions(run))


def versions(run: Run) -> tuple[Version, Version, Version]:
    """Changes whenever what `results` gives may."""
    return run.version(layout.CONFIG), run.version(layout.SAMPLES), run.version(layout.PREDICTIONS)


@st.cache_resource(show_spinner=False, max_entries=16)
def _results(folder: str, config: Version, samples: Version, predictions: Version) -> Results | None:  # noqa: ARG001
    run = Run(Path(folder))
    settings, known, said = run.config(), run.samples(), run.predictions()
    if settings is None or known is None or said is None or not len(said):
        return None
    classes = settings.classes
    needed = {*(f"label_{name}" for name in classes), "sample_id", "path", "split"}
    if (
        not classes
        or not needed <= set(known)
        or not {*(f"prob_{name}" for name in classes), "sample_id", "split", "loss"} <= set(said)
    ):
        return None
    try:
        frame = judged(known, said, classes, settings.task)
    except (ValueError, TypeError):  # ids that are not unique, columns of text
        return None
    found = frame["split"].value_counts()
    splits = {name: int(found[name]) for name in SPLIT_TITLES if found.get(name, 0)}
    return Results(frame, classes, settings.task, settings.critical_class, splits) if splits else None


def _rows(
    folder: str, split: str, config: Version, samples: Version, predictions: Version
) -> tuple[Results, pd.DataFrame]:
    """The results of a run, and those of their rows that are of one split."""
    found = _results(folder, config, samples, predictions)
    if found is None:
        raise KeyError(split)
    return found, found.frame[found.frame["split"] == split]


@dataclass(frozen=True)
class Measured:
    """One split: the `confusion` document, the metrics of the contract, images per class."""

    confusion: dict[str, Any]
    metrics: dict[str, float]
    support: dict[str, int]


def measured(run: Run, split: str) -> Measured:
    """The numbers of one split of `results(run)`."""
    return _measured(str(run.dir), split, *versions(run))


@st.cache_resource(show_spinner=False, max_entries=48)
def _measured(folder: str, split: str, config: Version, samples: Version, predictions: Version) -> Measured:
    found, rows = _rows(folder, split, config, samples, predictions)
    prob, labels = prob_of(rows, found.classes), labels_of(rows, found.classes)
    return Measured(
        confusion(prob, labels, found.classes, found.task),
        classification_metrics(prob, labels, found.classes, found.task, rows["loss"].to_numpy()),
        {name: int(n) for name, n in zip(found.classes, labels.sum(axis=0), strict=True)},
    )


@dataclass(frozen=True)
class Spread:
    """How far the metrics of one split could lie elsewhere by chance: bootstrap intervals by name.

    patients: how many were drawn, with all their images; None where images were, as no patients are known.
    """

    intervals: dict[str, Interval]
    patients: int | None


def spread(run: Run, split: str) -> Spread:
    """The intervals of one split of `results(run)`."""
    return _spread(str(run.dir), split, *versions(run))


@st.cache_resource(show_spinner=False, max_entries=48)
def _spread(folder: str, split: str, config: Version, samples: Version, predictions: Version) -> Spread:
    found, rows = _rows(folder, split, config, samples, predictions)
    patients = rows["patient_id"].where(rows["patient_id"] != "") if "patient_id" in rows else None
    if patients is not None and not patients.notna().any():
        patients = None
    prob, labels = prob_of(rows, found.classes), labels_of(rows, found.classes)
    return Spread(
        intervals(prob, labels, found.classes, found.task, clusters=None if patients is None else patients.tolist()),
        None if patients is None else int(patients.nunique() + patients.isna().sum()),
    )
