"""Figures of a run as Plotly's JSON, from frames. Plain dicts: building them costs no Plotly import and no checking.

Colours are theme names (`@0` class colour 0, `@text`, `@text/40` mixed with the background) that
`covidviz.ui.components.plot` fills in. Train and validation differ by line and marker, not by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from covidviz.evaluation.metric_names import PER_CLASS, metric_name
from covidviz.ui.text import shorten

__all__ = [
    "LINES", "LOGS", "Axis", "Look", "load_figures", "loss_figure", "lr_figure", "measures", "metric_figure",
    "plotly_text", "smooth",
]  # fmt: skip

Figure = dict[str, Any]
LINES = {
    "train": {"dash": "solid", "symbol": "circle", "name": "train", "colour": "@text/55"},
    "val": {"dash": "dash", "symbol": "diamond-open", "name": "validation", "colour": "@primary"},
}
LOGS = ("x", "loss", "rate")  # the axes that can be logarithmic
MAX_MARKERS = 15  # more would hide the lines
MAX_POINTS = 400  # a curve is resent at each refresh
MAX_LEGEND = 6  # curves beyond which the legend stands at the side and scrolls
MAX_UNIFIED = 3  # curves beyond which a box with all their values would cover the figure
GAP_S = 60.0  # without a reading for so long, the machine was not training
OVERALL = ("macro_f1", "accuracy", "label_accuracy", "exact_match", "micro_f1")
SYMBOLS = {"": "circle", "recall": "circle", "precision": "square", "f1": "triangle-up"}


@dataclass(frozen=True)
class Look:
    """What a person chooses about the curves.

    Args:
        x: `epochs`, `steps` or `time`.
        smoothing: 0 (none) to below 1, the weight of the past in an exponential mean.
        log: which of `LOGS` are logarithmic.
    """

    x: str = "epochs"
    smoothing: float = 0.0
    log: tuple[str, ...] = ()


class Axis:
    """Where epochs and steps stand on the chosen x axis.

    Args:
        metrics: for `time`: `epoch`, `split` and, on the train rows, `seconds`.
        epochs: the axis reaches so far.
        steps_per_epoch: of the optimizer.
    """

    def __init__(self, look: Look, metrics: pd.DataFrame, *, epochs: int, steps_per_epoch: float) -> None:
        self.look = look
        self._per_epoch = max(1.0, steps_per_epoch)
        self._unit = 1.0
        self._seconds = np.zeros(1)  # since the start, at the end of each epoch; [0] is the start
        if look.x == "time" and "seconds" in metrics:
            rows = metrics[metrics["split"] == "train"].dropna(subset="seconds")
            taken = dict(zip(rows["epoch"].astype(int), rows["seconds"].astype(float), strict=True))
            if taken:
                usual = sum(taken.values()) / len(taken)
                self._seconds = np.cumsum([0.0, *(taken.get(e, usual) for e in range(1, max(taken) + 1))])
        self.known = look.x != "time" or len(self._seconds) > 1
        self.title = {"epochs": "epoch", "steps": "step"}.get(look.x, "")
        if look.x == "time":
            whole = float(self._at_epoch(np.array([max(1, epochs)]))[0])
            self._unit, word = (3600.0, "hours") if whole > 7200 else (60.0, "minutes") if whole > 180 else (1.0, "s")
            self.title = f"time trained, {word}"
        self.end = self.of_epoch([max(1, epochs)])[0] or 1.0

    def of_epoch(self, epochs: Any) -> list[float]:
        """The ends of these epochs (from 1)."""
        at = np.asarray(epochs, dtype=np.float64)
        if self.look.x == "epochs":
            return [round(float(v), 4) for v in at]
        if self.look.x == "steps":
            return [round(float(v), 1) for v in at * self._per_epoch]
        return [round(float(v), 4) for v in self._at_epoch(at) / self._unit]

    def of_step(self, steps: Any) -> list[float]:
        """These steps (from 1)."""
        return self.of_epoch(np.asarray(steps, dtype=np.float64) / self._per_epoch)

    def _at_epoch(self, at: np.ndarray) -> np.ndarray:
        known = len(self._seconds) - 1
        usual = self._seconds[-1] / known if known else 0.0
        inside = np.interp(at, np.arange(known + 1), self._seconds)
        return inside + np.maximum(0.0, at - known) * usual


def smooth(values: pd.Series, weight: float) -> pd.Series:
    """An exponential mean without the pull towards zero at its beginning, as TensorBoard draws it.

    Args:
        weight: of the past, 0 (the values as they are) to below 1.

    Returns:
        As long as `values`; what is no finite number stays a gap and is passed over.
    """
    finite = values.astype(np.float64).where(np.isfinite(values.astype(np.float64)))
    if not weight:
        return finite
    # sum(w^i y) / sum(w^i) is TensorBoard's mean divided by 1 - w^n
    return finite.ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean().where(finite.notna())


def plotly_text(text: object) -> str:
    """Anybody's `text` for a name in a figure, where Plotly would read tags and entities."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def measures(metrics: pd.DataFrame, classes: Sequence[str]) -> dict[str, list[str]]:
    """What can be drawn over the epochs: title to columns of `metrics`, in the order to offer it."""
    offered = {_title(metric_name(key)): [key] for key in OVERALL if key in metrics}
    for kind, name in PER_CLASS.items():
        if columns := [f"{kind}_{c}" for c in classes if f"{kind}_{c}" in metrics]:
            offered[f"{_title(name)} of each class"] = columns
    for kind in PER_CLASS:
        offered |= {_title(metric_name(f"{kind}_{c}")): [f"{kind}_{c}"] for c in classes if f"{kind}_{c}" in metrics}
    return offered


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]


