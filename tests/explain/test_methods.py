"""Every CAM method against its paper's formula, written once more without cuts, chunks and tricks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from covidviz.catalog import CAM_METHODS, MODELS
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.explain import cam, methods
from covidviz.explain.methods import METHODS
from covidviz.training.models import build, freeze, sequence

CLASSES = ("covid19", "normal", "pneumonia")


@cache
def network(model: str) -> nn.Module:
    values = {"data": "x", "classes": CLASSES, "model": model, "weights": "none", "head": "16"}
    config = TrainConfig.parse(values).resolve(CLASSES)
    torch.manual_seed(0)
    net = build(config, 3, pretrained=False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    freeze(net, config)
    return net.eval()


def batch(n: int = 3, size: int = 64) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def seen(model: nn.Module, image: Tensor, layer: str, c: int) -> tuple[np.ndarray, np.ndarray]:
    """A and g of one image and class, [K, h, w] float64, by plain autograd through the whole network."""
    x, activation = image[None], None
    for name, step in sequence(model):
        x = step(x)
        if name == layer:
            activation = x.detach().clone().requires_grad_()
            x = activation.clone()
    assert activation is not None
    (gradient,) = torch.autograd.grad(x[0, c], activation)
    return activation[0].detach().double().numpy(), gradient[0].double().numpy()


def plain(method: str, model: nn.Module, image: Tensor, layer: str, c: int) -> np.ndarray:
    a, g = seen(model, image, layer, c)
    k = len(a)
    if method == "grad-cam":
        total = sum(g[i].mean() * a[i] for i in range(k))
    elif method == "grad-cam++":
        total = np.zeros(a.shape[1:])
        for i in range(k):
            alpha = np.zeros_like(g[i])
            for y, x in np.ndindex(*g[i].shape):
                below = 2 * g[i, y, x] ** 2 + a[i].sum() * g[i, y, x] ** 3
                alpha[y, x] = g[i, y, x] ** 2 / below if below else 0
            total += (alpha * np.maximum(g[i], 0)).sum() * a[i]
    elif method == "hirescam":
        total = (g * a).sum(0)
    elif method == "layercam":
        total = (np.maximum(g, 0) * a).sum(0)
    elif method == "eigencam":
        _, _, rows = np.linalg.svd(a.reshape(k, -1).T, full_matrices=False)
        total = (a.reshape(k, -1).T @ rows[0]).reshape(a.shape[1:])
        total = total if np.maximum(total, 0).sum() >= np.maximum(-total, 0).sum() else -total
    else:
        scores = []
        for channel in a:
            mask = F.interpolate(
                torch.from_numpy(channel)[None, None].float(), image.shape[1:], mode="bilinear", align_corners=False
            )
            mask = mask - mask.min()
            if mask.max() > 0:
                mask = mask / mask.max()
            with torch.no_grad():
                scores.append(float(model(image[None] * mask)[0, c]))
        weights = np.exp(np.array(scores) - max(scores))
        total = np.einsum("k,khw->hw", weights / weights.sum(), a)
    return np.maximum(total, 0)


def test_every_catalog_row_has_its_function_and_source():
    assert list(METHODS) == list(CAM_METHODS)
    assert all(row.source and row.help.endswith(".") for row in CAM_METHODS.values())


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small"])
@pytest.mark.parametrize("method", [name for name, row in CAM_METHODS.items() if not row.slow])
def test_equals_the_papers_formula(method: str, name: str):
    model, x, layer = network(name), batch(2), MODELS[name].cam_layer
    ours = METHODS[method](model, x, range(3), layer).numpy()
    assert ours.dtype == np.float32
    for b, c in np.ndindex(2, 3):
        expected = plain(method, model, x[b], layer, c)
        assert ours[b, c] == pytest.approx(expected, rel=1e-3, abs=1e-4 * float(expected.max()) + 1e-12)
    assert ours.max() > 0


def test_score_cam_equals_the_papers_formula(monkeypatch: pytest.MonkeyPatch):
    model, x, layer = network("resnet18"), batch(2, 32), "layer1"  # 64 channels of 8 x 8
    monkeypatch.setattr(methods, "MASKS_AT_ONCE", 25)  # does not divide them
    ours = METHODS["score-cam"](model, x, [2, 0], layer).numpy()
    for b in range(2):
        for i, c in enumerate([2, 0]):
            expected = plain("score-cam", model, x[b], layer, c)
            assert ours[b, i] == pytest.approx(expected, rel=1e-3, abs=1e-4 * float(expected.max()))


def test_a_case_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Two channels of 1 x 2 and logit = 2 A00 - A01 + 3 A10: the gradient is (2, -1) and (3, 0)."""
    weights = torch.tensor([[2.0, -1, 3, 0]])
    monkeypatch.setattr(
        cam, "sequence", lambda _: [("pass", lambda x: x[:, :2]), ("head", lambda a: a.flatten(1) @ weights.T)]
    )
    x = torch.tensor([[[[1.0, 2.0]], [[4.0, 0.0]], [[0.0, 0.0]]]])
    got = {name: METHODS[name](nn.Identity(), x, [0], "pass")[0, 0, 0].tolist() for name in METHODS}
    assert got["grad-cam"] == pytest.approx([0.5 * 1 + 1.5 * 4, 0.5 * 2])
    assert got["hirescam"] == pytest.approx([2 * 1 + 3 * 4, 0])  # -2 is cut off
    assert got["layercam"] == pytest.approx([14, 0])
    # alpha at A00: 4 / (8 + 3 * 8) = 1/8, times 2; at A10: 9 / (18 + 4 * 27) = 1/14, times 3
    assert got["grad-cam++"] == pytest.approx([1 / 4 * 1 + 3 / 14 * 4, 1 / 4 * 2])
    # [[1, 4], [2, 0]]: the first singular value squared is (21 + sqrt(185)) / 2
    assert np.hypot(*got["eigencam"]) == pytest.approx(np.sqrt((21 + np.sqrt(185)) / 2))
    # masks (0, 1) and (1, 0): the image seen through them has the logits -1 * 2 and 2 * 1 + 3 * 4
    share = 1 / (1 + np.exp(-2 - 14))
    assert got["score-cam"] == pytest.approx([(1 - share) * 1 + share * 4, (1 - share) * 2], rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_leaves_the_model_as_it_was_and_a_batch_is_its_images(method: str):
    model = network("resnet18")
    model.train()
    try:
        x, layer = batch(3, 48), "layer2" if method != "score-cam" else "layer1"
        together = METHODS[method](model, x, [0, 2], layer)
        assert all(module.training for module in model.modules())
        assert all(p.grad is None for p in model.parameters())
        assert not together.requires_grad
        alone = torch.cat([METHODS[method](model, one[None], [0, 2], layer) for one in x])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4 * float(together.max()))
        with pytest.raises(ConfigError, match="'layer9' given"):
            METHODS[method](model, x, [0], "layer9")
        assert all(module.training for module in model.modules())
    finally:
        model.eval()


@pytest.mark.parametrize("method", METHODS)
def test_an_activation_of_zeros_gives_a_map_of_zeros(method: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cam, "sequence", lambda _: [("pass", lambda x: x), ("head", lambda a: a.mean((2, 3)))])
    maps = METHODS[method](nn.Identity(), torch.zeros(1, 3, 4, 4), [0, 1], "pass")
    assert maps.shape == (1, 2, 4, 4)
    assert (maps == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_the_batch(method: str, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []

    def watch(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return F.adaptive_avg_pool2d(x, 4)

    monkeypatch.setattr(cam, "sequence", lambda _: [("pool", watch), ("head", lambda x: x.mean((2, 3)))])
    METHODS[method](nn.Identity(), torch.rand(20, 3, 224, 224), [0, 1], "pool")
    assert max(sizes) <= max(4, methods.MASKS_AT_ONCE)
