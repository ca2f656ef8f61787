"""A report with what a finished run did on the same images beside it. Light: no scikit-learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidviz.data.doctor.groups import ATTRIBUTES, SHOWN, bands
from covidviz.data.doctor.guess import area
from covidviz.data.doctor.report import Check, Report
from covidviz.errors import DataError
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.ranking import judged, labels_of, prob_of
from covidviz.store.reader import Run

__all__ = ["with_run"]

_SHORTCUTS = ("file-traits", "source-shortcut", "thumbnail-shortcut", "lungs-blanked")


def with_run(report: Report, run_dir: Path, split: str | None = None) -> Report:
    """The report with a run's AUC in the details of the shortcut checks (`model`) and its hits in `subgroups`.

    Args:
        split: of the run's predictions; by default test where there is one, else val. Training images say nothing.

    Raises:
        DataError: the run has no predictions, or none on images of the report's dataset.
    """
    run = Run(run_dir)
    config, samples, predictions = run.config(), run.samples(), run.predictions()
    if config is None or samples.empty or predictions.empty:
        raise DataError(f"run {run_dir.name} has no predictions")
    named = [str(column) for column in samples if str(column).startswith("label_")]
    classes = tuple(config.classes) or tuple(name.removeprefix("label_") for name in named)
    frame = judged(samples, predictions, classes, config.task)
    splits = set(frame["split"])
    chosen = split or ("test" if "test" in splits else "val")
    frame = frame[frame["split"] == chosen]
    if frame.empty:
        raise DataError(f"run {run_dir.name} has no predictions on split {chosen}")
    prob, labels = prob_of(frame, classes), labels_of(frame, classes).astype(np.int8)
    fine = np.isfinite(prob).all(1)
    found = area(prob[fine], labels[fine], _patients(frame)[fine], classes) if fine.any() else None
    model: dict[str, Any] = {"run_id": run_dir.name, "split": chosen, "n": int(fine.sum()), "auc": None}
    if found is not None:
        model |= found.details()
    groups = {name: table for name in ATTRIBUTES if (table := _hits(frame, name)) is not None}
    return dataclasses.replace(
        report, checks=tuple(_beside(check, model, groups, chosen) for check in report.checks)
    )  # fmt: skip


def _beside(check: Check, model: dict[str, Any], groups: dict[str, Any], split: str) -> Check:
    if check.id in _SHORTCUTS:
        said = ""
        if model["auc"] is not None and check.details.get("auc") is not None:
            said = f" Run {model['run_id']} has {model['auc']:.2f} on {split}.".replace(" 0.", " .")
        return dataclasses.replace(check, summary=check.summary + said, details={**check.details, "model": model})
    if check.id == "subgroups":
        run = {"run_id": model["run_id"], "split": split, "groups": groups}
        return dataclasses.replace(check, details={**check.details, "run": run})
    return check


def _hits(frame: pd.DataFrame, name: str) -> dict[str, Any] | None:
    """Per value of an attribute: n, how many are right, their share and its Wilson interval."""
    if name not in frame or frame[name].isna().all():
        return None
    text = frame[name].astype("str").where(frame[name].notna(), "")
    values = np.array(bands(text.tolist()) if name == "age" else text.tolist(), object)
    right = frame["right"].to_numpy(bool)
    kinds, counts = np.unique(values.astype(str), return_counts=True)
    told = {}
    for value in kinds[np.argsort(-counts, kind="stable")][:SHOWN]:
        at = values == value
        n, hits = int(at.sum()), int(right[at].sum())
        low, high = wilson(hits, n)
        told[str(value) or "unknown"] = {
            "n": n, "right": hits, "accuracy": round(hits / n, 4), "low": round(low, 4), "high": round(high, 4)
        }  # fmt: skip
    return told


def _patients(frame: pd.DataFrame) -> NDArray[np.intp]:
    ids = frame["sample_id"].astype("str")
    if "patient_id" in frame:
        ids = ("p" + frame["patient_id"].astype("str")).where(frame["patient_id"].notna(), ids)
    return np.unique(ids.to_numpy(str), return_inverse=True)[1].reshape(-1)
