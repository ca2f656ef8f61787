"""Reliability, scores and temperature against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from statsmodels.discrete.discrete_model import Logit

from covidviz.evaluation.calibration import (
    SMALLEST,
    brier,
    calibration_error,
    fit_temperature,
    log_loss,
    reliability,
    top_label,
    with_temperature,
)
from covidviz.evaluation.intervals import wilson

TASKS = ["single-label", "multi-label"]


def images(task: str, n: int, seed: int, c: int = 3, hot: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """float32 probabilities of `hot` times the logits that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (n, c))
    if task == "single-label":
        labels = np.array([rng.multinomial(1, p) for p in softmax(z, axis=1)]).reshape(n, c)
        return softmax(z * hot, axis=1).astype(np.float32), labels
    return expit(z * hot).astype(np.float32), (rng.random((n, c)) < expit(z)).astype(int)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.sampled_from([1, 5, 10, 15]), st.sampled_from([2, 7, 10**6]))
def test_the_bins_are_those_of_scikit_learn(seed: int, n: int, bins: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    prob, hits = rng.integers(0, steps + 1, n) / steps, rng.integers(0, 2, n)
    if bins > 1:
        prob[0] = 1 / bins  # on a border
    found = reliability(prob, hits, bins)
    there = found.n > 0
    observed, confidence = calibration_curve(hits, prob, n_bins=bins)
    np.testing.assert_allclose(found.observed[there], observed)
    np.testing.assert_allclose(found.confidence[there], confidence)
    assert found.n.sum() == n
    assert np.isnan(found.observed[~there]).all()
    for k in np.flatnonzero(there):
        assert (found.low[k], found.high[k]) == wilson(round(found.observed[k] * found.n[k]), int(found.n[k]))
    gaps = [abs(observed[i] - confidence[i]) * found.n[there][i] for i in range(len(observed))]
    assert calibration_error(prob, hits, bins) == pytest.approx(sum(gaps) / n)


def test_promises_that_are_kept_have_no_error() -> None:
    assert calibration_error([0.25] * 4 + [0.75] * 4, [1, 0, 0, 0, 1, 1, 1, 0]) == 0
    assert calibration_error([1, 1, 1, 1], [0, 0, 0, 0]) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.sampled_from([0.2, 1.0, 30.0]))
def test_scores_are_those_of_scikit_learn(seed: int, n: int, hot: float) -> None:
    prob, labels = images("single-label", n, seed, hot=hot)
    true = labels.argmax(axis=1)
    assert log_loss(prob, labels, "single-label") == pytest.approx(
        sk.log_loss(true, prob, labels=[0, 1, 2]), rel=1e-4, abs=1e-6
    )
    assert brier(prob, labels, "single-label") == pytest.approx(
        sk.brier_score_loss(true, prob, labels=[0, 1, 2], scale_by_half=False), rel=1e-5, abs=1e-7
    )
    prob, labels = images("multi-label", n, seed, hot=hot)
    each = [sk.brier_score_loss(labels[:, k], prob[:, k], labels=[0, 1]) for k in range(3)]
    assert brier(prob, labels, "multi-label") == pytest.approx(np.mean(each), rel=1e-5, abs=1e-7)
    each = [sk.log_loss(labels[:, k], prob[:, k], labels=[0, 1]) for k in range(3)]
    assert log_loss(prob, labels, "multi-label") == pytest.approx(np.mean(each), rel=1e-4, abs=1e-6)


