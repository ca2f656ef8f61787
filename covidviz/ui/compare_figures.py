"""The curves of several runs in one figure: loss above, a metric below, one legend for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from covidviz.ui.charts import plotly_text

__all__ = ["Curves", "curves_figure"]

POINTS = 12_000  # of a whole figure: beyond, drawing takes longer than a refresh
LEAST_POINTS, MOST_POINTS, MAX_MARKERS = 40, 400, 12
COLOURS = 8  # of the theme; the markers tell further runs apart
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "star")
CLOSE = 4  # runs beyond which a box with all values hides the curves


@dataclass(frozen=True)
class Curves:
    """One run: its `number` from 1, its title, and its metrics (`epoch`, `split`, a column per metric)."""

    run_id: str
    number: int
    title: str
    metrics: pd.DataFrame


def _name(text: str) -> str:
    """`text` as a name in a figure of ours, where a leading @ would be a colour."""
    escaped = plotly_text(text)
    return f"\u2060{escaped}" if escaped.startswith("@") else escaped


def curves_figure(
    runs: Sequence[Curves],
    metric: str | None,
    title: str,
    *,
    epochs: int,
    splits: Sequence[str] = ("val", "train"),
    log: bool = False,
) -> dict[str, Any]:
    """The figure for `components.plot`.

    Validation is a thick line with markers, train a thin dotted one; a click on a run in the legend hides both of its
    curves in both parts.

    Args:
        metric: column of the lower part; None draws the loss alone.
        title: its name for people.
        epochs: reached by the longest run, for the width of the axis.
        splits: which of `val` and `train` to draw.
        log: whether the axis of the loss is logarithmic.
    """
    parts = [("loss", "y")] + ([(metric, "y2")] if metric else [])
    n = max(1, len(runs) * len(splits) * len(parts))
    points = min(MOST_POINTS, max(LEAST_POINTS, POINTS // n))
    traces = []
    for one in runs:
        listed = False  # in the legend: the first curve of each run stands for all of them
        apart = one.metrics["split"].to_numpy(dtype=object)
        rows = {split: one.metrics[apart == split] for split in splits}
        for column, axis in parts:
            for split in splits:
                trace = _trace(one, rows[split], column, axis, split, points)
                trace["showlegend"] = not listed
                listed = True
                traces.append(trace)
    return {"data": traces, "layout": _layout(len(runs), metric, title, epochs, log)}


def _trace(one: Curves, rows: pd.DataFrame, column: str, axis: str, split: str, points: int) -> dict[str, Any]:
    n = len(rows) if column in rows else 0
    # Every few epochs, and the last one.
    kept = np.unique(np.append(np.arange(0, n, -(-n // points) or 1), max(0, n - 1))) if n else np.empty(0, np.int64)
    x = rows["epoch"].to_numpy()[kept].astype(int).tolist()
    y = rows[column].to_numpy(dtype=float)[kept].round(6).tolist() if n else []
    colour = f"@{(one.number - 1) % COLOURS}"
    validation = split == "val"
    trace: dict[str, Any] = {
        "type": "scatter",
        "uid": f"{one.run_id} {axis} {split}",  # what the person hid stays hidden when runs come and go
        "legendgroup": one.run_id,
        "mode": "lines+markers" if validation else "lines",
        "name": _name(one.title),
        "x": x,
        "y": [value if math.isfinite(value) else None for value in y],
        "yaxis": axis,
        "line": {"color": colour, "width": 2.5 if validation else 1.5, "dash": "solid" if validation else "dot"},
        "hovertemplate": f"%{{y:.4f}}<extra>%{{fullData.name}}, {'validation' if validation else 'train'}</extra>",
    }
    if validation:
        symbol = SYMBOLS[(one.number - 1) // COLOURS % len(SYMBOLS)]
        trace["marker"] = {"color": colour, "size": 7, "symbol": symbol, "maxdisplayed": MAX_MARKERS}
    return trace


def _layout(n: int, metric: str | None, title: str, epochs: int, log: bool) -> dict[str, Any]:
    heads = [("Loss", 1.0)] + ([(title, 0.44)] if metric else [])
    layout: dict[str, Any] = {
        "margin": {"l": 44, "r": 8, "t": 30, "b": 40},
        "hovermode": "x unified" if n <= CLOSE else "closest",
        "legend": {
            "orientation": "h", "x": 0, "y": 1.06, "yanchor": "bottom", "font": {"size": 13}, "itemwidth": 30,
            "groupclick": "togglegroup", "maxheight": 0.25, "tracegroupgap": 0,
        },
        "xaxis": {
            "title": {"text": "epoch", "standoff": 4, "font": {"size": 14}}, "range": [0, max(1, epochs) * 1.02],
            "zeroline": False, "tickangle": 0, "anchor": "y2" if metric else "y", "nticks": 11, "tickformat": "d",
        },
        "yaxis": {
            "zeroline": False, "nticks": 6, "automargin": True, "exponentformat": "e",
            "domain": [0.56, 1] if metric else [0, 1], "uirevision": f"log {log}",
            **({"type": "log", "dtick": 1} if log else {"rangemode": "tozero"}),
        },
        "annotations": [
            {
                "text": f"<b>{plotly_text(text)}</b>", "x": 0, "y": y, "xref": "paper", "yref": "paper",
                "xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": {"size": 14},
            }
            for text, y in heads
        ],
    }  # fmt: skip
    if metric:
        layout["yaxis2"] = {
            "zeroline": False, "nticks": 6, "automargin": True, "range": [-0.02, 1.02], "domain": [0, 0.44],
            "uirevision": metric,  # another metric: its own zoom
        }  # fmt: skip
    return layout
