"""layers.json against torchvision's networks: measured anew, and against the networks that are trained."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from covidviz import layers
from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.training.layer_table import measure
from covidviz.training.models import build, freeze, parameter_counts


@pytest.mark.parametrize("model", MODELS)
def test_the_file_is_what_is_measured(model: str) -> None:
    assert json.loads(layers.FILE.read_text())[model] == measure(model), "run python -m covidviz.training.layer_table"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("side", [97, 300])
def test_shapes_are_those_of_a_forward_pass(model: str, side: int) -> None:
    with torch.device("meta"):
        net = get_model(model).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    ends = {modules[-1]: name for name, modules in MODELS[model].layers}
    for inner, name in ends.items():
        net.get_submodule(inner).register_forward_hook(
            lambda _m, _i, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    net(torch.empty(1, 3, side, side, device="meta"))
    for layer in layers.network(model).layers:
        assert shapes[layer.name] == (layer.channels, layer.side(side), layer.side(side)), layer.name


@pytest.mark.parametrize("model", MODELS)
def test_counts_are_those_of_the_trained_network(model: str) -> None:
    names = MODELS[model].layer_names
    inner = [f"{layer.name}.{one}" for layer in layers.network(model).layers for one in layer.inner] or [names[0]]
    with torch.device("meta"):
        net: nn.Module = build(TrainConfig(data="x", model=model, weights="none", head=(32,)), 5)
    for trainable in ("head", "all", f"from:{names[-2]}", f"{names[0]},{inner[-1]}"):
        config = TrainConfig(data="x", model=model, weights="none", trainable=trainable, head=(32,))
        freeze(net, config)
        learns = layers.learning(config)
        network = layers.network(model)
        head = layers.head_parameters(network.features, config.head, 5)
        total = head + sum(layer.parameters for layer in network.layers)
        assert parameter_counts(net) == (head + sum(learns.values()), total), trainable
        stored = sum(t.numel() for t in net.state_dict().values())
        assert stored == total + sum(layer.buffers for layer in network.layers)
