"""Figures are valid Plotly, say what the frames say, and stay small."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from covidviz.ui import charts
from covidviz.ui.metric_names import metric_name

CLASSES = ("covid19", "normal", "pneumonia")


def metrics(epochs: int = 6) -> pd.DataFrame:
    rows = []
    for epoch in range(1, epochs + 1):
        for split, shift in (("train", 0.0), ("val", 0.1)):
            row: dict[str, Any] = {"epoch": epoch, "split": split, "loss": 1 / epoch + shift}
            row |= {
                "macro_f1": 0.5 + epoch / 20,
                "accuracy": 0.6,
                **{f"recall_{name}": 0.1 * k for k, name in enumerate(CLASSES)},
            }
            rows.append(row | ({"lr": 0.01} if split == "train" else {}))
    return pd.DataFrame(rows)


def steps(n: int = 60) -> pd.DataFrame:
    at = np.arange(1, n + 1)
    return pd.DataFrame({"step": at, "epoch": 1 + (at - 1) // 10, "loss": 1 / at, "lr": 0.01})


def checked(figure: dict[str, Any]) -> go.Figure:
    """Plotly's own objects refuse what they don't know; theme colours are filled in as the browser does."""
    json.dumps(figure, allow_nan=False)

    def coloured(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: coloured(value) for key, value in node.items()}
        if isinstance(node, list):
            return [coloured(value) for value in node]
        return "#123456" if isinstance(node, str) and node.startswith("@") else node

    return go.Figure(coloured(figure))


def test_loss_has_steps_train_and_validation_on_one_axis_of_epochs() -> None:
    figure = checked(charts.loss_figure(metrics(), steps(), epochs=6, steps_per_epoch=10, best=4))
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name) == ["steps", "train", "validation", "best: 4"]
    assert by_name["steps"].x[9] == 1.0  # the tenth step ends the first epoch
    assert by_name["train"].x == (1, 2, 3, 4, 5, 6)
    assert by_name["validation"].y[3] == pytest.approx(1 / 4 + 0.1)
    assert figure.layout.shapes[0].x0 == 4
    assert (by_name["best: 4"].x, by_name["best: 4"].y) == ((4,), (by_name["validation"].y[3],))


def test_train_and_validation_differ_by_more_than_colour() -> None:
    for figure in (
        charts.loss_figure(metrics(), steps(), epochs=6, steps_per_epoch=10),
        charts.metric_figure(metrics(), [("recall_covid19", "covid19"), ("recall_normal", "normal")], epochs=6),
    ):
        traces = [trace for trace in checked(figure).data if trace.mode == "lines+markers"]
        train, val = ({(t.line.dash, t.marker.symbol) for t in traces if name in t.name} for name in ("train", "valid"))
        assert len(train) == len(val) == 1
        assert train != val


def test_classes_have_colours_of_their_own_and_no_mark_without_a_best_epoch() -> None:
    offered = charts.measures(metrics(), CLASSES)
    assert list(offered) == ["Macro F1", "Accuracy", "Recall of each class"]
    figure = charts.metric_figure(metrics(), offered["Recall of each class"], epochs=6)
    assert [trace["line"]["color"] for trace in figure["data"]] == ["@0", "@0", "@1", "@1", "@2", "@2"]
    assert not checked(figure).layout.shapes


def test_numbers_that_are_none_become_gaps() -> None:
    frame = metrics()
    frame.loc[2, "loss"] = np.nan
    frame.loc[3, "loss"] = np.inf
    figure = checked(charts.loss_figure(frame, steps(0), epochs=6, steps_per_epoch=10))
    assert [trace.y[1] for trace in figure.data] == [None, None]


def test_nothing_yet_is_an_empty_figure() -> None:
    nothing, no_steps = pd.DataFrame(columns=["epoch", "split"]), pd.DataFrame(columns=["step"])
    for figure in (
        charts.loss_figure(nothing, no_steps, epochs=3, steps_per_epoch=1),
        charts.metric_figure(nothing, [("macro_f1", "Macro F1")], epochs=3),
        charts.lr_figure(nothing, no_steps, epochs=3, steps_per_epoch=1),
    ):
        assert not any(len(trace.y or ()) for trace in checked(figure).data)
    assert charts.measures(nothing, CLASSES) == {}


def test_the_learning_rate_comes_from_steps_or_else_from_epochs() -> None:
    assert len(checked(charts.lr_figure(metrics(), steps(), epochs=6, steps_per_epoch=10)).data[0].x) == 60
    by_epoch = checked(charts.lr_figure(metrics(), steps(0), epochs=6, steps_per_epoch=10)).data[0]
    assert by_epoch.x == (1, 2, 3, 4, 5, 6)
    assert set(by_epoch.y) == {0.01}


def test_a_long_run_is_thinned() -> None:
    figure = charts.loss_figure(metrics(), steps(2000), epochs=200, steps_per_epoch=10)
    assert len(figure["data"][0]["x"]) <= charts.MAX_POINTS


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("macro_f1", "macro F1"), ("val_macro_f1", "validation macro F1"), ("recall_covid19", "recall of covid19"),
        ("val_f1_a_b", "validation F1 of a_b"), ("val_loss", "validation loss"), ("something_new", "something_new"),
    ],
)  # fmt: skip
def test_metrics_have_names(key: str, name: str) -> None:
    assert metric_name(key) == name
