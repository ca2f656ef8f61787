"""Settings and metrics of several runs as parallel coordinates: one axis each, one line per run."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from covidviz.config import TrainConfig, knob
from covidviz.evaluation.metric_names import metric_name
from covidviz.store.summary import is_number
from covidviz.ui import queries, wording
from covidviz.ui.charts import plotly_text
from covidviz.ui.compare_data import Compared
from covidviz.ui.compare_figures import COLOURS
from covidviz.ui.components.plot import plot
from covidviz.ui.fields import LABELS
from covidviz.ui.text import shorten

__all__ = ["parallel", "parallel_figure"]

LEAST = 3  # runs; two are told by the table of settings
MOST_SETTINGS = 7
MOST_VALUES = 12  # of a setting in words: beyond, the axis can't be read
APART = ("name", "tags", "device", "cache", "data")


@st.fragment
def parallel(runs: Sequence[Compared]) -> None:
    """Nothing for two runs, or where no number is known yet."""
    able = [one for one in runs if one.summary.metrics and queries.config(one.run) is not None]
    if len(able) < LEAST:
        return
    configs = {one.id: config for one in able if (config := queries.config(one.run)) is not None}
    figure = parallel_figure(able, configs)
    with st.container(key="compare_parallel_room"):
        st.subheader("Settings and scores", anchor=False)
        plot(
            figure, key="compare_parallel", height=340, keep=",".join(one.id for one in able),
            label=f"Parallel coordinates of {len(able)} runs: the settings that differ, and scores at the best epoch",
        )  # fmt: skip
        st.caption("Each line is a run. Drag along an axis to keep the runs that pass there, click it to let go.")


def parallel_figure(runs: Sequence[Compared], configs: Mapping[str, TrainConfig]) -> dict[str, Any]:
    """The figure for `components.plot`.

    Lines have the colours of the runs up to 8 of them, beyond that of the last axis.

    Args:
        runs: with metrics.
        configs: by run id, of all of them.
    """
    axes = []
    for name in TrainConfig.model_fields:
        if name in APART:
            continue
        values = [getattr(configs[one.id], name) for one in runs]
        if name == "backbone_lr" and all(value == configs[one.id].lr for one, value in zip(runs, values, strict=True)):
            continue
        if len({repr(value) for value in values}) > 1 and (axis := _setting_axis(name, values, runs, configs)):
            axes.append(axis)
    seed = [axis for axis in axes if axis["label"] == LABELS.get("seed", "seed")]
    axes = [axis for axis in axes if axis not in seed][:MOST_SETTINGS] + seed[: max(0, MOST_SETTINGS - len(axes) + 1)]
    metrics = [_metric_axis(key, runs) for key in _metrics(runs)]
    dimensions = [{**axis, "label": "<br>".join(map(plotly_text, textwrap.wrap(axis["label"], 15)))}
                  for axis in (*axes, *metrics)]  # fmt: skip
    return {
        "data": [{
            "type": "parcoords", "dimensions": dimensions, "line": _line(runs, metrics),
            "labelfont": {"size": 13}, "tickfont": {"size": 12}, "rangefont": {"size": 11, "color": "rgba(0,0,0,0)"},
            "unselected": {"line": {"color": "@border", "opacity": 0.5}},
        }],
        "layout": {"margin": {"l": 96, "r": 50, "t": 64, "b": 22}},
    }  # fmt: skip


def _line(runs: Sequence[Compared], metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len(runs) <= COLOURS:
        n = len(runs)
        steps = [[at / n, f"@{(one.number - 1) % COLOURS}"] for k, one in enumerate(runs) for at in (k, k + 1)]
        return {"color": list(range(n)), "cmin": -0.5, "cmax": n - 0.5, "colorscale": steps}
    return {"color": metrics[0]["values"], "colorscale": [[0, "@1"], [1, "@0"]]}


def _metrics(runs: Sequence[Compared]) -> list[str]:
    critical = next((one.summary.critical for one in runs if one.summary.critical), None)
    wanted = ["macro_f1", "accuracy", "exact_match", f"recall_{critical}", f"precision_{critical}", "loss"]
    return [key for key in wanted if all(is_number(one.summary.metrics.get(key)) for one in runs)]


def _metric_axis(key: str, runs: Sequence[Compared]) -> dict[str, Any]:
    values = [round(one.summary.metrics[key], 5) for one in runs]
    name = metric_name(key)
    return {"label": name[:1].upper() + name[1:], "values": values, **_padded(min(values), max(values))}


def _padded(low: float, high: float) -> dict[str, Any]:
    room = 0.05 * (high - low) or 0.01
    return {"range": [low - room, high + room]}


def _setting_axis(
    name: str, values: Sequence[Any], runs: Sequence[Compared], configs: Mapping[str, TrainConfig]
) -> dict[str, Any] | None:
    label = LABELS.get(name, name)
    if all(is_number(value) for value in values):
        log = bool(knob(name)["log"]) and min(values) > 0
        scaled = [math.log10(value) if log else float(value) for value in values]
        ticks = sorted(set(zip(scaled, map(wording.value, values), strict=True)))
        axis = {"label": label, "values": scaled, **_padded(min(scaled), max(scaled))}
        few = len(ticks) <= MOST_VALUES
        return axis | ({"tickvals": [at for at, _ in ticks], "ticktext": [text for _, text in ticks]} if few else {})
    words = [wording.setting(name, value, configs[one.id].task) for one, value in zip(runs, values, strict=True)]
    order = sorted(set(words))
    if len(order) > MOST_VALUES or len(order) < 2:
        return None
    return {
        "label": label, "values": [order.index(word) for word in words], **_padded(0, len(order) - 1),
        "tickvals": list(range(len(order))),
        "ticktext": [plotly_text(shorten(word, 14)) for word in order],
    }  # fmt: skip