# --- the three figures of a run ---


def loss_figure(metrics: pd.DataFrame, steps: pd.DataFrame, axis: Axis, *, best: int | None = None) -> Figure:
    """Loss by epoch, with the loss of single steps behind it so that something moves within the first epoch.

    Args:
        metrics: `epoch`, `split`, `loss`.
        steps: `step` (from 1), `loss`.
        best: epoch to mark.
    """
    traces: list[Figure] = []
    weight = axis.look.smoothing
    if axis.known and len(steps) and "loss" in steps:
        thin = _thinned(steps)
        x = axis.of_step(thin["step"])
        raw = {
            "type": "scatter",
            "mode": "lines",
            "uid": "steps",
            "name": "each step",
            "legendgroup": "steps",
            "showlegend": False,
            "x": x,
            "y": _values(thin["loss"]),
            "line": {"color": "@text/22", "width": 1.5},
            "hovertemplate": "%{y:.4f}",
        }
        traces.append(raw)
        if weight:
            mean = smooth(steps["loss"], weight).loc[thin.index]
            traces.append(
                {
                    **raw,
                    "uid": "steps smooth",
                    "y": _values(mean),
                    "line": {"color": "@text/40", "width": 2},
                }
            )
            raw["hoverinfo"] = "skip"
            del raw["hovertemplate"]
    for split, look in LINES.items():
        traces += _curve(metrics, split, "loss", axis, name=look["name"], colour=look["colour"], group=split)
    traces += _best_marks(metrics, ["loss"], best, axis)
    log = "loss" in axis.look.log
    return _figure(traces, axis, best, log_y=log, yaxis={} if log else {"rangemode": "tozero"})


def metric_figure(
    metrics: pd.DataFrame, columns: Sequence[str], classes: Sequence[str], axis: Axis, *, best: int | None = None
) -> Figure:
    """Metrics in 0..1 by epoch, for train and validation.

    Args:
        columns: of `metrics`; one has the colours of train and validation, several a colour each (a class its own).
        classes: in the order of their colours.
    """
    columns = list(dict.fromkeys(columns))
    several = len(columns) > 1
    kinds = {_kind_and_class(column, classes)[0] for column in columns}
    traces: list[Figure] = []
    for column in columns:
        kind, name = _kind_and_class(column, classes)
        number = classes.index(name) if kind else len(classes) + OVERALL.index(column) if column in OVERALL else 0
        title = name if kind and len(kinds) == 1 else metric_name(column)
        for split, look in LINES.items():
            traces += _curve(
                metrics,
                split,
                column,
                axis,
                name=title if several else look["name"],
                colour=f"@{number}" if several else look["colour"],
                group=column if several else split,
                symbol=SYMBOLS[kind] if several else None,
                in_legend=not several or split == "val",
                hover=f"{title}, {look['name']}" if several else None,
            )
    traces += _best_marks(metrics, columns, best, axis)
    return _figure(traces, axis, best, curves=max(1, len(columns)), yaxis={"range": [-0.02, 1.02]})


