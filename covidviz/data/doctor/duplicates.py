"""The checks `exact-duplicates` and `near-duplicates`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covidviz.data.doctor.dataset import Dataset, plural
from covidviz.data.doctor.report import LISTED, Check
from covidviz.data.doctor.twins import SAME, Twin

__all__ = ["exact_duplicates", "exact_pairs", "leaked", "near_duplicates", "severity_of_leak"]

MUCH = 0.01  # share of the images that judge a model from which a leak is bad

REMEDY = (
    "Keep one picture of each pair, or give both to the same split; till then read the scores on the images that are "
    "not concerned."
)


def exact_pairs(data: Dataset) -> list[tuple[int, int]]:
    """Each later image with the first that shows the same pixels: first in split order, then in row order."""
    first: dict[str, int] = {}
    pairs = []
    pixels = data.looks.files["pixels"].tolist()
    for row in np.argsort(data.splits, kind="stable").tolist():
        if not pixels[row]:
            continue
        if (other := first.setdefault(pixels[row], row)) != row:
            pairs.append((other, row))
    return pairs


def exact_duplicates(data: Dataset, pairs: Sequence[tuple[int, int]]) -> Check:
    """The same file, or another file with the same pixels, more than once."""
    digests = data.looks.files["digest"].tolist()
    rows: list[dict[str, Any]] = [
        {
            "splits": [data.split(a), data.split(b)],
            "labels": [data.label_of(a), data.label_of(b)],
            "what": "same file" if digests[a] == digests[b] else "same pixels in another file",
        }
        for a, b in pairs
    ]
    return _check(
        data, "exact-duplicates", pairs, rows, "picture", "is there twice", "are there twice",
        "No picture is there twice.", {"same_file": sum(row["what"] == "same file" for row in rows)},
    )  # fmt: skip


def near_duplicates(data: Dataset, twins: Sequence[Twin]) -> Check:
    """The same radiograph in another crop, size, contrast, or mirrored."""
    pairs = [(twin.a, twin.b) if data.splits[twin.a] <= data.splits[twin.b] else (twin.b, twin.a) for twin in twins]
    rows: list[dict[str, Any]] = [
        {
            "splits": [data.split(a), data.split(b)],
            "labels": [data.label_of(a), data.label_of(b)],
            "what": "mirrored" if twin.mirrored else "another version",
            "correlation": round(twin.alike, 4),
        }
        for (a, b), twin in zip(pairs, twins, strict=True)
    ]
    return _check(
        data, "near-duplicates", pairs, rows, "radiograph", "is there in two versions", "are there in two versions",
        "No radiograph is there in two versions.",
        {"threshold": SAME, "mirrored": sum(twin.mirrored for twin in twins)},
    )  # fmt: skip


def _check(
    data: Dataset,
    id: str,
    pairs: Sequence[tuple[int, int]],
    rows: list[dict[str, Any]],
    what: str,
    one: str,
    many: str,
    none: str,
    details: dict[str, object],
) -> Check:
    if not pairs:
        return Check(id, "ok", none, details=details)
    across = [i for i, (a, b) in enumerate(pairs) if data.splits[a] != data.splits[b]]
    differ = sum(row["labels"][0] != row["labels"][1] for row in rows)
    leaks = leaked(data, pairs)
    severity = severity_of_leak(data, len(leaks)) if across else "warn" if differ else "note"
    summary = f"{plural(len(pairs), what)} {one if len(pairs) == 1 else many}"
    summary += f", {len(across):,} of them across splits" if across else ", all within one split"
    summary += f"; {differ:,} with different labels." if differ else "."
    meaning = (
        "A model has seen these images in training when it is judged on them: its scores are too good. "
        if across
        else "Within one split a picture that is there twice counts twice; the scores stay honest. "
    )
    if differ:
        meaning += "Where the labels differ, one of the two is wrong."
    order = sorted(range(len(pairs)), key=lambda i: i not in set(across))[:LISTED]
    return Check(
        id, severity, summary, meaning.strip(), REMEDY, len(pairs),
        [[data.paths[a] for a in pairs[i]] for i in order],
        {**details, "across_splits": len(across), "labels_differ": differ, "leaked": len(leaks),
         "rows": [rows[i] for i in order]},
    )  # fmt: skip


def leaked(data: Dataset, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Rows of val and test that are paired with an image of an earlier split."""
    return sorted({max(pair, key=lambda row: data.splits[row]) for pair in pairs if len(set(data.splits[[*pair]])) > 1})


def severity_of_leak(data: Dataset, n: int) -> str:
    """`bad` from 1 % of the images that judge a model, else `warn`."""
    return "bad" if n >= MUCH * max(data.evaluated, 1) else "warn"
