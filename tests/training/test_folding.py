"""A network with its BatchNorms folded into its convolutions computes the same function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.training.folding import fold, folds
from covidviz.training.models import build, sequence


def _network(name: str) -> nn.Module:
    """With BatchNorms that do something: as built they are the identity."""
    model = build(TrainConfig.parse({"data": ".", "model": name, "weights": "none"}), 3).eval()
    draw = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=draw)
    return model


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("vgg")])
def test_the_same_function(name: str) -> None:
    model = _network(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    steps = sequence(model)[:-1]
    norms = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert folds(steps) == norms
    folded = fold(steps)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = found = x
        for (name_of, plain), (same, quick) in zip(steps, folded, strict=True):
            assert name_of == same
            expected, found = plain(expected), quick(found)
            if not isinstance(plain, nn.Conv2d):  # one before a BatchNorm has its work done too
                largest = max(1.0, float(expected.abs().max()))
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * largest)
    assert not torch.equal(expected, x)
    left = sum(isinstance(m, nn.BatchNorm2d) for _, s in folded if isinstance(s, nn.Module) for m in s.modules())
    if name.startswith("resnet"):
        assert left == 0
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key]), "the network itself stays as it is"


def test_vgg_has_nothing_to_fold() -> None:
    with torch.device("meta"):
        from torchvision.models import vgg16

        steps = list(vgg16().features.named_children())
    assert not folds(steps)
