"""Running a whole report: what is queued, in which order, what is left out and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from explored import make_dataset

from covidviz.errors import DataError
from covidviz.jobs import many_recipes
from covidviz.jobs.devices import Slot
from covidviz.jobs.estimate import Measured
from covidviz.jobs.queue import queued
from covidviz.recipes import reports
from covidviz.store.index import RunIndex
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs

CLASSES = ("covid19", "normal", "pneumonia")
CPU = [Slot("cpu", "cpu", "")]
COUNTS = {"train": 600, "val": 200, "test": 200}


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_recipes, "ensure_scheduler", lambda runs_dir: None)


def configs(part: str, data: str = "/data", **changes):
    report = reports()[part]
    return [many_recipes.config_for(report, one, data, CLASSES, **changes) for one in report.recipes]


def test_one_network_after_the_other_and_the_deepest_frozen_part_first() -> None:
    found = many_recipes.in_order(configs("msds19043"))
    models = [one.model for one in found]
    assert models == sorted(models, reverse=True)  # vgg16, which comes first in the report, then resnet18
    assert [one.name.rpartition("/")[2] for one in found[:2]] == ["15", "17"]  # the only ones with frozen layers
    names = [one.name.partition("/")[2] for one in many_recipes.in_order(configs("bscs17028"))]
    assert names == ["vgg16-fc", "vgg16-conv10", "vgg16-conv-few", "vgg16-entire", "resnet18-fc", "resnet18-entire"]


def test_what_an_earlier_one_keeps_is_not_counted_again() -> None:
    known = {"vgg16": [Measured("vgg16", "cpu", 224, 15.0, 2.0, 5.0)]}
    heads = [one for one in configs("mscs19008_part1", augment="none") if one.trainable == "head"]
    plan = many_recipes.plan(heads, [], COUNTS, known, CPU)
    assert (len(plan.todo), plan.alike) == (6, 5)
    alone = sum(many_recipes.plan([one], [], COUNTS, known, CPU).seconds or 0 for one in heads)
    assert plan.seconds is not None
    assert plan.seconds < 0.5 * alone
    course = [one for one in configs("mscs19008_part1") if one.trainable == "head"]
    assert many_recipes.plan(course, [], COUNTS, known, CPU).alike == 0  # augmented anew in each epoch: nothing is kept
    assert many_recipes.plan(heads, [], COUNTS, {}, CPU).seconds is None


def test_what_is_left_out_and_why() -> None:
    every = configs("bscs17028")
    plan = many_recipes.plan(every, [], COUNTS, {}, CPU, missing_weights=["vgg16"])
    assert [one.model for one in plan.todo] == ["resnet18"] * 2
    assert {why for _, why in plan.skipped} == {
        "its ImageNet weights are neither on this machine nor to be had from here"
    }
    assert (
        len(
            many_recipes.plan(configs("bscs17028", weights="none"), [], COUNTS, {}, CPU, missing_weights=["vgg16"]).todo
        )
        == 6
    )
    small = many_recipes.plan(every, [], COUNTS, {}, CPU, memory=1e9)
    assert not small.todo
    assert all("of memory" in why for _, why in small.skipped)


def test_what_ran_already_is_not_queued_again(runs: Path, folders: Path) -> None:
    data = make_dataset(folders / "data" / "noise", n=36)
    every = configs("bscs17028", str(data), image_size=64)
    made = many_recipes.submit_all(every[:2], runs)
    assert [row.run_id for row in queued(runs)] == [path.name for path in made]
    config = Run(made[1]).config()
    assert config is not None
    assert (config.recipe, config.name) == ("bscs17028/vgg16-conv10", "bscs17028/vgg16-conv10")
    assert config.label_rule == "covid19=infected,pneumonia=infected"
    plan = many_recipes.plan(every, RunIndex(runs).refresh(), COUNTS, {}, CPU)
    assert [name for name, _ in plan.skipped] == ["bscs17028/vgg16-fc", "bscs17028/vgg16-conv10"]
    assert "queued" in plan.skipped[0][1]
    other = configs("bscs17028", str(data), image_size=96)
    assert len(many_recipes.plan(other, RunIndex(runs).refresh(), COUNTS, {}, CPU).todo) == 6


def test_nothing_is_made_where_one_does_not_fit(runs: Path, folders: Path) -> None:
    data = make_dataset(folders / "data" / "noise", n=36)
    good, other = configs("bscs17028", str(data))[:2]
    with pytest.raises(DataError):
        many_recipes.submit_all([good, other.replace(data="/nowhere")], runs)
    assert list_run_dirs(runs) == []
