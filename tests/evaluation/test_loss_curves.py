"""The losses over p against those of the training, and what follows from them against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from covidviz.evaluation import batch_focal
from covidviz.evaluation.loss_curves import (
    ASYMMETRIC,
    CROSS_ENTROPY,
    Shape,
    class_balanced,
    focal,
    gradient,
    loss,
    said_for,
    shares,
    true_at,
)
from covidviz.training import losses

P = np.array([1e-6, 0.004, 0.04, 0.2, 0.5, 0.7, 0.99, 1 - 1e-6])
SHAPES: list[tuple[Shape, object]] = [
    (CROSS_ENTROPY, losses.bce),
    (focal(2.0), lambda x, y: losses.sigmoid_focal(x, y, 2.0)),
    (focal(0.5, 0.25), lambda x, y: losses.sigmoid_focal(x, y, 0.5, 0.25)),
    (focal(5.0, 0.9), lambda x, y: losses.sigmoid_focal(x, y, 5.0, 0.9)),
    (ASYMMETRIC, losses.asymmetric),
    (Shape(0.5, 2.5, clip=0.1), lambda x, y: losses.asymmetric(x, y, 2.5, 0.5, 0.1)),
]
exponents = st.floats(0, 10)
shapes = st.builds(Shape, exponents, exponents, st.floats(0.05, 3), st.floats(0.05, 3), st.floats(0, 0.4))


@pytest.mark.parametrize(("shape", "trained"), SHAPES)
@pytest.mark.parametrize("yes", [0.0, 1.0])
def test_loss_and_gradient_are_those_of_the_training(shape: Shape, trained: object, yes: float) -> None:
    x = torch.logit(torch.from_numpy(P)).view(-1, 1).requires_grad_()
    value = trained(x, torch.full_like(x, yes))  # type: ignore[operator]
    (slope,) = torch.autograd.grad(value.sum(), x)
    np.testing.assert_allclose(loss(shape, P, yes), value.detach().numpy(), rtol=2e-7, atol=1e-15)
    np.testing.assert_allclose(gradient(shape, P, yes), slope.numpy().ravel(), rtol=2e-7, atol=1e-13)


def test_class_balanced_is_the_one_of_the_training() -> None:
    shape = class_balanced(200, 6000)
    pos, neg = (torch.tensor([value]) for value in (shape.weight_pos, shape.weight_neg))
    x = torch.logit(torch.from_numpy(P)).view(-1, 1)
    expected = losses.bce(x, torch.ones_like(x), pos_weight=pos, neg_weight=neg)
    np.testing.assert_allclose(loss(shape, P, 1), expected.numpy(), rtol=1e-6)
    assert shape.weight_pos + shape.weight_neg == pytest.approx(2)


@settings(max_examples=60, deadline=None)
@given(shapes, st.floats(0.02, 0.98))
def test_what_is_said_is_where_the_expected_loss_is_least(shape: Shape, true: float) -> None:
    def expected(p: float) -> float:
        return float(true * loss(shape, p, 1) + (1 - true) * loss(shape, p, 0))

    said = float(said_for(shape, true))
    grid = np.linspace(0.0005, 0.9995, 2000)
    assert expected(min(max(said, 1e-12), 1 - 1e-12)) <= float(
        np.min(true * loss(shape, grid, 1) + (1 - true) * loss(shape, grid, 0))
    ) * (1 + 1e-9)
    assume(0.01 < said < 0.99 and abs(said - shape.clip) > 1e-3)
    lowest = minimize_scalar(expected, bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-10}).x
    assert said == pytest.approx(lowest, abs=2e-4)
    assert float(true_at(shape, said)) == pytest.approx(true, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_more_said_never_means_less(shape: Shape) -> None:
    true = true_at(shape, np.linspace(0, 1, 400))
    assert (np.diff(true) >= -1e-12).all()
    assert true[0] == 0
    assert true[-1] == 1


@settings(max_examples=60, deadline=None)
@given(exponents, st.floats(0.001, 0.999))
def test_the_link_of_focal_loss_is_the_published_one(gamma: float, p: float) -> None:
    def h(v: float) -> float:  # Charoenphakdee et al. 2021
        return (1 - v) ** gamma / v - gamma * (1 - v) ** (gamma - 1) * math.log(v)

    true = float(true_at(focal(gamma), p))
    assert true == pytest.approx((1 / h(p)) / (1 / h(p) + 1 / h(1 - p)), rel=1e-9)
    assert abs(true - 0.5) >= abs(p - 0.5) - 1e-12  # less sure than is true
    assert float(true_at(CROSS_ENTROPY, p)) == pytest.approx(p)


def test_alpha_a_quarter_is_what_the_reference_says() -> None:
    assert float(true_at(focal(2.0, 0.25), 0.5)) == pytest.approx(0.75)
    untrained, rare = np.full(6200, 0.5), np.arange(6200) < 200
    for shape, percent in ((CROSS_ENTROPY, 3.2), (focal(2.0, 0.25), 1.1), (focal(2.0, 0.75), 9.1)):
        share = shares(shape, untrained, rare)
        assert 100 * share.loss == pytest.approx(percent, abs=0.05)
        assert 100 * share.gradient == pytest.approx(percent, abs=0.05)
    few = shares(focal(2.0, 0.25), [0.5, 0.5], [1, 0], positives=200, negatives=6000)
    assert few.loss == pytest.approx(share_of(0.25 * 200, 0.75 * 6000))
    assert math.isnan(shares(ASYMMETRIC, [0.01], [0]).loss)  # nothing counts


def share_of(a: float, b: float) -> float:
    return a / (a + b)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.5, 2.0, 5.0])
def test_batch_focal_is_the_one_of_the_training(gamma: float) -> None:
    for b in (1e-3, 0.1, 0.519, 1.0, 3.0):
        logit = torch.tensor([[-math.log(math.expm1(b))]], dtype=torch.float64, requires_grad=True)
        value = losses.batch_focal(logit, torch.ones(1, 1), gamma).sum()
        assert float(batch_focal.value(b, gamma)) == pytest.approx(value.item(), rel=1e-9)
        (by_logit,) = torch.autograd.grad(value, logit)
        assert float(batch_focal.slope(b, gamma)) * math.expm1(-b) == pytest.approx(by_logit.item(), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 10))
def test_the_minimum_of_batch_focal(gamma: float) -> None:
    lowest = batch_focal.minimum(gamma)
    assert lowest is not None
    grid = np.geomspace(1e-4, 10, 3000)
    assert float(batch_focal.value(lowest, gamma)) <= batch_focal.value(grid, gamma).min() + 1e-12
    assert batch_focal.slope(0.9 * lowest, gamma) < 0 < batch_focal.slope(1.1 * lowest, gamma)


def test_descent_ends_at_the_minimum_and_bce_does_not() -> None:
    assert batch_focal.minimum(2) == pytest.approx(0.519, abs=5e-4)
    assert batch_focal.minimum(0) is None
    for start in (1.2, 0.1):
        found = batch_focal.descent(start, 2.0, 0.5, 4000)
        assert found[0] == pytest.approx(start)
        assert found[-1] == pytest.approx(0.519, abs=5e-4)
        assert batch_focal.descent(start, None, 0.5, 4000)[-1] < 0.01
    rising = batch_focal.descent(0.1, 2.0, 0.5, 50)
    assert (np.diff(rising) > 0).all()
