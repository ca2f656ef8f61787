"""Recall, precision and F1 of each class as a table, with the interval of each share drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from covidviz.evaluation.intervals import wilson
from covidviz.ui.components import component

__all__ = ["Share", "class_rows", "scores"]

_scores = component("scores", '<div class="scores cv"></div>')


class Share(TypedDict):
    """A proportion `k` of `n` and its 95 % Wilson interval, all in 0..1; `value` is None where `n` is 0."""

    value: float | None
    low: float
    high: float
    k: int
    n: int


def class_rows(confusion: dict[str, Any], classes: Sequence[str], task: str) -> list[dict[str, Any]]:
    """One row per class: `name`, `images` (support), `recall` and `precision` (`Share`), `f1` in 0..1 or None.

    Args:
        confusion: the document of `covidviz.evaluation.metrics.confusion`.
    """
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
        rows.append(
            {"name": name, "images": true, "recall": _share(hits, true), "precision": _share(hits, said), "f1": f1}
        )
    return rows


def _share(k: int, n: int) -> Share:
    low, high = wilson(k, n)
    return {"value": k / n if n else None, "low": round(low, 4), "high": round(high, 4), "k": k, "n": n}


def scores(rows: list[dict[str, Any]], *, critical: str | None, key: str) -> None:
    """Draw the rows of `class_rows`. A click on a column's head sorts, in the browser.

    Args:
        critical: the class that must not be missed; it is marked.
    """
    _scores(key=key, data={"rows": rows, "critical": critical})