def lr_figure(metrics: pd.DataFrame, steps: pd.DataFrame, axis: Axis) -> Figure:
    """The learning rate, by step where it is known, else by epoch."""
    x: list[float] = []
    y: list[float | None] = []
    if not axis.known:
        pass
    elif len(steps) and "lr" in steps:
        thin = _thinned(steps)
        x, y = axis.of_step(thin["step"]), _values(thin["lr"])
    elif "lr" in metrics:
        rows = metrics[metrics["split"] == "train"]
        x, y = axis.of_epoch(rows["epoch"]), _values(rows["lr"])
    trace = {
        "type": "scatter",
        "mode": "lines",
        "uid": "rate",
        "name": "learning rate",
        "x": x,
        "y": y,
        "showlegend": False,
        "line": {"color": "@text/70", "width": 2.5},
        "hovertemplate": "%{y:.3g}",
    }
    log = "rate" in axis.look.log
    highest = max((v for v in y if v is not None), default=1.0)
    yaxis: Figure = {"tickformat": "~e" if highest < 1e-3 else "~g", **({} if log else {"rangemode": "tozero"})}
    return _figure([trace], axis, None, ticks=5, log_y=log, yaxis=yaxis)


def _kind_and_class(column: str, classes: Sequence[str]) -> tuple[str, str]:
    """`recall_covid19` to (`recall`, `covid19`); an overall metric to (``, its name)."""
    kind, _, name = column.partition("_")
    return (kind, name) if kind in PER_CLASS and name in classes else ("", column)


def _curve(
    metrics: pd.DataFrame,
    split: str,
    column: str,
    axis: Axis,
    *,
    name: str,
    colour: str,
    group: str,
    symbol: str | None = None,
    in_legend: bool = True,
    hover: str | None = None,
) -> list[Figure]:
    """One line; with smoothing the smoothed one, and the raw one faintly behind it."""
    rows = metrics[metrics["split"] == split] if column in metrics and axis.known else metrics.iloc[:0]
    look, weight = LINES[split], axis.look.smoothing
    marker = look["symbol"] if symbol is None else symbol + ("-open" if split == "val" else "")
    x = axis.of_epoch(rows["epoch"])
    raw = _values(rows[column]) if len(rows) else []
    shown = plotly_text(shorten(hover or name, 40))
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "uid": f"{column} {split}",
        "legendgroup": group,
        "name": plotly_text(shorten(name, 22)),
        "showlegend": in_legend,
        "x": x,
        "y": _values(smooth(rows[column], weight)) if weight and len(rows) else raw,
        "line": {"color": colour, "width": 2.5, "dash": look["dash"]},
        "marker": {"color": colour, "size": 7, "symbol": marker, "maxdisplayed": MAX_MARKERS},
        "hovertemplate": f"%{{y:.4f}}<extra>{shown}</extra>",
    }
    if not weight:
        return [line]
    faint = {
        "type": "scatter",
        "mode": "lines",
        "uid": f"{column} {split} raw",
        "legendgroup": group,
        "showlegend": False,
        "name": line["name"],
        "x": x,
        "y": raw,
        "opacity": 0.32,
        "line": {"color": colour, "width": 1.5, "dash": look["dash"]},
        "hoverinfo": "skip",
    }
    return [faint, line]


def _best_marks(metrics: pd.DataFrame, columns: Sequence[str], best: int | None, axis: Axis) -> list[Figure]:
    """A star on each validation curve at the best epoch."""
    rows = metrics[(metrics["split"] == "val") & (metrics["epoch"] == best)]
    if best is None or not len(rows) or not axis.known:
        return []
    values = [value for column in columns if column in rows for value in _values(rows[column].iloc[:1])]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "uid": "best",
            "name": f"best: {best}",
            "x": axis.of_epoch([best]) * len(values),
            "y": values,
            "marker": {"color": "@text", "size": 14, "symbol": "star", "line": {"color": "@back", "width": 1}},
            "hoverinfo": "skip",
        }
    ]


# --- the machine ---


