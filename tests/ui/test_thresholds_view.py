"""Intervals, seeds, thresholds and calibration on the Run page, and what they start from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from explored import finished_run, make_dataset
from sklearn import metrics as sk
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from synthetic import CLASSES, write_synthetic_run

from covidviz.evaluation.bootstrap import intervals
from covidviz.evaluation.calibration import calibration_error, fit_temperature, top_label, with_temperature
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.evaluation.thresholds import choices
from covidviz.store import layout
from covidviz.store.index import RunIndex
from covidviz.store.reader import Run
from covidviz.store.thresholds import Chosen, save_thresholds
from covidviz.ui import nav, thresholds_data
from covidviz.ui.results import measured, results
from covidviz.ui.routes import ROUTES
from covidviz.ui.seed_group import group_of

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


def page(run: Run, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update({"run": run.id, **params})
    at.switch_page(nav.RUN).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    parts = [*at.markdown, *at.info, *at.caption, *at.warning]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def component(at: AppTest, key: str) -> dict[str, Any]:
    given = {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}
    return json.loads(given[key])


def has(at: AppTest, key: str) -> bool:
    return any(node.proto.id.endswith(f"-{key}") for node in at.get("bidi_component"))


def arrays(run: Run, split: str = "val") -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    found = results(run)
    assert found is not None
    rows = found.frame[found.frame["split"] == split]
    return prob_of(rows, found.classes), labels_of(rows, found.classes), rows


def rewrite(run: Run, change: Any) -> None:
    """Predictions after `change(frame)`."""
    frame = change(run.predictions())
    frame.to_parquet(run.dir / layout.PREDICTIONS, index=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise")


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return finished_run(runs, data)


# --- intervals


def test_shares_have_wilson_and_f1_a_bootstrap_of_patients(run: Run) -> None:
    at = page(run)
    prob, labels, rows = arrays(run)
    given = {metric.label: metric.delta for metric in at.metric}
    right = int((prob.argmax(1) == labels.argmax(1)).sum())
    low, high = wilson(right, len(rows))
    assert given["Accuracy"] == f"{low:.2f} – {high:.2f}"
    drawn = intervals(prob, labels, CLASSES, "single-label", clusters=rows["patient_id"].tolist())
    assert given["Macro F1"] == f"{drawn['macro_f1'].low:.2f} – {drawn['macro_f1'].high:.2f}"
    f1 = component(at, "per_class")["rows"][0]["f1"]
    assert (f1["low"], f1["high"]) == pytest.approx((drawn["f1_covid19"].low, drawn["f1_covid19"].high), abs=1e-4)
    assert f1["kind"] == "bootstrap over 24 patients"


def test_without_patients_images_are_drawn(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    samples = run.samples()
    samples.drop(columns="patient_id").to_parquet(run.dir / layout.SAMPLES, index=False)
    assert component(page(run), "per_class")["rows"][0]["f1"]["kind"] == "bootstrap over the images"


def test_the_toggle_takes_the_intervals_away_and_nothing_else(run: Run) -> None:
    at = page(run)
    before = component(at, "per_class")
    values = [metric.value for metric in at.metric]
    assert before["intervals"]
    at.toggle(key="run_intervals").set_value(False).run()
    after = component(at, "per_class")
    assert not after["intervals"]
    assert after["rows"] == before["rows"]
    assert [metric.value for metric in at.metric] == values
    assert not any(metric.delta for metric in at.metric)
    at.query_params["view"] = "thresholds"
    at.run()
    assert not component(at, "thresholds")["intervals"]


# --- seeds


def seeds_of(runs: Path, data: Path) -> list[Run]:
    fixed = {"loss": "cross_entropy", "model": "resnet18", "lr": 0.01, "focal_gamma": 2.0, "tags": ()}
    made = [finished_run(runs, data, i, **fixed) for i in (1, 2, 3)]
    finished_run(runs, data, 4, **{**fixed, "lr": 0.1})
    return made


@pytest.mark.parametrize("split", ["val", "test"])
def test_seeds_of_one_setting_are_a_group(runs: Path, data: Path, split: str) -> None:
    members = seeds_of(runs, data)
    write_synthetic_run(runs, 5, "running", loss="cross_entropy", model="resnet18", lr=0.01, focal_gamma=2.0, tags=())
    at = page(members[1], split=split)
    shown = component(at, "run_seeds")
    by_name = {metric["name"]: metric for metric in shown["metrics"]}
    accuracy = by_name["accuracy"]
    assert [point["id"] for point in accuracy["points"]] == [one.id for one in members]
    assert [point["here"] for point in accuracy["points"]] == [False, True, False]
    expected = [one.best()[1]["val"]["accuracy"] if split == "val" else measured(one, "test").metrics["accuracy"]
                for one in members]  # fmt: skip
    assert [point["value"] for point in accuracy["points"]] == pytest.approx(expected)
    assert accuracy["mean"] == pytest.approx(np.mean(expected))
    assert accuracy["spread"] == pytest.approx(np.std(expected, ddof=1))
    assert set(by_name) == {"accuracy", "macro F1", "recall of covid19"}


def test_of_two_runs_with_one_seed_the_newest_counts_or_the_one_looked_at(runs: Path, data: Path) -> None:
    first, second, third = seeds_of(runs, data)
    again = finished_run(
        runs, data, 6, loss="cross_entropy", model="resnet18", lr=0.01, focal_gamma=2.0, tags=(), seed=2
    )
    rows = RunIndex(runs).refresh()
    assert [one.run_id for one in group_of(first.id, rows)] == [first.id, again.id, third.id]
    assert [one.run_id for one in group_of(second.id, rows)] == [first.id, second.id, third.id]
    assert group_of("20260101-000000-x-0000", rows) == []


def test_a_run_alone_has_no_group(run: Run) -> None:
    assert not has(page(run), "run_seeds")


# --- thresholds


def test_the_browser_gets_what_the_run_said(run: Run) -> None:
    client = TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1", raise_server_exceptions=False)
    at = page(run, view="thresholds")
    given = component(at, "thresholds")
    answer = client.get(given["url"])
    assert "immutable" in answer.headers["cache-control"]
    size = int(np.frombuffer(answer.content, "<u4", 1)[0])
    head = json.loads(answer.content[4 : 4 + size])
    prob, labels, rows = arrays(run)
    n, c = prob.shape
    assert head["ids"] == rows["sample_id"].tolist()
    assert all(head["v"])
    assert (4 + size) % 4 == 0
    np.testing.assert_array_equal(
        np.frombuffer(answer.content, "<f4", n * c, 4 + size).reshape(n, c), prob.astype(np.float32)
    )
    np.testing.assert_array_equal(np.frombuffer(answer.content, np.uint8, -1, 4 + size + 4 * n * c), labels.ravel())
    for path in (f"/scores/{run.id}/nope", "/scores/20260101-000000-x-0000/val", f"/scores/{run.id}/..%2f"):
        assert client.get(path).status_code == 404


def test_curves_and_choices_are_those_of_the_class(run: Run) -> None:
    at = page(run, view="thresholds", k="normal")
    given = component(at, "thresholds")
    prob, labels, _ = arrays(run)
    p, true = prob[:, 1], labels[:, 1]
    assert (given["k"], given["frozen"], given["saves"], given["threshold"]) == (1, False, True, None)
    among = choices(p.astype(np.float32), true)
    assert given["choices"] == {"t": among.thresholds.tolist(), "fp": among.fp.tolist(), "fn": among.fn.tolist()}
    (curve,) = given["curves"]
    assert curve["auc"] == pytest.approx(sk.roc_auc_score(true, p))
    assert curve["ap"] == pytest.approx(sk.average_precision_score(true, p))
    assert (curve["n"], curve["positives"]) == (len(p), true.sum())
    fpr, tpr, _ = sk.roc_curve(true, p, drop_intermediate=False)
    np.testing.assert_allclose(curve["roc"], [fpr, tpr], atol=1e-4)
    assert component(page(run, view="thresholds"), "thresholds")["k"] == 0  # the critical class


def linked(at: AppTest, **params: str) -> tuple[int, float | None, float | None]:
    """Class, threshold and cost after the link says so."""
    for key in ("k", "t", "cost"):
        at.query_params.pop(key, None)
    at.query_params.update(params)
    at.run()
    assert not at.exception
    given = component(at, "thresholds")
    return given["k"], given["threshold"], given["cost"]


def test_what_a_link_may_not_say_is_ignored_here_too(run: Run) -> None:
    at = page(run, view="thresholds")
    for params in ({"t": "2"}, {"t": "abc"}, {"t": "nan"}, {"t": "-0.1"}, {"k": "<b>", "t": "0.3"}, {"cost": "5"}):
        assert linked(at, **params) == (0, None, None)


def test_a_link_says_threshold_and_cost_of_one_class(run: Run) -> None:
    at = page(run, view="thresholds", t="0.3")
    assert linked(at, t="0.3") == (0, 0.3, None)
    assert linked(at, k="normal", t="0.3", cost="5") == (1, 0.3, 5)
    assert linked(at, k="normal", t="0.3", cost="-5") == (1, 0.3, None)
    save_thresholds(run.dir, {"covid19": Chosen(0.25, cost_ratio=3.0)})
    assert linked(at) == (0, 0.25, 3)
    assert linked(at, t="off") == (0, None, None)
    assert linked(at, k="normal") == (1, None, None)


def test_a_saved_threshold_is_taken_and_frozen_on_other_splits(run: Run) -> None:
    save_thresholds(run.dir, {"covid19": Chosen(0.25, cost_ratio=3.0, epoch=1)})
    val, test = (component(page(run, view="thresholds", split=split), "thresholds") for split in ("val", "test"))
    for given in (val, test):
        assert (given["threshold"], given["cost"], given["saved"]["t"]) == (0.25, 3.0, 0.25)
        assert "chosen on validation" in given["saved"]["words"]
        assert "epoch 1; these are of epoch" in given["saved"]["words"]  # the run's best is a later one
    assert (val["frozen"], test["frozen"], test["choices"], test["saves"]) == (False, True, None, False)
    assert component(page(run, view="thresholds", k="normal"), "thresholds")["replaces"] == "covid19"


def test_several_labels_have_a_threshold_each(runs: Path, data: Path) -> None:
    run = finished_run(runs, data, task="multi-label", loss="bce")
    save_thresholds(run.dir, {"covid19": Chosen(0.25), "normal": Chosen(0.75)})
    at = page(run, view="thresholds")
    for k, (name, value) in enumerate({"covid19": 0.25, "normal": 0.75, "pneumonia": None}.items()):
        assert linked(at, k=name) == (k, value, None)
        assert (component(at, "thresholds")["single"], component(at, "thresholds")["replaces"]) == (False, "")


def test_other_runs_lie_over_the_curves_and_those_without_are_named(runs: Path, data: Path) -> None:
    run, other = finished_run(runs, data, 1), finished_run(runs, data, 2, name="other")
    apart = finished_run(runs, data, 3, name="apart")
    rewrite(apart, lambda frame: frame[frame["split"] != "val"])
    fewer = finished_run(runs, data, 4, name="fewer")
    rewrite(fewer, lambda frame: frame.drop(frame.index[frame["split"] == "val"][:3]))
    at = page(run, view="thresholds")
    at.multiselect(key="threshold_runs").set_value([other.id, apart.id, fewer.id]).run()
    given = component(at, "thresholds")
    assert [(curve["name"], curve["same"]) for curve in given["curves"]] == [
        ("synthetic 1", True), ("other", True), ("fewer", False),
    ]  # fmt: skip
    prob, labels, _ = arrays(other)
    assert given["curves"][1]["auc"] == pytest.approx(sk.roc_auc_score(labels[:, 0], prob[:, 0]))
    assert "No curve of apart" in texts(at)


# --- calibration


def test_calibration_numbers_and_temperature(run: Run) -> None:
    at = page(run, view="calibration", split="test")
    prob, labels, _ = arrays(run, "test")
    val_prob, val_labels, _ = arrays(run, "val")
    shown = [(metric.label, metric.value) for metric in at.metric]
    fitted = fit_temperature(val_prob, val_labels, "single-label").value
    expected = []
    for p in (prob / prob.sum(axis=1, keepdims=True), with_temperature(prob, fitted, "single-label")):
        expected += [
            ("ECE", f"{calibration_error(*top_label(p, labels)):.3f}"),
            ("Brier", f"{sk.brier_score_loss(labels.argmax(1), p, scale_by_half=False, labels=[0, 1, 2]):.3f}"),
            ("Log loss", f"{sk.log_loss(labels.argmax(1), p, labels=[0, 1, 2]):.3f}"),
        ]
    assert shown == expected
    assert f"temperature of {fitted:.2f}" in texts(at)
    assert "fitted on the 24 validation images" in texts(at)
    figure = component(at, "reliability")["figure"]
    assert [trace["name"] for trace in figure["data"]] == ["as promised", "as trained", "as trained"]
    at.toggle(key="run_temperature").set_value(True).run()
    assert len(component(at, "reliability")["figure"]["data"]) == 5
    at.selectbox(key="run_calibrated").set_value("covid19").run()
    assert not at.exception
    one = [(metric.label, metric.value) for metric in at.metric][1]
    assert one == ("Brier", f"{sk.brier_score_loss(labels[:, 0], prob[:, 0]):.3f}")


def test_calibration_of_several_labels(runs: Path, data: Path) -> None:
    run = finished_run(runs, data, task="multi-label", loss="bce")
    at = page(run, view="calibration")
    prob, labels, _ = arrays(run)
    assert at.metric[0].value == f"{calibration_error(prob.ravel(), labels.ravel()):.3f}"
    assert f"Of {prob.size} labels" in texts(at)


# --- bad input


def test_images_without_numbers_are_left_out_and_counted(run: Run) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[frame["split"] == "val"][:5], "prob_normal"] = np.nan
        frame.loc[frame.index[frame["split"] == "val"][5], "prob_normal"] = 1.5
        return frame

    rewrite(run, spoil)
    prob, labels, _ = arrays(run)
    good = np.isfinite(prob).all(1) & (prob <= 1).all(1)
    at = page(run, view="thresholds")
    assert "6 of 24 images left out" in texts(at)
    (curve,) = component(at, "thresholds")["curves"]
    assert curve["auc"] == pytest.approx(sk.roc_auc_score(labels[good, 0], prob[good, 0]))
    assert len(thresholds_data.scores(run, "val").ids) == 18
    assert "6 of 24 images left out" in texts(page(run, view="calibration"))
    assert has(page(run), "matrix")


def test_no_numbers_at_all_is_said(run: Run) -> None:
    rewrite(run, lambda frame: frame.assign(prob_covid19=math.nan))
    for view in ("thresholds", "calibration"):
        at = page(run, view=view)
        assert "No image has probabilities" in texts(at)
        assert not has(at, "thresholds")
        assert not has(at, "reliability")


@pytest.mark.parametrize("name", ["covid19", "normal"])
def test_one_class_only_has_no_roc(run: Run, name: str) -> None:
    known = run.samples()
    only = set(known.loc[known["label_covid19"] == 1, "sample_id"])
    rewrite(run, lambda frame: frame[frame["sample_id"].isin(only)])
    at = page(run, view="thresholds", k=name)
    (curve,) = component(at, "thresholds")["curves"]
    assert (curve["roc"], curve["auc"], curve["auc_ends"]) == (None, None, None)
    assert (curve["pr"] is None) == (name == "normal")
    assert page(run, view="calibration")


def test_one_image_per_class(run: Run) -> None:
    known = run.samples()
    val = known[known["split"] == "val"]
    kept = {val.loc[val[f"label_{name}"] == 1, "sample_id"].iloc[0] for name in CLASSES}
    rewrite(run, lambda frame: frame[frame["sample_id"].isin(kept)])
    assert component(page(run), "per_class")["rows"][0]["images"] == 1
    (curve,) = component(page(run, view="thresholds"), "thresholds")["curves"]
    assert (curve["n"], curve["positives"], curve["auc_ends"]) == (3, 1, None)
    assert page(run, view="calibration").metric


def test_without_validation_images_nothing_is_saved_and_no_temperature_fitted(run: Run) -> None:
    rewrite(run, lambda frame: frame[frame["split"] != "val"])
    given = component(page(run, view="thresholds", split="test"), "thresholds")
    assert (given["frozen"], given["saves"], given["choices"]) == (False, False, None)
    at = page(run, view="calibration", split="test")
    assert "no validation images to fit a temperature on" in texts(at)
    assert len(at.metric) == 3


def test_probabilities_that_leave_nothing_to_scale(run: Run) -> None:
    rewrite(run, lambda frame: frame.assign(**{f"prob_{name}": 1 / 3 for name in CLASSES}))
    at = page(run, view="calibration")
    assert "No temperature fits" in texts(at)
    assert not [toggle for toggle in at.toggle if toggle.key == "run_temperature"]


def test_a_run_without_predictions_has_no_views(runs: Path) -> None:
    at = page(Run(write_synthetic_run(runs, 1, "stopped")), view="thresholds")
    assert "made at the end of a run" in texts(at)
    assert not at.tabs or "Thresholds" not in [tab.label for tab in at.tabs]
