"""What the Compare page says of two runs: the verdict, the images behind it, what one setting did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from compare_driver import compared, component, link, page, texts, write
from explored import make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.evaluation.effects import Noise, effect_of, ladders, noise_of
from covidviz.store import layout
from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.ui.compare_parallel import parallel_figure
from covidviz.ui.results import measured, results

# --- verdict and flips ---


@pytest.fixture(scope="module")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One dataset for all runs: invented ones have labels of their own. Read only."""
    return make_dataset(tmp_path_factory.mktemp("set"), n=216)


def flip_items(at: AppTest) -> list[dict[str, Any]]:
    return component(at, "compare_flips")["items"]


def test_the_verdict_is_that_of_the_command_line(runs: Path, xrays: Path) -> None:
    from covidviz.evaluation.judged_runs import judgement
    from covidviz.evaluation.matched import match
    from covidviz.evaluation.paired import compare
    from covidviz.evaluation.verdict import verdict

    ids = [write(runs, 1, data=xrays), write(runs, 2, data=xrays)]
    (a, critical), (b, _) = (judgement(Run(runs / run_id), "x") for run_id in ids)
    found = match([a], [b], "val")
    paired = compare(found.truth, found.a, found.b, found.classes, found.task, clusters=found.patients)
    said = verdict(paired, critical=critical)
    text = texts(page(runs=",".join(ids)))
    assert said.headline in text
    assert said.numbers in text
    assert f"On the same {paired.n} validation images of {paired.units} patients" in text
    assert all(caution in text for caution in said.cautions)
    assert f"| **A right** | {paired.both_right} | {paired.broken} |" in text


def test_the_difference_of_each_metric_is_drawn(runs: Path, xrays: Path) -> None:
    ids = [write(runs, 1, data=xrays), write(runs, 2, data=xrays)]
    rows = {row["name"]: row for row in component(page(runs=",".join(ids)), "compare_forest")["rows"]}
    assert [name for name, row in rows.items() if row["first"]] == [
        "Accuracy", "Macro F1", "Recall of covid19", "Recall of normal", "Recall of pneumonia",
    ]  # fmt: skip
    assert {"Precision of normal", "F1 of pneumonia"} <= set(rows)
    for row in rows.values():
        assert row["low"] <= row["diff"] <= row["high"]
        assert row["diff"] == pytest.approx(row["b"] - row["a"])
        assert row["a_sd"] is None


def test_baseline_and_other_change_places(runs: Path, xrays: Path) -> None:
    ids = [write(runs, i, data=xrays) for i in (1, 2, 3)]
    at = page(runs=",".join(ids), a=ids[0], b=ids[2])
    before = component(at, "compare_forest")["rows"][0]["diff"]
    at.button(key="compare_swap").click().run()
    assert (link(at, "a"), link(at, "b")) == (ids[2], ids[0])
    assert component(at, "compare_forest")["rows"][0]["diff"] == pytest.approx(-before)


def test_the_images_that_changed_sides_are_shown_by_kind_and_class(runs: Path, xrays: Path) -> None:
    ids = [write(runs, i, data=xrays) for i in (1, 2)]
    at = page(runs=",".join(ids))
    shown = component(at, "compare_flips")
    assert shown["kind"] == "fixed"
    said = {run_id: results(Run(runs / run_id)) for run_id in ids}
    right = {}
    for run_id, found in said.items():
        assert found is not None
        rows = found.frame[found.frame["split"] == "val"]
        right[run_id] = set(rows.loc[rows["right"], "sample_id"])
        everything = set(rows["sample_id"])
    fixed = right[ids[1]] - right[ids[0]]
    assert {item["id"] for item in shown["items"]} == fixed
    assert all(item["right"] is False and item["b"]["right"] for item in shown["items"])
    assert all(item["heat"] and item["b"]["heat"] and item["v"] for item in shown["items"])
    assert [[run["heat"] for run in side] for side in shown["sides"]] == [[f"/cam/{run_id}/"] for run_id in ids]
    at.segmented_control(key="compare_flips_kind").set_value("both_wrong").run()
    assert {item["id"] for item in flip_items(at)} == everything - right[ids[0]] - right[ids[1]]
    at.selectbox(key="compare_flips_class").set_value("normal").run()
    assert flip_items(at)
    assert {item["true"] for item in flip_items(at)} == {"normal"}


def test_the_images_whose_probability_changed_most_come_first(runs: Path, xrays: Path) -> None:
    ids = [write(runs, i, data=xrays) for i in (1, 2)]
    shown = flip_items(page(runs=",".join(ids)))
    change = [max(abs(p - q) for p, q in zip(item["p"], item["b"]["p"], strict=True)) for item in shown]
    assert change == sorted(change, reverse=True)


