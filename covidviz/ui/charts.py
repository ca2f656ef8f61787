"""Figures of a run as Plotly's JSON, from frames. Plain dicts: building them costs no Plotly import and no checking.

Colours are theme names (`@0` class colour 0, `@text`, `@border`) that `covidviz.ui.components.plot` fills in. Train and
validation differ by line and marker, not by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from covidviz.ui.metric_names import PER_CLASS, metric_name

__all__ = ["LINES", "loss_figure", "lr_figure", "measures", "metric_figure"]

Figure = dict[str, Any]
LINES = {
    "train": {"dash": "solid", "symbol": "circle", "name": "train"},
    "val": {"dash": "dash", "symbol": "diamond-open", "name": "validation"},
}
MAX_MARKERS = 40  # more would hide the lines
MAX_POINTS = 400  # a curve is resent at each refresh


def measures(metrics: pd.DataFrame, classes: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """What can be drawn over the epochs: title to (column, name of the curve), in the order to offer it."""
    overall = ("macro_f1", "accuracy", "label_accuracy", "exact_match", "micro_f1")
    offered = {_title(metric_name(key)): [(key, metric_name(key))] for key in overall if key in metrics}
    for kind, name in PER_CLASS.items():
        offered[f"{_title(name)} of each class"] = [(f"{kind}_{c}", c) for c in classes if f"{kind}_{c}" in metrics]
    return {title: curves for title, curves in offered.items() if curves}


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]


def loss_figure(
    metrics: pd.DataFrame, steps: pd.DataFrame, *, epochs: int, steps_per_epoch: float, best: int | None = None
) -> Figure:
    """Loss by epoch, with the loss of single steps behind it so that something moves within the first epoch.

    Args:
        metrics: `epoch`, `split`, `loss`.
        steps: `step` (from 1), `loss`.
        epochs: of the whole run, for the width of the axis.
        steps_per_epoch: to place steps on the axis of epochs.
        best: epoch to mark.
    """
    traces = []
    if len(steps) and "loss" in steps:
        thin = steps.iloc[:: max(1, math.ceil(len(steps) / MAX_POINTS))]
        place = (thin["step"].astype(float) / max(steps_per_epoch, 1)).round(4)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "steps",
                "showlegend": False,
                "x": place.tolist(),
                "y": _values(thin["loss"]),
                "line": {"color": "@border", "width": 1.5},
                "hovertemplate": "epoch %{x:.2f}: %{y:.4f}<extra>step</extra>",
            }
        )
    traces += [_curve(metrics, split, "loss", LINES[split]["name"], 0 if split == "train" else 1) for split in LINES]
    traces += _best_marks(metrics, ["loss"], best)
    return _figure(traces, epochs, best, rangemode="tozero")


def metric_figure(
    metrics: pd.DataFrame, curves: Sequence[tuple[str, str]], *, epochs: int, best: int | None = None
) -> Figure:
    """Metrics in 0..1 by epoch, for train and validation.

    Args:
        curves: (column, name); several get the class colours, in this order.
    """
    traces = []
    for i, (column, name) in enumerate(curves):
        for split in LINES:
            several = len(curves) > 1
            title = f"{name}, {LINES[split]['name']}" if several else LINES[split]["name"]
            traces.append(_curve(metrics, split, column, title, i if several else (0 if split == "train" else 1)))
    traces += _best_marks(metrics, [column for column, _ in curves], best)
    return _figure(traces, epochs, best, range=[-0.02, 1.02])


def lr_figure(metrics: pd.DataFrame, steps: pd.DataFrame, *, epochs: int, steps_per_epoch: float) -> Figure:
    """The learning rate, by step where it is known, else by epoch."""
    if len(steps) and "lr" in steps:
        thin = steps.iloc[:: max(1, math.ceil(len(steps) / MAX_POINTS))]
        x, y = (thin["step"].astype(float) / max(steps_per_epoch, 1)).round(4).tolist(), _values(thin["lr"])
    else:
        rows = metrics[metrics["split"] == "train"]
        x, y = rows["epoch"].tolist(), _values(rows["lr"]) if "lr" in rows else []
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "learning rate",
        "x": x,
        "y": y,
        "showlegend": False,
        "line": {"color": "@2", "width": 2.5},
        "hovertemplate": "epoch %{x:.2f}: %{y:.3g}<extra></extra>",
    }
    return _figure([trace], epochs, None, ticks=5, rangemode="tozero")


def _curve(metrics: pd.DataFrame, split: str, column: str, name: str, colour: int) -> Figure:
    rows = metrics[metrics["split"] == split] if column in metrics else metrics.iloc[:0]
    look = LINES[split]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(rows) <= MAX_MARKERS else "lines",
        "name": name,
        "x": rows["epoch"].astype(int).tolist(),
        "y": _values(rows[column]) if len(rows) else [],
        "line": {"color": f"@{colour}", "width": 2.5, "dash": look["dash"]},
        "marker": {"color": f"@{colour}", "size": 7, "symbol": look["symbol"]},
        "hovertemplate": "%{y:.4f}",
    }


def _best_marks(metrics: pd.DataFrame, columns: Sequence[str], best: int | None) -> list[Figure]:
    """A star on each validation curve at the best epoch."""
    rows = metrics[(metrics["split"] == "val") & (metrics["epoch"] == best)]
    if best is None or not len(rows):
        return []
    values = [value for column in columns if column in rows for value in _values(rows[column].iloc[:1])]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"best: {best}",
            "x": [best] * len(values),
            "y": values,
            "marker": {"color": "@text", "size": 14, "symbol": "star", "line": {"color": "@back", "width": 1}},
            "hoverinfo": "skip",
        }
    ]


def _values(column: pd.Series) -> list[float | None]:
    return [round(float(v), 6) if math.isfinite(v) else None for v in column]


def _round_up(step: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    power = 10 ** max(0, math.floor(math.log10(max(step, 1))))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= step)


def _figure(traces: list[Figure], epochs: int, best: int | None, *, ticks: int = 10, **yaxis: Any) -> Figure:
    layout: Figure = {
        "margin": {"l": 44, "r": 8, "t": 30, "b": 40},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}, "itemwidth": 30},
        "xaxis": {
            "title": {"text": "epoch", "standoff": 4, "font": {"size": 14}},
            "range": [0, max(1, epochs) * 1.02],
            "zeroline": False,
            "dtick": _round_up(epochs / ticks),
            "tickangle": 0,
            "hoverformat": ".2~f",
        },
        "yaxis": {"zeroline": False, "nticks": 6, "automargin": True, "exponentformat": "e", **yaxis},
    }
    if best is not None:
        layout["shapes"] = [
            {
                "type": "line",
                "x0": best,
                "x1": best,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "layer": "below",
                "line": {"color": "@text", "width": 1.5, "dash": "dot"},
            }
        ]
    return {"data": traces, "layout": layout}