def load_figures(system: pd.DataFrame) -> dict[str, Figure]:
    """What the training took of the machine over time, by title; only what was recorded.

    Args:
        system: `time` (s), `cpu_percent`, `memory_mb`, `memory_percent`, with a GPU `gpu_percent`, `gpu_memory_mb`.
    """
    if not len(system):
        return {}
    thin = _thinned(system.sort_values("time"))
    minutes = (thin["time"] - thin["time"].iloc[0]) / 60
    breaks = thin["time"].diff() > max(GAP_S, 4 * float(thin["time"].diff().median() or 0.0))
    plans: dict[str, tuple[list[tuple[str, str, float]], Figure]] = {
        "Load, %": (
            [
                ("cpu_percent", "CPU", 1.0),
                ("gpu_percent", "GPU", 1.0),
                ("memory_percent", "memory of the machine", 1.0),
            ],
            {"range": [-2, 102]},
        ),
        "Memory, GB": (
            [("memory_mb", "this training", 1 / 1024), ("gpu_memory_mb", "on the GPU", 1 / 1024)],
            {"rangemode": "tozero"},
        ),
    }
    axis = Axis(Look(), pd.DataFrame(), epochs=1, steps_per_epoch=1)
    axis.title, axis.end = "minutes", max(float(minutes.iloc[-1]), 0.5)
    figures = {}
    for title, (series, yaxis) in plans.items():
        traces = []
        for number, (column, name, factor) in enumerate(series):
            if column in thin and thin[column].notna().any():
                values = (thin[column] * factor).mask(breaks)  # a resumed run has a hole, not a slope
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "uid": column,
                        "name": name,
                        "showlegend": True,
                        "x": [round(float(v), 3) for v in minutes],
                        "y": _values(values),
                        "line": {
                            "color": ("@primary", "@1", "@text/55")[number],
                            "width": 2,
                            "dash": ("solid", "dash", "dot")[number],
                        },
                        "hovertemplate": "%{y:.1f}",
                    }
                )
        if traces:
            figures[title] = _figure(traces, axis, None, whole=False, yaxis=yaxis)
    return figures


# --- parts ---


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """At most `MAX_POINTS` rows, evenly, with the last one: it is the news."""
    if len(frame) <= MAX_POINTS:
        return frame
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, MAX_POINTS).round().astype(int))]


def _values(column: pd.Series) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in column]


def _round_up(step: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    power = 10 ** max(0, math.floor(math.log10(max(step, 1))))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= step)


def _legend(curves: int) -> Figure:
    """Above the figure; several long names inside it, at the bottom where metrics rarely are; very many at the side."""
    if curves == 1:
        return {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}}
    if curves > MAX_LEGEND:
        return {"orientation": "v", "x": 1.01, "y": 1, "font": {"size": 12}}
    place = {"x": 0.99, "xanchor": "right", "y": 0.03, "yanchor": "bottom"}
    return {"orientation": "v", **place, "font": {"size": 12}, "bgcolor": "@back", "tracegroupgap": 0}


def _figure(
    traces: list[Figure],
    axis: Axis,
    best: int | None,
    *,
    curves: int = 1,
    ticks: int = 10,
    whole: bool = True,
    log_y: bool = False,
    yaxis: Figure | None = None,
) -> Figure:
    log_x = "x" in axis.look.log
    xaxis: Figure = {
        "title": {"text": axis.title, "standoff": 4, "font": {"size": 14}},
        "zeroline": False,
        "tickangle": 0,
        "hoverformat": ".4~g",
        "uirevision": f"{axis.look.x} {log_x}",  # a zoom into epochs says nothing about minutes
    }
    if log_x:
        first = min((x for trace in traces for x in trace["x"][:1] if x > 0), default=axis.end / 10)
        xaxis |= {"type": "log", "range": [math.log10(first) - 0.02, math.log10(axis.end * 1.02)], "nticks": ticks}
    else:
        xaxis |= {"range": [0, axis.end * 1.02]}
        xaxis |= {"dtick": _round_up(axis.end / ticks)} if whole and axis.look.x != "time" else {"nticks": ticks}
    layout: Figure = {
        "margin": {"l": 44, "r": 8, "t": 30, "b": 40},
        "hovermode": "x unified" if curves <= MAX_UNIFIED else "closest",
        "legend": {**_legend(curves), "itemwidth": 30},
        "xaxis": xaxis,
        "yaxis": {
            "zeroline": False, "nticks": 6, "automargin": True, "exponentformat": "e", "uirevision": str(log_y),
            **({"type": "log", "tickformat": "~g"} if log_y else {}), **(yaxis or {}),
        },
    }  # fmt: skip
    if not any(trace["x"] for trace in traces):
        note = "The first numbers come with the first steps." if axis.known else "Time is known after the first epoch."
        layout["annotations"] = [
            {
                "text": note,
                "showarrow": False,
                "x": 0.5,
                "y": 0.5,
                "xref": "paper",
                "yref": "paper",
                "font": {"size": 13},
            }
        ]
    elif best is not None and axis.known:
        x = axis.of_epoch([best])[0]
        layout["shapes"] = [
            {
                "type": "line",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "layer": "below",
                "line": {"color": "@text", "width": 1.5, "dash": "dot"},
            }
        ]
    return {"data": traces, "layout": layout}