def test_maps_of_a_run_with_other_class_order_are_found(runs: Path, xrays: Path) -> None:
    turned = ("pneumonia", "covid19", "normal")
    ids = [write(runs, 1, data=xrays), write(runs, 2, data=xrays, classes=turned)]
    shown = component(page(runs=",".join(ids)), "compare_flips")
    assert [turned[k] for k in shown["sides"][1][0]["order"]] == list(shown["classes"])


def seeds(runs: Path, gamma: float, numbers: range, **more: Any) -> list[str]:
    same = {"model": "resnet18", "loss": "focal", "lr": 0.1, "tags": (), "focal_gamma": gamma, **more}
    return [write(runs, i, seed=i % 10, name=f"gamma {gamma:g} seed {i % 10}", **same) for i in numbers]


def test_groups_of_seeds_stand_against_each_other(runs: Path, xrays: Path) -> None:
    first, second = seeds(runs, 0.5, range(11, 14), data=xrays), seeds(runs, 2, range(21, 24), data=xrays)
    ids = [run_id for pair in zip(first, second, strict=True) for run_id in pair]
    at = page(runs=",".join(ids))
    assert at.selectbox(key="compare_a").value == f"seeds-{first[0]}"
    assert at.selectbox(key="compare_b").value == f"seeds-{second[0]}"
    assert "1, 3, 5 · gamma 0.5 (3 seeds)" in at.selectbox(key="compare_a").options
    rows = component(at, "compare_forest")["rows"]
    accuracy = [measured(Run(runs / run_id), "val").metrics["accuracy"] for run_id in first]
    assert rows[0]["a_runs"] == pytest.approx(accuracy)
    assert rows[0]["a"] == pytest.approx(sum(accuracy) / 3)
    assert rows[0]["a_sd"] > 0
    shown = component(at, "compare_flips")
    assert shown["sizes"] == [3, 3]
    assert all(item["votes"][0] <= 1 and item["votes"][1] >= 2 for item in shown["items"])
    assert all(not item["right"] and item["b"]["right"] for item in shown["items"])
    for item in shown["items"]:  # told by a run that decided so itself
        assert item["p"][item["d"].index(1)] == max(item["p"])
        assert item["b"]["p"][item["b"]["d"].index(1)] == max(item["b"]["p"])
    at.selectbox(key="compare_a").set_value(first[1]).run()
    assert link(at, "a") == first[1]
    assert "A is one run" in texts(at)


def test_what_can_not_be_paired_still_shows_the_rest(runs: Path) -> None:
    ids = [write(runs, 1), write(runs, 2, classes=("healthy", "ill"))]
    at = page(runs=",".join(ids))
    assert "No paired verdict" in texts(at)
    assert "have different classes (covid19, normal, pneumonia; healthy, ill)" in texts(at)
    assert not component(at, "compare_forest")
    assert not component(at, "compare_flips")
    assert all(component(at, f"compare_matrix_{run_id}") for run_id in ids)
    assert component(at, "compare_plot")["figure"]["data"]


def test_numbers_that_are_none_do_not_break_the_page(runs: Path, xrays: Path) -> None:
    ids = [write(runs, 1, data=xrays), write(runs, 2, data=xrays)]
    path = runs / ids[1] / layout.PREDICTIONS
    frame = pd.read_parquet(path)
    frame.loc[frame.index[:100], "prob_normal"] = float("nan")
    frame.to_parquet(path)
    said = texts(page(runs=",".join(ids)))
    assert "have a probability that is no number in one of the runs and are left out." in said
    frame["prob_normal"] = float("nan")
    frame.to_parquet(path)
    said = texts(page(runs=",".join(ids)))
    assert "No paired verdict" in said


# --- one setting ---


def summary(i: int, value: float = 0.7, metric: str = "macro_f1", **settings: Any) -> RunSummary:
    given = {"data": "/x", "task": "single-label", "loss": "focal", "trainable": "head", "lr": 0.1, "backbone_lr": 0.1,
             "schedule": "constant", "focal_gamma": 2.0, "seed": 0, **settings}  # fmt: skip
    return RunSummary(f"r{i}", f"run {i}", "completed", metrics={metric: value}, settings=given, created=float(-i))


