"""Figures are valid Plotly, say what the frames say, and stay small."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from covidviz.evaluation.metric_names import metric_name
from covidviz.ui import charts
from covidviz.ui.charts import Axis, Look

CLASSES = ("covid19", "normal", "pneumonia")
STEPS = 10  # in an epoch


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
            rows.append(row | ({"lr": 0.01, "seconds": 5.0 * epoch} if split == "train" else {}))
    return pd.DataFrame(rows)


def steps(n: int = 60) -> pd.DataFrame:
    at = np.arange(1, n + 1)
    return pd.DataFrame({"step": at, "epoch": 1 + (at - 1) // STEPS, "loss": 1 / at, "lr": 0.01})


def axis(frame: pd.DataFrame, epochs: int = 6, **look: Any) -> Axis:
    return Axis(Look(**look), frame, epochs=epochs, steps_per_epoch=STEPS)


def loss(frame: pd.DataFrame, single: pd.DataFrame, best: int | None = None, **look: Any) -> dict[str, Any]:
    return charts.loss_figure(frame, single, axis(frame, **look), best=best)


def metric(columns: list[str], best: int | None = None, classes: tuple[str, ...] = CLASSES, **look: Any) -> Any:
    return charts.metric_figure(metrics(), columns, classes, axis(metrics(), **look), best=best)


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
    figure = checked(loss(metrics(), steps(), best=4))
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name) == ["each step", "train", "validation", "best: 4"]
    assert by_name["each step"].x[9] == 1.0  # the tenth step ends the first epoch
    assert by_name["train"].x == (1, 2, 3, 4, 5, 6)
    assert by_name["validation"].y[3] == pytest.approx(1 / 4 + 0.1)
    assert figure.layout.shapes[0].x0 == 4
    assert (by_name["best: 4"].x, by_name["best: 4"].y) == ((4,), (by_name["validation"].y[3],))


@pytest.mark.parametrize(
    ("x", "title", "ends", "tenth"),
    [
        ("epochs", "epoch", (1, 2, 3, 4, 5, 6), 1),
        ("steps", "step", (10, 20, 30, 40, 50, 60), 10),
        ("time", "time trained, s", (5, 15, 30, 50, 75, 105), 5),  # each epoch takes longer
    ],
)
def test_the_same_curves_over_epochs_steps_and_time(x: str, title: str, ends: tuple[float, ...], tenth: float) -> None:
    figure = checked(loss(metrics(), steps(), best=3, x=x))
    by_name = {trace.name: trace for trace in figure.data}
    assert figure.layout.xaxis.title.text == title
    assert by_name["validation"].x == ends
    assert by_name["each step"].x[9] == tenth
    assert figure.layout.shapes[0].x0 == by_name["best: 3"].x[0] == ends[2]
    assert figure.layout.xaxis.range[1] == pytest.approx(1.02 * ends[-1])
    values = {trace.name: trace.y for trace in checked(loss(metrics(), steps(), best=3)).data}
    assert by_name["validation"].y == values["validation"]


def test_time_beyond_the_last_epoch_goes_on_at_the_usual_pace() -> None:
    at = axis(metrics(2), x="time")  # 5 s and 10 s
    assert at.of_epoch([2, 3]) == [15, 22.5]
    assert at.of_step([25]) == [18.75]
    assert axis(metrics(6), epochs=4000, x="time").title == "time trained, hours"


def test_time_is_not_invented_before_the_first_epoch_ended() -> None:
    nothing = metrics(0).reindex(columns=["epoch", "split", "seconds"])
    figure = checked(loss(nothing, steps(5), x="time"))
    assert not any(len(trace.x) for trace in figure.data)
    assert figure.layout.annotations[0].text == "Time is known after the first epoch."


def test_smoothing_is_an_exponential_mean_without_bias_at_its_start() -> None:
    values, weight = [1.0, 3.0, float("nan"), 2.0, float("inf"), 5.0], 0.6
    expected, last, n = [], 0.0, 0
    for value in values:  # as TensorBoard's line chart does it
        if np.isfinite(value):
            last, n = weight * last + (1 - weight) * value, n + 1
            expected.append(last / (1 - weight**n))
        else:
            expected.append(float("nan"))
    assert charts.smooth(pd.Series(values), weight).tolist() == pytest.approx(expected, nan_ok=True)
    assert charts.smooth(pd.Series(values), 0).dropna().tolist() == [1, 3, 2, 5]
    assert charts.smooth(pd.Series([2.0] * 9), 0.99).tolist() == pytest.approx([2.0] * 9)


def test_what_was_smoothed_stays_visible_behind() -> None:
    rough, smoothed = (checked(loss(metrics(), steps(), smoothing=w)) for w in (0.0, 0.9))
    before, after = ({trace.uid: trace for trace in figure.data} for figure in (rough, smoothed))
    assert set(after) == {*before, "loss train raw", "loss val raw", "steps smooth"}
    assert after["loss val raw"].y == before["loss val"].y != after["loss val"].y
    assert after["loss val raw"].opacity < 1
    assert after["loss val raw"].legendgroup == after["loss val"].legendgroup  # hidden together
    assert after["loss val raw"].showlegend is False


def test_axes_may_be_logarithmic() -> None:
    figure = checked(loss(metrics(), steps(), log=("x", "loss")))
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    low, high = figure.layout.xaxis.range
    assert 10**low < 0.1 < 6 < 10**high  # from the first step on
    rate = checked(charts.lr_figure(metrics(), steps(), axis(metrics(), log=("rate",))))
    assert (rate.layout.xaxis.type, rate.layout.yaxis.type) == (None, "log")
    plain = checked(loss(metrics(), steps()))
    assert plain.layout.xaxis.uirevision != figure.layout.xaxis.uirevision  # the zoom of one is none of the other


def test_train_and_validation_differ_by_more_than_colour() -> None:
    for figure in (loss(metrics(), steps()), metric(["recall_covid19", "recall_normal"]), metric(["accuracy"])):
        traces = [trace for trace in checked(figure).data if trace.mode == "lines+markers"]
        train, val = (
            {(t.line.dash, t.marker.symbol) for t in traces if t.uid.endswith(split)} for split in ("train", "val")
        )
        assert len(train) == len(val) == 1
        assert train != val


def test_classes_have_colours_of_their_own_and_no_mark_without_a_best_epoch() -> None:
    offered = charts.measures(metrics(), CLASSES)
    assert list(offered) == ["Macro F1", "Accuracy", "Recall of each class", *(f"Recall of {c}" for c in CLASSES)]
    figure = metric(offered["Recall of each class"])
    assert [trace["line"]["color"] for trace in figure["data"]] == ["@0", "@0", "@1", "@1", "@2", "@2"]
    assert [trace["name"] for trace in figure["data"] if trace["showlegend"]] == list(CLASSES)
    assert not checked(figure).layout.shapes
    mixed = metric([*offered["Recall of normal"], "macro_f1", "recall_normal"])
    assert [(trace["name"], trace["line"]["color"]) for trace in mixed["data"][::2]] == [
        ("recall of normal", "@1"), ("macro F1", "@3"),
    ]  # fmt: skip


def test_names_of_classes_are_no_markup() -> None:
    hostile = "<b>![x](http://evil)</b>&amp;"
    frame = metrics().rename(columns={"recall_covid19": f"recall_{hostile}"})
    classes = (hostile, *CLASSES[1:])
    figure = charts.metric_figure(frame, [f"recall_{c}" for c in classes], classes, axis(frame))
    for trace in checked(figure).data:
        assert "<b>" not in trace.name
        assert "<b>" not in trace.hovertemplate
    assert charts.plotly_text("<b>&") == "&lt;b&gt;&amp;"


def test_the_legend_of_many_curves_leaves_room_for_them() -> None:
    classes = tuple(f"c{i}" for i in range(20))
    frame = metrics().assign(**{f"f1_{name}": 0.5 for name in classes})
    one, few, many = (
        checked(charts.metric_figure(frame, [f"f1_{c}" for c in classes[:n]], classes, axis(frame))).layout
        for n in (1, 3, 20)
    )
    assert one.legend.y > 1  # above
    assert few.legend.x < 1  # inside
    assert many.legend.x > 1  # beside
    assert (one.hovermode, few.hovermode, many.hovermode) == ("x unified", "x unified", "closest")


def test_numbers_that_are_none_become_gaps() -> None:
    frame = metrics()
    frame.loc[2, "loss"] = np.nan
    frame.loc[3, "loss"] = np.inf
    figure = checked(loss(frame, steps(0)))
    assert [trace.y[1] for trace in figure.data] == [None, None]


@pytest.mark.parametrize("x", ["epochs", "steps", "time"])
@pytest.mark.parametrize("log", [(), charts.LOGS])
def test_nothing_yet_is_an_empty_figure(x: str, log: tuple[str, ...]) -> None:
    nothing, no_steps = pd.DataFrame(columns=["epoch", "split"]), pd.DataFrame(columns=["step"])
    at = axis(nothing, 3, x=x, smoothing=0.5, log=log)
    for figure in (
        charts.loss_figure(nothing, no_steps, at),
        charts.metric_figure(nothing, ["macro_f1"], (), at),
        charts.metric_figure(nothing, [], (), at),
        charts.lr_figure(nothing, no_steps, at),
    ):
        drawn = checked(figure)
        assert not any(len(trace.y or ()) for trace in drawn.data)
        assert drawn.layout.annotations
    assert charts.measures(nothing, CLASSES) == {}


def test_the_learning_rate_comes_from_steps_or_else_from_epochs() -> None:
    assert len(checked(charts.lr_figure(metrics(), steps(), axis(metrics()))).data[0].x) == 60
    by_epoch = checked(charts.lr_figure(metrics(), steps(0), axis(metrics()))).data[0]
    assert by_epoch.x == (1, 2, 3, 4, 5, 6)
    assert set(by_epoch.y) == {0.01}


def test_a_long_run_is_thinned_and_ends_with_its_last_step() -> None:
    figure = loss(metrics(), steps(2000))
    assert len(figure["data"][0]["x"]) == charts.MAX_POINTS
    assert figure["data"][0]["x"][-1] == 200


def test_the_load_of_the_machine_has_holes_where_nothing_trained() -> None:
    time = [*range(0, 100, 10), *range(1000, 1100, 10)]
    system = pd.DataFrame({"time": time, "cpu_percent": 50.0, "memory_mb": 1024.0, "gpu_percent": np.nan})
    figures = charts.load_figures(system)
    load, memory = checked(figures["Load, %"]), checked(figures["Memory, GB"])
    assert [trace.name for trace in load.data] == ["CPU"]  # the GPU was never read
    assert load.data[0].y[10] is None
    assert load.data[0].x[-1] == pytest.approx(1090 / 60, abs=0.01)
    assert memory.data[0].y[0] == 1
    assert charts.load_figures(pd.DataFrame(columns=["time"])) == {}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("macro_f1", "macro F1"), ("val_macro_f1", "validation macro F1"), ("recall_covid19", "recall of covid19"),
        ("val_f1_a_b", "validation F1 of a_b"), ("val_loss", "validation loss"), ("something_new", "something_new"),
    ],
)  # fmt: skip
def test_metrics_have_names(key: str, name: str) -> None:
    assert metric_name(key) == name
