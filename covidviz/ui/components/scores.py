"""Recall, precision and F1 of each class as a table, with the interval of each drawn."""

from __future__ import annotations

from typing import Any

from covidviz.ui.components import component

__all__ = ["scores"]

_scores = component("scores", '<div class="scores cv"></div>')


def scores(rows: list[dict[str, Any]], *, critical: str | None, key: str, intervals: bool = True) -> None:
    """Draw the rows of `class_rows`. A click on a column's head sorts, in the browser.

    Args:
        critical: the class that must not be missed; it is marked.
        intervals: show the intervals; they are in the tooltips anyway.
    """
    _scores(key=key, data={"rows": rows, "critical": critical, "intervals": intervals})