def test_top_label() -> None:
    confidence, right = top_label([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], [[0, 1, 0], [0, 1, 0]])
    assert confidence.tolist() == [0.5, 0.4]
    assert right.tolist() == [True, False]  # of equals the first


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("hot", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("n", [30, 3000])
def test_the_temperature_is_the_one_that_scipy_finds(task: str, hot: float, n: int) -> None:
    prob, labels = images(task, n, seed=n, hot=hot)
    z = np.log(prob.astype(np.float64).clip(SMALLEST, 1 - SMALLEST))
    if task == "multi-label":
        z = logit(prob.astype(np.float64).clip(SMALLEST, 1 - SMALLEST))

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        if task == "single-label":
            return float(-(log_softmax(scaled, axis=1) * labels).sum(axis=1).mean())
        return float((np.logaddexp(0, scaled) - labels * scaled).mean())

    found = fit_temperature(prob, labels, task)
    expected = minimize_scalar(loss, bounds=(-2.9, 2.9), method="bounded", options={"xatol": 1e-9})
    assert found.found
    assert found.value == pytest.approx(np.exp(expected.x), rel=1e-4)
    if n == 3000:
        assert found.value == pytest.approx(hot, rel=0.15)
    after = with_temperature(prob, found.value, task)
    assert log_loss(after, labels, task) == pytest.approx(expected.fun, abs=1e-6)
    assert log_loss(after, labels, task) <= log_loss(prob, labels, task) + 1e-9
    if task == "single-label":
        np.testing.assert_allclose(after.sum(axis=1), 1)
        np.testing.assert_array_equal(after.argmax(axis=1), prob.argmax(axis=1))


@pytest.mark.parametrize("n", [40, 400])
def test_the_interval_of_one_label_is_that_of_a_logistic_regression(n: int) -> None:
    prob, labels = images("multi-label", n, seed=5, c=1, hot=2.0)
    found = fit_temperature(prob, labels, "multi-label")
    fitted = Logit(labels[:, 0], logit(prob.astype(np.float64).clip(SMALLEST, 1 - SMALLEST))).fit(disp=0)
    assert 1 / found.value == pytest.approx(fitted.params[0], rel=1e-5)
    assert (1 / found.high, 1 / found.low) == pytest.approx(tuple(fitted.conf_int()[0]), rel=1e-4)


def test_the_interval_narrows_with_images_and_may_have_no_end() -> None:
    few, many = (fit_temperature(*images("single-label", n, seed=2, hot=2.0), "single-label") for n in (30, 3000))
    assert few.low < many.low < many.value < many.high < few.high
    none = fit_temperature([[0.6, 0.4], [0.4, 0.6], [0.55, 0.45]], [[1, 0], [1, 0], [1, 0]], "single-label")
    assert none.high == np.inf


@pytest.mark.parametrize("task", TASKS)
def test_a_temperature_of_one_changes_nothing(task: str) -> None:
    prob, _ = images(task, 50, seed=3)
    np.testing.assert_allclose(with_temperature(prob, 1.0, task), prob, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_data_that_ask_for_no_temperature(task: str) -> None:
    labels = np.array([[1, 0], [0, 1], [1, 0]])
    prob = labels * 0.6 + 0.2
    assert fit_temperature(prob, labels, task) == fit_temperature(prob[:1], labels[:1], task)
    assert (fit_temperature(prob, labels, task).value, fit_temperature(prob, labels, task).found) == (0.05, False)
    wrong = fit_temperature(1 - prob, labels, task)
    assert (wrong.value, wrong.found) == (20.0, False)
    assert not fit_temperature(np.full((4, 2), 0.5), np.eye(2)[[0, 1, 0, 1]], task).found  # nothing to scale


def test_no_images_and_no_numbers() -> None:
    empty = np.empty((0, 2))
    assert np.isnan(brier(empty, empty, "single-label"))
    assert np.isnan(log_loss(empty, empty, "multi-label"))
    assert np.isnan(calibration_error([], []))
    for call in (
        lambda: fit_temperature(empty, empty, "single-label"),
        lambda: brier([[np.nan, 1]], [[0, 1]], "single-label"),
        lambda: reliability([0.5, 1.5], [1, 0]),
        lambda: reliability([0.5], [1], bins=0),
        lambda: reliability([0.5], [1, 0]),
        lambda: with_temperature([[0.5, 0.5]], 0, "single-label"),
    ):
        with pytest.raises(ValueError, match="accepted"):
            call()
