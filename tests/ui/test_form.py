"""What a link may hold, and how settings fit together while they are edited."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from synthetic import write_synthetic_run

from covidviz.config import TrainConfig
from covidviz.ui import datasets
from covidviz.ui.form import DEFAULTS, Form, _fit, check, decode, differing, encode, from_run, link, read


def test_a_link_round_trips() -> None:
    values = {
        "data": "/x",
        "lr": 3e-4,
        "head": (512, 128),
        "focal_alpha": 0.25,
        "trainable": "from:layer3",
        "name": "ü**",
    }
    assert decode(encode(values)) == (values, [])


@pytest.mark.parametrize("text", ["", "[[[", "null", "[1]", '"text"', "[" * 100_000, "{" * 9000])
def test_an_unreadable_link_means_the_defaults(text: str) -> None:
    values, notes = decode(text)
    assert values == {}
    assert len(notes) == 1


def test_what_a_link_may_not_hold_is_left_out_and_named() -> None:
    given = {"dropout": 7, "epochs": "many", "task": "guess", "__class__": 1, "model": {"a": 1}, "lr": 0.1}
    values, notes = decode(json.dumps(given))
    assert values == {"lr": 0.1}
    assert len(notes) == 5
    assert any("dropout" in note and "7" in note for note in notes)


def test_typed_text_is_kept_to_be_corrected() -> None:
    values, notes = decode(json.dumps({"lr": "abc", "batch_size": -1}))
    assert values == {"lr": "abc", "batch_size": -1}
    assert notes == []
    config, errors = check({"data": "/x", **values})
    assert config is None
    assert "'abc' given" in errors["lr"]
    assert "-1 given" in errors["batch_size"]


def test_a_setting_that_does_not_fit_the_others_is_kept_and_said() -> None:
    values, notes = decode(json.dumps({"data": "/x", "loss": "bce", "schedule": "step"}))
    assert (values["loss"], values["schedule"], notes) == ("bce", "step", [])
    assert "does not fit" in check(values)[1]["loss"]
    assert "EPOCH:LR" in check({"data": "/x", "schedule": "step"})[1]["lr_steps"]


def test_nothing_chosen_yet_is_no_mistake() -> None:
    config, errors = check({})
    assert config is None
    assert not any(errors.values())


def test_values_that_are_the_default_are_no_difference() -> None:
    assert differing({"lr": "0.01", "head": "256", "focal_alpha": "off", "epochs": 10}) == {}
    assert read("head", "512, 128") == (512, 128)
    assert read("lr", "much") == "much"


def test_a_clone_leaves_open_what_was_filled_in(runs: Path) -> None:
    run = write_synthetic_run(runs, 1, lr=0.3, name="", model="vgg16", trainable="from:features.24")
    values = from_run(run)
    assert values["lr"] == 0.3
    assert values["trainable"] == "from:features.24"
    assert not {"loss", "backbone_lr", "critical_class", "name"} & set(values)
    assert TrainConfig.parse(values).model == "vgg16"


def test_a_clone_names_only_classes_that_were_chosen(runs: Path, tiny_phantoms: Path) -> None:
    classes = datasets.of_config(TrainConfig(data=str(tiny_phantoms))).classes
    whole = write_synthetic_run(runs, 1, data=tiny_phantoms, classes=classes)
    some = write_synthetic_run(runs, 2, data=tiny_phantoms, classes=classes[:2])
    assert "classes" not in from_run(whole)
    assert from_run(some)["classes"] == classes[:2]


def test_another_model_resets_only_what_does_not_fit() -> None:
    values = {"model": "vgg16", "trainable": "from:layer3", "weights": "/w.pth", "lr": 0.3}
    notes = _fit(values, {"model"})
    assert values == {"model": "vgg16", "lr": 0.3}
    assert len(notes) == 2
    values = {"model": "resnet50", "trainable": "from:layer3"}
    assert _fit(values, {"model"}) == []
    assert values["trainable"] == "from:layer3"


def test_another_task_resets_loss_and_monitor() -> None:
    values = {"task": "multi-label", "loss": "cross_entropy", "monitor": "val_accuracy", "focal_gamma": 3.0}
    assert len(_fit(values, {"task"})) == 1
    assert values == {"task": "multi-label", "focal_gamma": 3.0}
    values = {"task": "multi-label", "loss": "focal"}
    assert _fit(values, {"task"}) == []
    assert values["loss"] == "focal"


def test_the_step_schedule_starts_with_a_step() -> None:
    values = {"schedule": "step", "epochs": 8, "lr": 0.1}
    _fit(values, {"schedule"})
    assert values["lr_steps"] == "5:0.01"
    assert check({"data": "/x", **values})[0] is not None
    values["schedule"] = "cosine"
    _fit(values, {"schedule"})
    assert "lr_steps" not in values


def test_another_dataset_forgets_its_classes() -> None:
    values = {"data": "/b", "classes": ("a", "b"), "critical_class": "a", "monitor": "val_recall_a", "lr": 1.0}
    _fit(values, {"data"})
    assert values == {"data": "/b", "lr": 1.0}


def test_defaults_are_those_of_the_config() -> None:
    assert set(DEFAULTS) == set(TrainConfig.model_fields)
    assert TrainConfig.parse({**DEFAULTS, "data": "/x"}) == TrainConfig(data="/x")


def test_a_link_holds_what_differs_and_how_many_seeds() -> None:
    query = dict(parse_qsl(urlsplit(link(Form({"lr": 0.5}, clone="20260101-000000-x-0000", repeat=4))).query))
    assert query == {"clone": "20260101-000000-x-0000", "s": '{"lr":0.5}', "k": "4"}
    assert link(Form({})) == "new_run?s=%7B%7D"
