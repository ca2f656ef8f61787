"""Counts at thresholds against scikit-learn, and against comparing every image with every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix, roc_curve

from covidviz.evaluation.thresholds import Counts, cheapest, choices, counts_at, counts_at_scores

NAMES = ("tp", "fp", "fn", "tn")


def one_by_one(prob: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> dict[str, np.ndarray]:
    """Compared in float64, which holds every float32 and every threshold exactly."""
    decided = prob.astype(np.float64)[None] >= thresholds.reshape(-1, *[1] * prob.ndim)
    true = labels[None] == 1
    pairs = {"tp": (True, True), "fp": (True, False), "fn": (False, True), "tn": (False, False)}
    return {name: ((decided == d) & (true == t)).sum(axis=1) for name, (d, t) in pairs.items()}


def assert_equal(found: Counts, expected: dict[str, np.ndarray]) -> None:
    for name in NAMES:
        counts = getattr(found, name)
        assert counts.dtype == np.int64
        np.testing.assert_array_equal(counts, expected[name], err_msg=name)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that often lie on a threshold, next to one, on the border of a bucket, or at 0 or 1."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    thresholds = np.concatenate(
        [np.linspace(0, 1, draw(st.integers(2, 30))), rng.random(5), rng.integers(0, 16385, 5) / 16384, [-0.5, 1.5]]
    )
    rng.shuffle(thresholds)
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = draw(st.sampled_from([(0,), (1,), (57,), (40, 3)]))
    prob = rng.choice(thresholds, shape).clip(0, 1).astype(dtype)
    beside = np.nextafter(prob, rng.choice([-1, 2], shape).astype(dtype)).clip(0, 1)
    prob = np.where(rng.random(shape) < 0.5, prob, beside)
    return prob, (rng.random(shape) < 0.4).astype(np.int8), thresholds


@settings(max_examples=200, deadline=None)
@given(cases())
def test_equals_comparing_one_by_one(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    prob, labels, thresholds = case
    found = counts_at(prob, labels, thresholds)
    np.testing.assert_array_equal(found.thresholds, thresholds)
    assert_equal(found, one_by_one(prob, labels, thresholds))


def test_equals_scikit_learn_on_a_million_rows() -> None:
    rng = np.random.default_rng(0)
    prob = rng.random(10**6, dtype=np.float32)
    labels = (rng.random(10**6) < prob).astype(np.int8)
    thresholds = np.linspace(0, 1, 200)
    found = counts_at(prob, labels, thresholds)
    exact = prob.astype(np.float64)
    for at in range(0, 200, 20):
        (tn, fp), (fn, tp) = confusion_matrix(labels, exact >= thresholds[at])
        assert [getattr(found, name)[at] for name in NAMES] == [tp, fp, fn, tn]
    decided = exact[:, None] >= thresholds[None]  # all of them, without scikit-learn's seconds
    np.testing.assert_array_equal(found.tp, decided[labels == 1].sum(axis=0))
    np.testing.assert_array_equal(found.fp, decided[labels == 0].sum(axis=0))


def test_several_labels_as_scikit_learn_counts_them() -> None:
    rng = np.random.default_rng(1)
    prob, labels = rng.random((500, 4)), rng.integers(0, 2, (500, 4))
    found = counts_at(prob, labels, [0.3, 0.5])
    for at, threshold in enumerate((0.3, 0.5)):
        tables = multilabel_confusion_matrix(labels, prob >= threshold)
        for name, (row, column) in {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}.items():
            assert getattr(found, name)[at].tolist() == tables[:, row, column].tolist()


def test_a_stored_probability_just_below_the_threshold_stays_below() -> None:
    prob = np.array([0.7], dtype=np.float32)  # .69999999
    assert counts_at(prob, [1], [0.7]).tp.tolist() == [0]
    assert counts_at(prob, [1], [float(prob[0])]).tp.tolist() == [1]
    assert counts_at(np.array([0.7]), [1], [0.7]).tp.tolist() == [1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ties", [True, False])
def test_every_distinct_score_as_in_a_roc_curve(dtype: type, ties: bool) -> None:
    rng = np.random.default_rng(2)
    prob = (rng.integers(0, 20, 300) / 20 if ties else rng.random(300)).astype(dtype)
    labels = rng.integers(0, 2, 300)
    found = counts_at_scores(prob, labels)
    fpr, tpr, thresholds = roc_curve(labels, prob, drop_intermediate=False)
    np.testing.assert_array_equal(found.thresholds, thresholds[1:])  # the first decides nothing
    np.testing.assert_allclose(found.tp / labels.sum(), tpr[1:])
    np.testing.assert_allclose(found.fp / (labels == 0).sum(), fpr[1:])
    assert_equal(found, one_by_one(prob, labels, found.thresholds))


def test_no_images() -> None:
    assert len(counts_at_scores([], []).tp) == 0
    assert counts_at(np.empty((0, 3)), np.empty((0, 3)), [0.5]).tn.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("prob", [[0.5, np.nan], [0.5, 1.1], [-0.1, 0.5], [np.inf, 0.5]])
def test_refuses_what_is_no_probability(prob: list[float]) -> None:
    for count in (lambda: counts_at(prob, [0, 1], [0.5]), lambda: counts_at_scores(prob, [0, 1])):
        with pytest.raises(ValueError, match="accepted: 0 to 1"):
            count()


def test_refuses_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match="accepted"):
        counts_at([0.1, 0.2], [1], [0.5])
    with pytest.raises(ValueError, match="one label"):
        counts_at_scores([[0.1, 0.2]], [[1, 0]])


@st.composite
def few(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """1 to 40 images, often with equal probabilities and at 0 and 1."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, steps = draw(st.integers(1, 40)), draw(st.sampled_from([1, 4, 20, 10**6]))
    prob = (rng.integers(0, steps + 1, n) / steps).astype(draw(st.sampled_from([np.float32, np.float64])))
    return prob, (rng.random(n) < draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))).astype(np.int8)


