"""Recall, precision and F1 of each class with the interval of each, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from covidviz.evaluation.bootstrap import Interval
from covidviz.evaluation.intervals import wilson

__all__ = ["Share", "class_rows"]


class Share(TypedDict):
    """A number in 0..1 and its 95 % interval; `value` is None where it is of no image, the ends where they are unknown.

    how: the counts behind it, in words, or empty; kind: of the interval, in words.
    """

    value: float | None
    low: float | None
    high: float | None
    how: str
    kind: str


def class_rows(
    confusion: dict[str, Any],
    classes: Sequence[str],
    task: str,
    intervals: Mapping[str, Interval] | None = None,
    patients: int | None = None,
) -> list[dict[str, Any]]:
    """One row per class: `name`, `images` (support); `recall`, `precision` and `f1`, a `Share` each.

    Args:
        confusion: the document of `covidviz.evaluation.metrics.confusion`.
        intervals: of `covidviz.evaluation.bootstrap.intervals`, for F1.
        patients: how many of them these drew; None where images were drawn.
    """
    drawn = "bootstrap over the images" if patients is None else f"bootstrap over {patients:,} patients"
    rows = []
    for k, name in enumerate(classes):
        if task == "single-label":
            hits = int(confusion["matrix"][k][k])
            true, said = int(sum(confusion["matrix"][k])), int(sum(row[k] for row in confusion["matrix"]))
        else:
            counts = confusion[name]
            hits, true, said = (
                int(n) for n in (counts["tp"], counts["tp"] + counts["fn"], counts["tp"] + counts["fp"])
            )
        f1 = 2 * hits / (true + said) if true + said else None
        ends = (intervals or {}).get(f"f1_{name}")
        # A bootstrap without any spread has seen too little to tell, not everything.
        known = f1 is not None and ends is not None and ends.low < ends.high
        rows.append(
            {
                "name": name,
                "images": true,
                "recall": _share(hits, true),
                "precision": _share(hits, said),
                "f1": Share(
                    value=f1,
                    low=round(ends.low, 4) if known and ends else None,
                    high=round(ends.high, 4) if known and ends else None,
                    how="",
                    kind=drawn,
                ),
            }
        )
    return rows


def _share(k: int, n: int) -> Share:
    low, high = wilson(k, n)
    return Share(
        value=k / n if n else None, low=round(low, 4), high=round(high, 4), how=f"{k:,} of {n:,}", kind="Wilson"
    )
