"""What the table of layers says without torch; that it is right is checked in tests/training/test_layer_table.py."""

from __future__ import annotations

import pytest

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.layers import head_parameters, learning, network


@pytest.mark.parametrize("model", MODELS)
def test_every_catalog_layer_is_there_in_order(model: str) -> None:
    assert tuple(layer.name for layer in network(model).layers) == MODELS[model].layer_names


def test_sizes_follow_the_image() -> None:
    layers = {layer.name: layer for layer in network("resnet18").layers}
    assert [layer.side(224) for layer in layers.values()] == [112, 56, 28, 14, 7]
    assert layers["layer4"].side(64) == 2
    assert layers["layer4"].gmac(448) == pytest.approx(4 * layers["layer4"].gmac(224))


def test_a_head_is_weights_and_biases() -> None:
    assert head_parameters(512, (), 3) == 512 * 3 + 3
    assert head_parameters(512, (256, 16), 3) == 512 * 256 + 256 + 256 * 16 + 16 + 16 * 3 + 3


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", {}),
        ("from:layer4", {"layer4": 8393728}),
        ("layer2,layer4.1.conv2", {"layer2": 525568, "layer4": 512 * 512 * 9}),
        ("layer4.1,layer4.1.conv2", {"layer4": 2 * 512 * 512 * 9 + 4 * 512}),
        ("layer4.nothing", {}),
    ],
)
def test_what_learns_is_counted_once(trainable: str, expected: dict[str, int]) -> None:
    assert learning(TrainConfig(data="x", trainable=trainable)) == expected
