"""Curves and the areas under them against scikit-learn, on ties, one class only, one image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from covidviz.evaluation.curves import auc_interval, curves, thinned


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """1 to 60 images, often with equal probabilities, often at 0 and 1."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, steps = draw(st.integers(1, 60)), draw(st.sampled_from([1, 3, 10, 10**6]))
    prob = rng.integers(0, steps + 1, n) / steps
    labels = (rng.random(n) < draw(st.sampled_from([0.1, 0.5, 1.0]))).astype(np.int8)
    return prob.astype(draw(st.sampled_from([np.float32, np.float64]))), labels


@settings(max_examples=200, deadline=None)
@given(cases())
def test_equal_to_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    prob, labels = case
    assume(0 < labels.sum() < len(labels))
    found = curves(prob, labels)
    fpr, tpr, thresholds = roc_curve(labels, prob, drop_intermediate=False)
    np.testing.assert_allclose(found.fpr, fpr)
    np.testing.assert_allclose(found.recall, tpr)
    np.testing.assert_array_equal(found.thresholds, thresholds)
    assert found.auc == pytest.approx(roc_auc_score(labels, prob))
    assert found.average_precision == pytest.approx(average_precision_score(labels, prob))
    precision, recall, _ = precision_recall_curve(labels, prob)
    np.testing.assert_allclose(found.precision[: len(precision)][::-1], precision[-len(found.precision) :])
    np.testing.assert_allclose(found.recall[::-1], recall)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_what_is_not_there_has_no_area(case: tuple[np.ndarray, np.ndarray]) -> None:
    prob, _ = case
    none, all_of_them = curves(prob, np.zeros(len(prob))), curves(prob, np.ones(len(prob)))
    assert (none.auc, none.average_precision, none.positives, none.negatives) == (None, None, 0, len(prob))
    assert np.isnan(none.recall).all()
    assert none.fpr[[0, -1]].tolist() == [0, 1]
    assert (all_of_them.auc, all_of_them.average_precision) == (None, 1)
    assert np.isnan(all_of_them.fpr).all()


def test_no_image_at_all() -> None:
    assert curves([], []).thresholds.tolist() == [np.inf]


def pairs(prob: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """DeLong's kernel of every positive (rows) with every negative."""
    yes, no = prob[labels == 1], prob[labels == 0]
    return np.array([[(a > b) + 0.5 * (a == b) for b in no] for a in yes])


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_that_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(40) % 3 == 0
    prob = ((rng.random(40) + 0.4 * labels) * 10).round() / 15  # with ties
    kernel = pairs(prob, labels.astype(int))
    area = kernel.mean()
    variance = kernel.mean(axis=1).var(ddof=1) / len(kernel) + kernel.mean(axis=0).var(ddof=1) / kernel.shape[1]
    half = 1.959964 * np.sqrt(variance) / (area * (1 - area))
    expected = [1 / (1 + np.exp(-(np.log(area / (1 - area)) + side * half))) for side in (-1, 1)]
    assert auc_interval(prob, labels) == pytest.approx(expected, abs=1e-6)


def test_the_interval_holds_the_true_area_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        labels = np.repeat([0, 1], [60, 40])
        found = auc_interval(1 / (1 + np.exp(-rng.normal(labels * 1.19, 1))), labels)  # true area .80
        assert found is not None
        held += found[0] <= 0.79998 <= found[1]
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("prob", "labels"),
    [([0.1, 0.9], [0, 1]), ([0.5] * 4, [0, 0, 0, 0]), ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]), ([], [])],
)
def test_no_interval_where_there_is_none(prob: list[float], labels: list[int]) -> None:
    assert auc_interval(prob, labels) is None


def test_refuses() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        curves([0.5, np.nan], [0, 1])
    with pytest.raises(ValueError, match="not a number"):
        auc_interval([0.5, np.nan], [0, 1])
    with pytest.raises(ValueError, match="level"):
        auc_interval([0.5, 0.6], [0, 1], level=1)


def test_a_thinned_curve_lies_on_the_whole_one() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.3
    found = curves(rng.random(20_000) * 0.7 + 0.3 * labels, labels)
    kept = thinned(found.fpr, found.recall, 300)
    assert 200 < len(kept) <= 300
    assert (kept[0], kept[-1]) == (0, len(found.fpr) - 1)
    assert all(a < b for a, b in itertools.pairwise(kept.tolist()))
    far = [np.abs(found.fpr - found.fpr[k]) + np.abs(found.recall - found.recall[k]) for k in kept]
    assert np.min(far, axis=0).max() < 0.005
    assert thinned([0, 1], [0, 1]).tolist() == [0, 1]
