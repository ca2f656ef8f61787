"""The networks: heads, steps, and freezing checked by name and by value."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.training.models import (
    build,
    changing_names,
    freeze,
    parameter_counts,
    sequence,
    train_mode,
    trainable_parameters,
)
from covidviz.training.optim import make_optimizer


def _config(model: str, trainable: str = "head", **settings: object) -> TrainConfig:
    return TrainConfig.parse({"data": "d", "model": model, "weights": "none", "trainable": trainable, **settings})


@cache
def _built(name: str) -> nn.Module:
    """One network per catalog row for the whole file; tests freeze it as they need."""
    return build(_config(name, head="8"), 3)


@pytest.mark.parametrize("name", MODELS)
def test_steps_are_the_network_and_hold_the_catalogs_layers(name: str) -> None:
    model, x = _built(name).eval(), torch.randn(2, 3, 64, 64)
    steps = sequence(model)
    with torch.inference_mode():
        y = x
        for _, step in steps:
            y = step(y)
        torch.testing.assert_close(y, model(x), atol=0, rtol=0)
    assert y.shape == (2, 3)
    names = [name for name, _ in steps]
    assert len(set(names)) == len(names)
    assert MODELS[name].cam_layer in names
    assert names[-1] == MODELS[name].head


@pytest.mark.parametrize("name", MODELS)
def test_the_catalog_says_the_truth(name: str) -> None:
    row, model = MODELS[name], _built(name)
    modules = [inner for _, all_of in row.layers for inner in all_of]
    for module in modules:
        assert next(model.get_submodule(module).parameters(), None) is not None
    # the layers and the head are all there is
    covered = (*(f"{module}." for module in modules), f"{row.head}.")
    assert all(key.startswith(covered) for key, _ in model.named_parameters())


@pytest.mark.parametrize("name", MODELS)
def test_only_what_is_named_learns(name: str) -> None:
    row, model = MODELS[name], _built(name)
    for trainable in ("head", "all", f"from:{row.layer_names[-2]}", f"{row.layer_names[0]},{row.layer_names[-1]}"):
        config = _config(name, trainable)
        freeze(model, config)
        modules = [inner for layer, all_of in row.layers if layer in config.trainable_layers for inner in all_of]
        expected = (*(f"{module}." for module in modules), f"{row.head}.")
        assert {key for key, p in model.named_parameters() if p.requires_grad} == {
            key for key, _ in model.named_parameters() if key.startswith(expected)
        }
    assert parameter_counts(model)[0] == sum(p.numel() for _, p in trainable_parameters(model))


@pytest.mark.parametrize("which", ["head", "last"])
@pytest.mark.parametrize("name", MODELS)
def test_training_changes_no_frozen_value(name: str, which: str) -> None:
    model = _built(name)
    last = MODELS[name].layer_names[-1]
    config = _config(name, "head" if which == "head" else last, lr=0.1, weight_decay=0.1)
    freeze(model, config)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = make_optimizer(model, config)
    torch.manual_seed(0)
    for _ in range(2):
        train_mode(model)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    may_change = set(changing_names(model))
    assert changed <= may_change
    layers = dict(MODELS[name].layers)
    for module in (MODELS[name].head, *(layers[last] if which == "last" else ())):
        assert any(key.startswith(f"{module}.") for key in changed), module
    statistics = {key for key in may_change if key.endswith("running_mean")}
    assert statistics <= changed
    # batch statistics are used nowhere but where BatchNorm learns
    for key, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (f"{key}.running_mean" in statistics), key


def test_an_inner_module_may_be_named() -> None:
    model = _built("resnet18")
    freeze(model, _config("resnet18", "layer4.1.conv2"))
    assert [key for key, _ in trainable_parameters(model) if not key.startswith("fc.")] == ["layer4.1.conv2.weight"]
    train_mode(model)
    assert not model.get_submodule("layer4.1.bn2").training
    assert model.fc.training


def test_noise_of_frozen_blocks_is_off() -> None:
    model = _built("efficientnet_b0")
    freeze(model, _config("efficientnet_b0", "features.7"))
    train_mode(model)
    depths = {key: m.training for key, m in model.named_modules() if type(m).__name__ == "StochasticDepth"}
    assert depths["features.6.1.stochastic_depth"] is False
    assert depths["features.7.0.stochastic_depth"] is True
    assert [m.training for m in model.classifier.modules() if isinstance(m, nn.Dropout)] == [True]


@pytest.mark.parametrize(
    ("given", "named"), [("layer4.2", "layer4.1.conv2"), ("layer4.1.relu", "layer4.1"), ("layer4.x", "layer4.0.conv1")]
)
def test_a_module_that_can_not_learn_is_refused(given: str, named: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"resnet18 has no layer '{given}' that can learn, accepted: conv1, .*{named}"
    ):
        freeze(_built("resnet18"), _config("resnet18", given))


def test_heads() -> None:
    for head, expected in [("", [512]), ("16", [512, 16]), ("32,16", [512, 32, 16])]:
        model = build(_config("squeezenet1_1", head=head, dropout=0.25), 5)
        linear = [m for m in model.classifier.modules() if isinstance(m, nn.Linear)]
        assert [m.in_features for m in linear] == expected
        assert linear[-1].out_features == 5
        dropouts = [m.p for m in model.classifier.modules() if isinstance(m, nn.Dropout)]
        assert dropouts == [0.25] * (len(expected) - 1)


def test_the_seed_decides() -> None:
    config = _config("squeezenet1_1")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, same, other = build(config, 2), build(config, 2), build(config.replace(seed=1), 2)
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
    assert not torch.equal(one.classifier[-1].weight, other.classifier[-1].weight)
    assert not torch.equal(one.features[0].weight, other.features[0].weight)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_one_image_of_64_pixels_can_be_trained_on(name: str) -> None:
    model = _built(name)
    freeze(model, _config(name, "all"))
    train_mode(model)
    model(torch.randn(1, 3, 64, 64)).sum().backward()
    model.zero_grad()
