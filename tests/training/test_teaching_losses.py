"""The faulty losses kept for teaching: they are wrong exactly as they were, and nowhere offered as sound."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import brentq, minimize_scalar
from torch.nn import functional as F

from covidviz.catalog import LOSSES
from covidviz.config import TrainConfig
from covidviz.training.losses import batch_focal, make_criterion, softmax_cross_entropy, softmax_twice

CLASSES = ("covid19", "normal", "pneumonia")


def _batch(scale: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(16, 3, generator=draw, dtype=torch.float64)
    return x, torch.randint(0, 2, (16, 3), generator=draw).double()


def _with_mean_bce(bce: float, side: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """One logit for all, so that the mean BCE of these positives is `bce`."""
    logit = -math.log(math.expm1(bce))  # -log sigmoid(x) = log(1 + exp(-x))
    return torch.full((8, 3), logit, dtype=torch.float64), torch.full((8, 3), side, dtype=torch.float64)


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_batch_focal_is_the_published_formula(gamma: float) -> None:
    for scale in (0.1, 1, 5):
        x, y = _batch(scale)
        b = F.binary_cross_entropy_with_logits(x, y)
        expected = 0.25 * (1 - torch.exp(-b)) ** gamma * torch.log(b)
        torch.testing.assert_close(batch_focal(x, y, gamma, 0.25), expected.expand(16))
    # one value for the batch: another sample changes everybody's
    assert batch_focal(x[:8], y[:8], gamma)[0] != batch_focal(x, y, gamma)[0]


def test_its_minimum_is_where_the_report_stopped_learning() -> None:
    def value(bce: float, gamma: float) -> float:
        return batch_focal(*_with_mean_bce(bce), gamma)[0].item()

    lowest = minimize_scalar(lambda b: value(b, 2.0), bounds=(0.01, 1), method="bounded", options={"xatol": 1e-9}).x
    assert lowest == pytest.approx(0.519, abs=5e-4)
    assert lowest == pytest.approx(brentq(lambda b: 2 * b * math.log(b) + math.expm1(b), 0.1, 1), abs=1e-6)
    assert value(lowest, 2.0) < 0  # which no sound loss is


@pytest.mark.parametrize(("bce", "rises"), [(0.9, False), (0.53, False), (0.51, True), (0.1, True)])
def test_below_the_minimum_a_step_raises_the_bce(bce: float, rises: bool) -> None:
    x, y = _with_mean_bce(bce)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(batch_focal(x, y, 2.0).mean(), x)
    after = F.binary_cross_entropy_with_logits(x.detach() - 0.01 * gradient, y).item()
    assert (after > bce) == rises


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_certain_batches_stay_finite(gamma: float) -> None:
    for logit in (-200.0, 17.0, 30.0, 200.0):
        x = torch.full((4, 3), logit, requires_grad=True)
        loss = batch_focal(x, torch.ones(4, 3), gamma, 0.25)
        (gradient,) = torch.autograd.grad(loss.mean(), x)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


def test_softmax_cross_entropy_makes_labels_compete() -> None:
    x, y = _batch(3)
    expected = -(y * x.log_softmax(1)).sum(1)
    torch.testing.assert_close(softmax_cross_entropy(x, y), expected)
    # what a sigmoid reads, the level of all logits, is not seen by it
    torch.testing.assert_close(softmax_cross_entropy(x + 7, y), expected)
    # a sample with two labels cannot reach 0: both halves are the best there is
    two = torch.tensor([[1.0, 0.0, 1.0]])
    assert softmax_cross_entropy(torch.tensor([[20.0, -20.0, 20.0]]), two).item() == pytest.approx(2 * math.log(2))
    assert softmax_cross_entropy(torch.randn(1, 3), torch.zeros(1, 3)).item() == 0


def test_softmax_twice_is_bounded_and_flat_where_it_is_wrong() -> None:
    y = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    x = 3 * torch.randn(1, 3, dtype=torch.float64)
    torch.testing.assert_close(softmax_twice(x, y), F.cross_entropy(x.softmax(1), y, reduction="none"))
    wrong = torch.tensor([[-30.0, 30.0, 0.0]], dtype=torch.float64, requires_grad=True)
    assert softmax_twice(wrong, y).item() == pytest.approx(math.log(2 + math.e))
    (gradient,) = torch.autograd.grad(softmax_twice(wrong, y).sum(), wrong)
    assert gradient.abs().max() < 1e-9  # cross-entropy has 1 here
    right = torch.tensor([[60.0, 0.0, 0.0]], dtype=torch.float64)
    assert softmax_twice(right, y).item() == pytest.approx(math.log1p(2 / math.e))


def test_they_are_marked_and_no_default() -> None:
    teaching = {name: row for name, row in LOSSES.items() if row.teaching}
    assert set(teaching) == {"batch_focal", "softmax_cross_entropy", "softmax_twice"}
    for name, row in teaching.items():
        assert "for teaching" in row.title
        assert list(LOSSES).index(name) >= len(LOSSES) - len(teaching)  # the last ones of every list
        for task in row.tasks:
            assert TrainConfig.parse({"data": "d", "task": task}).resolve(CLASSES).loss != name
            config = TrainConfig.parse({"data": "d", "task": task, "loss": name}).resolve(CLASSES)
            truth = torch.eye(3)[:2]
            assert make_criterion(config, truth.numpy())(torch.randn(2, 3), truth).shape == (2,)
