"""TrainConfig: what it accepts, what it says when it does not, and that nothing is lost on the way to JSON and back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidviz.catalog import AUGMENTATIONS, LOSSES, MODELS, OPTIMIZERS, TASKS
from covidviz.config import TrainConfig, knob, parse_label_rule, parse_lr_steps
from covidviz.errors import ConfigError, InputError

CLASSES = ("covid19", "normal", "pneumonia")


def configs() -> st.SearchStrategy[dict[str, Any]]:
    """Settings as a form gives them, over the whole accepted range."""

    def losses_of(task: str) -> list[str]:
        return [name for name, row in LOSSES.items() if task in row.tasks]

    def trainables_of(model: str) -> st.SearchStrategy[str]:
        layers = MODELS[model].layer_names
        some = st.lists(st.sampled_from(layers), min_size=1, unique=True).map(",".join)
        return st.sampled_from(["head", "all"]) | st.sampled_from(layers).map("from:{}".format) | some

    return st.tuples(st.sampled_from(list(MODELS)), st.sampled_from(list(TASKS))).flatmap(
        lambda pair: st.fixed_dictionaries(
            {
                "data": st.text(min_size=1),
                "model": st.just(pair[0]),
                "task": st.just(pair[1]),
                "trainable": trainables_of(pair[0]),
                "loss": st.none() | st.sampled_from(losses_of(pair[1])),
                "lr": st.floats(1e-8, 10),
                "backbone_lr": st.none() | st.floats(1e-8, 10),
                "focal_gamma": st.floats(0, 10),
                "focal_alpha": st.none() | st.floats(0, 1),
                "dropout": st.floats(0, 0.9),
                "head": st.lists(st.integers(1, 8192), max_size=3).map(tuple),
                "batch_size": st.integers(1, 4096),
                "epochs": st.integers(1, 1000),
                "image_size": st.integers(64, 512),
                "optimizer": st.sampled_from(list(OPTIMIZERS)),
                "augment": st.sampled_from(list(AUGMENTATIONS)),
                "name": st.text(max_size=200),
            }
        )
    )


@given(configs())
def test_json_round_trip_keeps_every_setting(values: dict[str, Any]) -> None:
    config = TrainConfig.parse(values)
    assert TrainConfig.parse(json.loads(json.dumps(config.dump()))) == config
    resolved = config.resolve(CLASSES)
    assert resolved.resolve(CLASSES) == resolved
    assert TrainConfig.parse(json.loads(json.dumps(resolved.dump()))) == resolved


@given(configs())
def test_flags_as_text_mean_the_same(values: dict[str, Any]) -> None:
    text = {
        key: ",".join(map(str, value)) if isinstance(value, tuple) else "off" if value is None else str(value)
        for key, value in values.items()
        if key not in ("name", "data")
    }
    assert TrainConfig.parse({**text, "data": "x"}) == TrainConfig.parse({**values, "data": "x", "name": ""})


def test_resolve_fills_every_default() -> None:
    config = TrainConfig.parse({"data": "x", "lr": 0.02}).resolve(CLASSES)
    assert config.classes == CLASSES
    assert config.critical_class == "covid19"
    assert config.loss == "cross_entropy"
    assert config.backbone_lr == 0.02
    assert config.name == "resnet18 head cross_entropy lr 0.02"
    assert TrainConfig.parse({"data": "x", "task": "multi-label"}).resolve(CLASSES).loss == "bce"
    assert TrainConfig.parse({"data": "x"}).resolve(("infected", "normal")).critical_class is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr": 50}, "lr: 50 given, accepted: above 0 to 10"),
        ({"lr": "fast"}, "lr: 'fast' given, accepted: above 0 to 10"),
        ({"lr": float("nan")}, "lr: nan given, accepted: above 0 to 10"),
        ({"momentum": 1}, "momentum: 1 given, accepted: 0 to below 1"),
        ({"epochs": 0}, "epochs: 0 given, accepted: 1 to 1000"),
        ({"image_size": 32}, "image_size: 32 given, accepted: 64 to 512"),
        ({"dropout": 0.95}, "dropout: 0.95 given, accepted: 0 to 0.9"),
        ({"head": "wide"}, "head: 'wide' given, accepted: widths from 1 to 8192, comma-separated, such as 512,256"),
        ({"head": "0"}, "head: '0' given, accepted: widths from 1 to 8192"),
        ({"model": "resnet19"}, "model: 'resnet19' given, accepted: resnet18, vgg16"),
        ({"loss": "hinge"}, "loss: 'hinge' given, accepted: cross_entropy, bce, focal"),
        ({"loss": "bce"}, "loss: 'bce' does not fit task single-label, accepted: cross_entropy, focal, class_balanced"),
        ({"device": "tpu"}, "device: 'tpu' given, accepted: auto, cpu, cuda"),
        ({"precision": "int8"}, "precision: 'int8' given, accepted: 'auto', 'fp32', 'bf16', 'fp16'"),
        ({"monitor": "val_beauty"}, "monitor: 'val_beauty' given, accepted: val_"),
        ({"trainable": "layer9"}, "trainable: resnet18 has no layer 'layer9', accepted: head, all, from:LAYER, conv1"),
        ({"trainable": "from:layer9"}, "trainable: resnet18 has no layer 'layer9' to train from, accepted: conv1"),
        ({"trainable": ""}, "trainable: nothing given, accepted: head, all"),
        ({"model": "vgg16", "trainable": "features.1"}, "trainable: vgg16 has no layer 'features.1'"),
        ({"schedule": "step"}, "lr_steps: the step schedule needs at least one EPOCH:LR"),
        ({"lr_steps": "now"}, "lr_steps: 'now' given, accepted: EPOCH:LR pairs"),
        ({"lr_steps": "0:1"}, "lr_steps: '0:1' given, accepted: epochs from 1"),
        ({"label_rule": "covid19"}, "label_rule: 'covid19' given, accepted: CLASS>CLASS"),
        ({"classes": "a,b,a"}, "classes: 'a,b,a' names a class twice"),
        ({"classes": "a,b", "critical_class": "c"}, "critical_class: 'c' given, accepted: a, b"),
        ({"nesterov": True, "optimizer": "adam"}, "nesterov: needs optimizer sgd"),
        ({"gamma": 2}, "gamma: no such setting, accepted: data, "),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        TrainConfig.parse({"data": "x", **values})


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(InputError, match=r"lr: .*; epochs: "):
        TrainConfig.parse({"data": "x", "lr": -1, "epochs": 0})
    with pytest.raises(ConfigError, match="data: missing"):
        TrainConfig.parse({})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"critical_class": "flu"}, "critical_class: 'flu' given, accepted: covid19, normal, pneumonia"),
        ({"label_rule": "covid19>flu"}, "label_rule: 'flu' is no class of the dataset"),
        ({"monitor": "val_recall_flu"}, "monitor: 'flu' is no class of the dataset"),
        ({"monitor": "val_exact_match"}, "monitor: val_exact_match does not exist for single-label"),
        ({"monitor": "val_accuracy", "task": "multi-label"}, "monitor: val_accuracy does not exist for multi-label"),
    ],
)
def test_resolve_checks_against_the_dataset(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        TrainConfig.parse({"data": "x", **values}).resolve(CLASSES)


def test_newer_fields_are_tolerated_only_when_reading() -> None:
    document = {**TrainConfig.parse({"data": "x"}).dump(), "schema_version": 2, "mixup": 0.3}
    assert TrainConfig.parse(document, tolerant=True).data == "x"
    with pytest.raises(ConfigError, match="mixup: no such setting"):
        TrainConfig.parse(document)


def test_trainable_layers_follow_the_network() -> None:
    def layers(**values: str) -> tuple[str, ...]:
        return TrainConfig.parse({"data": "x", **values}).trainable_layers

    assert layers(trainable="head") == ()
    assert layers(trainable="from:layer3") == ("layer3", "layer4")
    assert layers(trainable="layer4,conv1") == ("conv1", "layer4")
    assert layers(trainable="layer4.1.conv2") == ("layer4.1.conv2",)
    assert layers(model="vgg16", trainable="features.10") == ("features.10",)
    assert len(layers(model="vgg16", trainable="all")) == 13


def test_every_setting_has_a_range_or_choices_and_help() -> None:
    for name in TrainConfig.model_fields:
        row = knob(name)
        assert str(row["help"]).endswith("."), name
        if row["step"]:
            assert row["low"] is not None, name
            assert row["high"] is not None, name


def test_parsers() -> None:
    assert parse_lr_steps("8:1e-4, 5:0.001") == [(5, 0.001), (8, 0.0001)]
    assert parse_lr_steps(None) == []
    assert parse_label_rule("a>b, b>c@train") == [("a", "b", False, False), ("b", "c", False, True)]
    assert parse_label_rule("a=c,b=c") == [("a", "c", True, False), ("b", "c", True, False)]
