"""Losses against torch, torchvision, finite differences and the numbers of the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.training.losses import (
    asymmetric,
    bce,
    class_balanced_weights,
    cross_entropy,
    make_criterion,
    sigmoid_focal,
    softmax_focal,
)

GAMMAS = [0.0, 0.5, 1.0, 1.5, 2.0, 5.0]


def _one_hot(n: int, c: int, seed: int = 0) -> torch.Tensor:
    return torch.eye(c)[torch.from_numpy(np.random.default_rng(seed).integers(0, c, n))]


def _many(n: int, c: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (n, c))).float()


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("alpha", [None, 0.25, 0.75])
def test_sigmoid_focal_is_torchvisions(gamma: float, alpha: float | None) -> None:
    x, y = torch.randn(50, 3, dtype=torch.float64) * 5, _many(50, 3)
    expected = sigmoid_focal_loss(x, y.double(), alpha=-1 if alpha is None else alpha, gamma=gamma).mean(1)
    torch.testing.assert_close(sigmoid_focal(x, y, gamma, alpha), expected, atol=1e-13, rtol=1e-12)


def test_gamma_0_is_cross_entropy() -> None:
    x = torch.randn(50, 3) * 5
    torch.testing.assert_close(
        sigmoid_focal(x, _many(50, 3), 0), F.binary_cross_entropy_with_logits(x, _many(50, 3), reduction="none").mean(1)
    )
    torch.testing.assert_close(bce(x, _many(50, 3)), sigmoid_focal(x, _many(50, 3), 0))
    y = _one_hot(50, 3)
    torch.testing.assert_close(softmax_focal(x, y, 0), F.cross_entropy(x, y.argmax(1), reduction="none"))
    torch.testing.assert_close(cross_entropy(x, y), softmax_focal(x, y, 0))


def test_softmax_focal_of_two_classes_is_sigmoid_focal_of_their_difference() -> None:
    x, y = torch.randn(50, 2, dtype=torch.float64) * 5, _one_hot(50, 2)
    difference = (x[:, 1] - x[:, 0]).unsqueeze(1)
    for gamma in GAMMAS:
        torch.testing.assert_close(
            softmax_focal(x, y, gamma, 0.25, positive=1), sigmoid_focal(difference, y[:, 1:], gamma, 0.25)
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_finite_at_200(gamma: float, dtype: torch.dtype) -> None:
    values = torch.tensor([-200.0, -88, -20, -17, 0, 17, 20, 88, 200])
    x = torch.cartesian_prod(values, values, values).to(dtype).requires_grad_()
    for c in range(3):
        y = torch.eye(3)[torch.full((len(x),), c)]
        for loss in (softmax_focal(x, y, gamma), sigmoid_focal(x, y, gamma, 0.25), asymmetric(x, y), bce(x, y)):
            (gradient,) = torch.autograd.grad(loss.sum(), x)
            assert loss.dtype == torch.float32
            assert loss.isfinite().all()
            assert (loss >= 0).all()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradients(gamma: float) -> None:
    x = (torch.randn(6, 3, dtype=torch.float64) * 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: softmax_focal(x, _one_hot(6, 3), gamma, 0.3, 1), x)
    assert torch.autograd.gradcheck(lambda x: sigmoid_focal(x, _many(6, 3), gamma, 0.3), x)
    assert torch.autograd.gradcheck(lambda x: asymmetric(x, _many(6, 3)), x)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3), st.integers(0, 2), st.floats(0, 10), st.floats(0.01, 10))
def test_focusing_only_turns_losses_down(logits: list[float], truth: int, gamma: float, more: float) -> None:
    x, y = torch.tensor([logits], dtype=torch.float64), torch.eye(3)[[truth]]
    for focal in (softmax_focal, sigmoid_focal):
        high, low = focal(x, y, gamma), focal(x, y, gamma + more)
        assert 0 <= low <= high + 1e-12
    shifted = softmax_focal(x + 7, y, gamma)
    torch.testing.assert_close(shifted, softmax_focal(x, y, gamma), atol=1e-9, rtol=1e-9)


def test_asymmetric_is_its_formula() -> None:
    x, y = torch.randn(40, 3, dtype=torch.float64) * 4, _many(40, 3).double()
    p = x.sigmoid()
    q = (p - 0.05).clamp(min=0)
    expected = -(y * (1 - p) * p.log() + (1 - y) * q**4 * (1 - q).log()).mean(1)
    torch.testing.assert_close(asymmetric(x, y), expected)
    easy = torch.tensor([[-4.0]])  # p = .018 < .05
    assert asymmetric(easy, torch.zeros(1, 1)).item() == 0


def test_class_balanced_weights_are_the_references() -> None:
    counts = [200, 4000, 2200]
    assert class_balanced_weights(counts, 0.999) == pytest.approx([2.16, 0.40, 0.44], abs=0.005)
    assert class_balanced_weights(counts) == pytest.approx([2.59, 0.155, 0.26], abs=0.005)
    assert np.isfinite(class_balanced_weights([0, 5])).all()


def _config(**settings: object) -> TrainConfig:
    return TrainConfig.parse({"data": "d", **settings}).resolve(("covid19", "normal", "pneumonia"))


def _labels(counts: tuple[int, ...]) -> np.ndarray:
    return np.repeat(np.eye(len(counts), dtype=np.int8), counts, axis=0)


def test_criteria_of_the_catalog() -> None:
    labels, x = _labels((200, 4000, 2200)), torch.randn(8, 3)
    y = _one_hot(8, 3)
    for settings_, expected in [
        ({}, cross_entropy(x, y)),
        ({"pos_weight": True}, cross_entropy(x, y, torch.tensor([6400 / 600, 6400 / 12000, 6400 / 6600]))),
        ({"loss": "focal"}, softmax_focal(x, y, 2)),
        ({"loss": "focal", "focal_gamma": 1.5, "focal_alpha": 0.75}, softmax_focal(x, y, 1.5, 0.75, 0)),
        (
            {"loss": "class_balanced"},
            cross_entropy(x, y, torch.tensor(class_balanced_weights((200, 4000, 2200))).float()),
        ),
    ]:
        torch.testing.assert_close(make_criterion(_config(**settings_), labels)(x, y), expected)


def test_criteria_of_the_catalog_multi_label() -> None:
    labels, x, y = _labels((200, 4000, 2200)), torch.randn(8, 3), _many(8, 3)
    ratios = torch.tensor([31.0, 0.6, 4200 / 2200])
    for settings_, expected in [
        ({}, bce(x, y)),
        ({"pos_weight": True}, F.binary_cross_entropy_with_logits(x, y, pos_weight=ratios, reduction="none").mean(1)),
        ({"loss": "focal", "focal_alpha": 0.25}, sigmoid_focal(x, y, 2, 0.25)),
        ({"loss": "asymmetric"}, asymmetric(x, y)),
    ]:
        config = _config(task="multi-label", **settings_)
        torch.testing.assert_close(make_criterion(config, labels)(x, y), expected)
    balanced = make_criterion(_config(task="multi-label", loss="class_balanced"), labels)
    rare, common = balanced(torch.zeros(2, 3), torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    assert rare > common


def test_a_label_without_positives_weighs_nothing_infinite() -> None:
    labels = np.array([[1, 0], [1, 0]], dtype=np.int8)
    config = TrainConfig.parse({"data": "d", "task": "multi-label", "pos_weight": True}).resolve(("a", "b"))
    assert make_criterion(config, labels)(torch.zeros(1, 2), torch.ones(1, 2)).isfinite().all()


def test_settings_that_do_not_fit_the_loss() -> None:
    with pytest.raises(ConfigError, match="pos_weight: does not fit loss focal, accepted with: cross_entropy, bce"):
        _config(loss="focal", pos_weight=True)
    with pytest.raises(
        ConfigError, match=r"focal_alpha: weighs the critical class .* accepted: a, b, or focal_alpha off"
    ):
        TrainConfig.parse({"data": "d", "loss": "focal", "focal_alpha": 0.5}).resolve(("a", "b"))
