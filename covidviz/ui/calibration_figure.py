"""The reliability diagram as Plotly's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covidviz.evaluation.calibration import Reliability

__all__ = ["reliability_figure"]

Figure = dict[str, Any]
LOOKS = (("@primary", "circle", "solid"), ("@1", "diamond", "dash"))


def reliability_figure(series: Sequence[tuple[str, Reliability]], *, intervals: bool = True) -> Figure:
    """What came true over what was promised, with the number of images in each bin below.

    Args:
        series: a name and its points, at most two of them.
        intervals: draw Wilson's interval at each point.
    """
    traces: list[Figure] = [
        {
            "type": "scatter", "mode": "lines", "uid": "as promised", "name": "as promised", "x": [0, 1], "y": [0, 1],
            "line": {"color": "@text/50", "width": 1.5, "dash": "dot"}, "hoverinfo": "skip",
        }
    ]  # fmt: skip
    for (name, points), (colour, symbol, dash) in zip(series, LOOKS, strict=False):
        there = np.flatnonzero(points.n)
        x, y = points.confidence[there], points.observed[there]
        bins = len(points.n)
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "uid": name, "name": name, "legendgroup": name,
                "x": _digits(x), "y": _digits(y),
                "customdata": [[int(points.n[k]), float(points.low[k]), float(points.high[k])] for k in there],
                "hovertemplate": "promised %{x:.2f}, came true %{y:.2f}<br>95 % %{customdata[1]:.2f} to "
                                 "%{customdata[2]:.2f}, %{customdata[0]} images<extra></extra>",
                "line": {"color": colour, "width": 2, "dash": dash},
                "marker": {"color": colour, "size": 8, "symbol": symbol},
                "error_y": {
                    "type": "data", "symmetric": False, "array": _digits(points.high[there] - y),
                    "arrayminus": _digits(y - points.low[there]), "color": colour, "thickness": 1.2, "width": 3,
                    "visible": intervals,
                },
            }
        )  # fmt: skip
        traces.append(
            {
                "type": "bar", "uid": f"{name} n", "name": name, "legendgroup": name, "showlegend": False,
                "yaxis": "y2",
                "x": [round((k + 0.5) / bins, 4) for k in range(bins)], "y": points.n.tolist(),
                "marker": {"color": colour, "opacity": 0.75}, "hovertemplate": "%{y} images<extra></extra>",
            }
        )  # fmt: skip
    layout: Figure = {
        "margin": {"l": 52, "r": 8, "t": 28, "b": 40},
        "hovermode": "closest",
        "barmode": "group",
        "bargap": 0.12,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}, "itemwidth": 30},
        "xaxis": {"range": [-0.01, 1.01], "title": _title("promised probability"), "zeroline": False, "anchor": "y2"},
        "yaxis": {"range": [-0.02, 1.04], "domain": [0.3, 1], "title": _title("came true"), "zeroline": False},
        "yaxis2": {"domain": [0, 0.22], "title": _title("images"), "zeroline": False, "nticks": 3,
                   "rangemode": "tozero"},
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def _title(text: str) -> Figure:
    return {"text": text, "standoff": 4, "font": {"size": 14}}


def _digits(values: Any) -> list[float]:
    return [round(float(v), 4) for v in values]