def test_runs_that_differ_in_one_setting_only_are_found() -> None:
    rows = [
        summary(1, 0.70), summary(2, 0.72, seed=1), summary(3, 0.80, focal_gamma=0.5),
        summary(4, 0.84, focal_gamma=0.5, seed=1), summary(5, 0.5, lr=0.2, backbone_lr=0.2),
        summary(6, 0.6, lr=0.2, backbone_lr=0.2, focal_gamma=1.0, batch_size=8),  # two settings from every other one
        summary(7, 0.9, data="/y", focal_gamma=0.5), summary(8, 0.1, focal_gamma=0.5, name="old"),
    ]  # fmt: skip
    found = {ladder.setting: ladder for ladder in ladders(rows, "macro_f1")}
    assert set(found) == {"focal_gamma", "lr"}
    gamma = found["focal_gamma"]
    assert [(step.title, step.values) for step in gamma.steps] == [("0.5", [0.80, 0.84]), ("2", [0.70, 0.72])]
    assert [step.title for step in found["lr"].steps] == ["0.1", "0.2"]  # the backbone's rate follows
    noise = noise_of(rows, "macro_f1")
    assert noise is not None
    assert (noise.groups, noise.degrees) == (2, 2)
    assert noise.deviation == pytest.approx(((0.02**2 + 0.04**2) / 4) ** 0.5)
    assert ladders(rows, "gone") == []


def test_settings_that_were_not_used_are_no_difference() -> None:
    plain = {"loss": "cross_entropy"}
    rows = [summary(1, **plain), summary(2, **plain, focal_gamma=0.5), summary(3, **plain, lr_steps="5:1e-3", seed=1)]
    assert ladders(rows, "macro_f1") == []
    other = ladders([*rows, summary(4)], "macro_f1")  # the loss was changed, gamma stayed as it comes
    assert [ladder.setting for ladder in other] == ["loss"]


def test_single_seeds_borrow_the_noise_of_others_or_have_none() -> None:
    found, borrowed = effect_of([0.7], [0.8], Noise(0.01, 2, 4))
    assert borrowed
    assert found.diff == pytest.approx(0.1)
    assert found.high is not None
    assert found.high - found.diff == pytest.approx(2.776 * 0.01 * 2**0.5, rel=1e-3)
    assert effect_of([0.7], [0.8], None)[0].low is None
    assert not effect_of([0.7, 0.72], [0.8], Noise(0.01, 2, 4))[1]


def test_the_effect_of_a_setting_is_shown_with_its_noise(runs: Path) -> None:
    first, second = seeds(runs, 0.5, range(11, 14)), seeds(runs, 2, range(21, 24))
    at = page(runs=",".join([*first, *second]))
    shown = component(at, "compare_effects")
    (table_,) = shown["tables"]
    assert [row["value"] for row in table_["rows"]] == ["0.5", "2"]
    assert [len(row["runs"]) for row in table_["rows"]] == [3, 3]
    change = table_["rows"][1]
    best = [Run(runs / run_id).best()[1]["val"]["macro_f1"] for run_id in (*first, *second)]
    assert change["diff"] == pytest.approx(sum(best[3:]) / 3 - sum(best[:3]) / 3)
    assert change["said"] in ("within the seed noise", "beyond the seed noise")
    assert "Seed noise: standard deviation" in texts(at)


def test_runs_that_differ_in_more_look_among_all(runs: Path) -> None:
    ids = [write(runs, 1), write(runs, 2)]
    twin = {"model": "vgg16", "loss": "cross_entropy", "tags": (), "focal_gamma": 1.0, "seed": 0}
    for i, lr in ((3, 0.1), (4, 0.02)):
        write(runs, i, lr=lr, **twin)
    at = page(runs=",".join(ids))
    assert "No two of these runs differ in one setting only." in texts(at)
    at.segmented_control(key="compare_effects_scope").set_value("All runs").run()
    shown = component(at, "compare_effects")
    assert shown["setting"] == "Learning rate"
    assert shown["tables"][0]["rows"][1]["said"] == "one seed each: nothing tells it from seed noise"


def test_parallel_coordinates_have_an_axis_per_setting_and_score(runs: Path) -> None:
    ids = [write(runs, i, lr=10.0**-i, name=f"<b>{i}") for i in (1, 2, 3)]
    at = page(runs=",".join(ids))
    (trace,) = component(at, "compare_parallel")["figure"]["data"]
    labels = {axis["label"].replace("<br>", " "): axis for axis in trace["dimensions"]}
    assert {"Learning rate", "Network", "Macro F1", "Recall of covid19"} <= set(labels)
    assert labels["Learning rate"]["values"] == pytest.approx([-1, -2, -3])
    assert labels["Learning rate"]["ticktext"] == ["0.001", "0.01", "0.1"]
    assert all(len(axis["values"]) == 3 for axis in trace["dimensions"])
    assert {colour for _, colour in trace["line"]["colorscale"]} == {"@0", "@1", "@2"}
    assert not component(page(runs=",".join(ids[:2])), "compare_parallel")


def test_many_runs_have_the_colour_of_their_score(runs: Path) -> None:
    some = compared(runs, *[write_synthetic_run(runs, i, epochs=2).name for i in range(1, 11)])
    configs = {one.id: config for one in some if (config := one.run.config()) is not None}
    line = parallel_figure(some, configs)["data"][0]["line"]
    assert len(line["color"]) == 10
    assert len(line["colorscale"]) == 2
