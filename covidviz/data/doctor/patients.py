"""The check `patient-overlap`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.dataset import Dataset, percent, plural
from covidviz.data.doctor.duplicates import severity_of_leak
from covidviz.data.doctor.report import LISTED, Check, Sample
from covidviz.data.layouts import SPLITS

__all__ = ["leaked_by_patient", "patient_overlap"]

SHOWN = 6  # images of one patient


def leaked_by_patient(data: Dataset) -> list[int]:
    """Rows whose patient also has images in an earlier split."""
    first = np.full(data.patients.max(initial=-1) + 1, len(SPLITS))
    np.minimum.at(first, data.patients, data.splits)
    return np.flatnonzero(data.splits > first[data.patients]).tolist()


def patient_overlap(data: Dataset) -> Check:
    """Patients who have images in more than one split."""
    ids = data.column("patient_id")
    if ids is None:
        return Check(
            "patient-overlap", "note", "Whether patients are in more than one split can't be told: patient_id is "
            "missing.", "Two pictures of one patient look alike; across splits they make scores too good.",
            "Add a column patient_id to labels.csv if it is known.",
            details={"known": 0, "patients": None, "leaked": 0},
        )  # fmt: skip
    unknown = sum(not one for one in ids)
    leaks = leaked_by_patient(data)
    number = {patient: ids[row] for row, patient in enumerate(data.patients.tolist()) if ids[row]}
    doubtful = {int(data.patients[row]) for row in leaks}
    found: list[tuple[int, NDArray[np.intp]]] = []
    for patient in sorted(doubtful):
        rows = np.flatnonzero(data.patients == patient) if len(found) < LISTED else np.array([], np.intp)
        found.append((patient, rows))
    gap = f" {plural(unknown, 'image')} without patient_id could not be checked." if unknown else ""
    details: dict[str, object] = {
        "known": data.n - unknown, "unknown": unknown, "patients": len(number), "leaked": len(leaks)
    }  # fmt: skip
    if not found:
        return Check(
            "patient-overlap", "note" if unknown > 0.05 * data.n else "ok",
            f"None of {plural(len(number), 'patient')} is in more than one split.{gap}", details=details,
        )  # fmt: skip
    samples: list[Sample] = []
    told: list[dict[str, Any]] = []
    for patient, rows in found[:LISTED]:
        # One image of each split first, so that the overlap is seen.
        firsts = [int(rows[data.splits[rows] == split][0]) for split in np.unique(data.splits[rows])]
        rest = [int(row) for row in rows if int(row) not in firsts]
        samples.append([data.paths[row] for row in (firsts + rest)[:SHOWN]])
        counts = {SPLITS[split]: int((data.splits[rows] == split).sum()) for split in np.unique(data.splits[rows])}
        told.append({"patient": number[patient], "splits": counts})
    evaluated = percent(len(leaks) / max(data.evaluated, 1))
    return Check(
        "patient-overlap", severity_of_leak(data, len(leaks)),
        f"{plural(len(found), 'patient')} of {len(number):,} {'is' if len(found) == 1 else 'are'} in more than one "
        f"split; {plural(len(leaks), 'image')} of val and test ({evaluated}) "
        f"{'shows' if len(leaks) == 1 else 'show'} someone from an earlier split.{gap}",
        "A model can recognise a patient's build instead of the disease: its scores are too good.",
        "Use a split that keeps patients together (the column split of labels.csv, or empty splits, which are then "
        "drawn by patient), or read the scores on the other images.",
        len(found), samples, {**details, "rows": told},
    )  # fmt: skip
