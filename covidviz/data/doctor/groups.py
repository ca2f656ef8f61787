"""The check `subgroups`: classes within source, view, sex and age band, and a run's hits there."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.dataset import Dataset
from covidviz.data.doctor.report import Check

__all__ = ["ATTRIBUTES", "bands", "subgroups"]

ATTRIBUTES = ("source", "view", "sex", "age")
SHOWN = 24  # values of one attribute; the others are told together
TIED = ((0.2, "note"), (0.35, "warn"))
_BANDS = ((0, 18), (18, 40), (40, 60), (60, 75), (75, 130))


def bands(ages: list[str]) -> list[str]:
    """Age bands such as `40 to 59` of ages as text (`047Y`, `47`, `47.0`); empty where unknown."""
    told = []
    for text in ages:
        found = re.fullmatch(r"\s*0*(\d{1,3})(?:\.\d+)?\s*(y|years?)?\s*", text, re.IGNORECASE)
        age = int(found[1]) if found else -1
        told.append(next((f"{low} to {high - 1}" if high < 130 else f"{low} and over" for low, high in _BANDS
                          if low <= age < high), ""))  # fmt: skip
    return told


def subgroups(data: Dataset) -> Check:
    """Supports by class, and how closely each attribute is tied to the class (Cramer's V, 0 to 1)."""
    groups: dict[str, dict[str, Any]] = {}
    tied: dict[str, float] = {}
    for name in ATTRIBUTES:
        values = data.column(name)
        if values is None:
            continue
        values = bands(values) if name == "age" else values
        known = np.array([bool(value) for value in values])
        if len(set(values) - {""}) < 2 or known.sum() < 20:
            continue
        groups[name] = _counted(data, values)
        tied[name] = _cramer(np.array(values, object)[known].astype(str), data.labels[known])
    details: dict[str, Any] = {"groups": groups, "tied": {name: round(value, 4) for name, value in tied.items()}}
    if not groups:
        return Check(
            "subgroups", "ok", "No groups are known: labels.csv has no source, view, sex or age.", details=details
        )
    severity, strong = "ok", []
    for limit, named in TIED:
        if any(value >= limit for value in tied.values()):
            severity = named
    strong = [name for name, value in sorted(tied.items(), key=lambda one: -one[1]) if value >= TIED[0][0]]
    summary = (
        f"Classes are unequal over {' and '.join(strong)} (Cramer's V {', '.join(f'{tied[n]:.2f}' for n in strong)})."
        if strong
        else f"Classes are alike over {' and '.join(groups)}."
    )
    empty = [
        (name, value, one)
        for name in strong
        for value, row in groups[name].items()
        for one, n in row["per_class"].items()
        if n == 0 and row["n"] >= 20
    ]
    if empty:
        name, value, one = empty[0]
        more = f", and {len(empty) - 1} more gaps" if len(empty) > 1 else ""
        summary += f" There is no {one} with {name} {value}{more}."
    return Check(
        "subgroups", severity, summary,
        "Where a group has mostly one class, a network may learn the group; a score over all images then hides how it "
        "does within one.",
        "Read the scores within each group, with their number and interval." if strong else "",
        len(strong), [], details,
    )  # fmt: skip


def _counted(data: Dataset, values: list[str]) -> dict[str, Any]:
    names, number, counts = np.unique(
        np.array(values, object).astype(str), return_inverse=True, return_counts=True
    )  # fmt: skip
    kept = [int(i) for i in np.argsort(-counts, kind="stable") if names[i]][:SHOWN]
    told = {str(names[i]): _row(data, number.reshape(-1) == i) for i in kept}
    rest = ~np.isin(number.reshape(-1), kept)
    if rest.any():
        told["other or unknown"] = _row(data, rest)
    return told


def _row(data: Dataset, at: NDArray[np.bool_]) -> dict[str, Any]:
    per_class = data.labels[at].sum(0, dtype=int).tolist()
    return {"n": int(at.sum()), "per_class": dict(zip(data.classes, per_class, strict=True))}


def _cramer(values: NDArray[np.str_], labels: NDArray[np.int8]) -> float:
    """Cramer's V between values and sets of labels, bias corrected (W. Bergsma, J. Korean Stat. Soc. 42 (2013) 323)."""
    row = np.unique(values, return_inverse=True)[1].reshape(-1)
    column = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    table = np.zeros((row.max() + 1, column.max() + 1))
    np.add.at(table, (row, column), 1)
    n, (r, c) = float(table.sum()), table.shape
    if n < 2 or min(r, c) < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    phi = max(0.0, float(((table - expected) ** 2 / expected).sum() / n) - (r - 1) * (c - 1) / (n - 1))
    fair = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return math.sqrt(phi / fair) if fair > 0 else 0.0
