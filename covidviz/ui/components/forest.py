"""The metrics of two sides as a table, with the interval of each difference drawn around 0, and each run as a dot."""

from __future__ import annotations

from typing import Any

from covidviz.evaluation.metric_names import metric_name
from covidviz.evaluation.paired import Paired
from covidviz.evaluation.seeds import deviation
from covidviz.ui.components import component

__all__ = ["forest", "forest_rows"]

_forest = component("forest", '<div class="forest cv"></div>', parts=("wide",))


def forest_rows(paired: Paired) -> list[dict[str, Any]]:
    """One row per metric: `name`, values and interval of `Difference`, `a_sd` and `b_sd` (None of one run).

    `first`: shown at once (overall metrics and recalls); `known`: there are images to measure it on; `n`: how many
    have the class, of a recall.
    """
    rows = []
    for key, one in paired.metrics.items():
        kind, _, label = key.partition("_")
        of_class = label if kind in ("recall", "precision", "f1") and label in paired.recalls else None
        if key == "micro_f1":
            continue  # accuracy once more, or hardly anybody's question
        support = paired.recalls[of_class][0] if of_class else paired.n
        name = metric_name(key)
        rows.append({
            "name": name[:1].upper() + name[1:], "a": one.a, "b": one.b, "diff": one.diff, "low": one.low,
            "high": one.high, "a_runs": list(one.a_runs), "b_runs": list(one.b_runs), "a_sd": deviation(one.a_runs),
            "b_sd": deviation(one.b_runs), "first": of_class is None or kind == "recall", "known": support > 0,
            "n": support if kind == "recall" else None,
        })  # fmt: skip
    return sorted(rows, key=lambda row: not row["first"])


def forest(rows: list[dict[str, Any]], *, a: str, b: str, key: str) -> None:
    """Draw the rows of `forest_rows`; `a` and `b` name the columns."""
    _forest(key=key, data={"rows": rows, "a": a, "b": b})