@settings(max_examples=200, deadline=None)
@given(few(), st.sampled_from([0.02, 0.2, 0.5, 1.0, 1.7, 5.0, 100.0]))
def test_the_cheapest_threshold_is_that_of_all_there_are(case: tuple[np.ndarray, np.ndarray], ratio: float) -> None:
    prob, labels = case
    found = choices(prob, labels)
    at = cheapest(found, ratio)
    # All decisions that a threshold from 0 to 1 can lead to.
    every = one_by_one(prob, labels, np.unique(np.concatenate([[0.0, 1.0], prob.astype(np.float64)])))
    costs = ratio * every["fn"] + every["fp"]
    assert ratio * found.fn[at] + found.fp[at] == pytest.approx(costs.min())
    reached = one_by_one(prob, labels, found.thresholds)
    np.testing.assert_array_equal(reached["fp"], found.fp)  # the short number decides as promised
    np.testing.assert_array_equal(reached["fn"], found.fn)
    assert ((found.thresholds >= 0) & (found.thresholds <= 1)).all()
    assert (np.diff(found.thresholds) < 0).all()
    assert (np.diff(found.fn) < 0).all()
    assert (np.diff(found.fp) > 0).all()


def test_thresholds_to_choose_are_short_numbers() -> None:
    prob = [0.1234567, 0.4312345, 0.4567891, 0.91]
    assert choices(prob, [0, 0, 1, 1]).thresholds.tolist() == [0.44]
    assert choices(prob, [0, 1, 0, 1]).thresholds.tolist() == [0.7, 0.3]
    assert choices([0.5], [0]).thresholds.tolist() == [1.0]
    assert choices([0.5], [1]).thresholds.tolist() == [0.0]
    near = np.float64(0.3), np.nextafter(0.3, 1)
    assert choices([*near], [0, 1]).thresholds.tolist() == [near[1]]


def test_a_dearer_miss_never_raises_the_threshold() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(3000) < 0.3
    found = choices(rng.random(3000) * 0.6 + 0.4 * labels, labels)
    chosen = [found.thresholds[cheapest(found, ratio)] for ratio in (0.05, 0.2, 1, 3, 10, 50)]
    assert chosen == sorted(chosen, reverse=True)
    assert len(set(chosen)) > 3


def test_refuses_costs_and_nothing() -> None:
    with pytest.raises(ValueError, match="above 0"):
        cheapest(choices([0.5], [1]), 0)
    with pytest.raises(ValueError, match="at least one"):
        choices([], [])
    with pytest.raises(ValueError, match="0 to 1"):
        choices([np.nan], [1])
