"""Metrics from matrices alone: equal to those from images, and honest where a matrix does not tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidviz.evaluation.counts import constant, score
from covidviz.evaluation.metrics import classification_metrics, confusion

CLASSES = ("covid19", "normal", "pneumonia")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["single-label", "multi-label"]), st.integers(1, 40))
def test_the_same_numbers_as_from_the_images(seed: int, task: str, n: int) -> None:
    rng = np.random.default_rng(seed)
    prob = rng.random((n, 3))
    labels = np.eye(3, dtype=int)[rng.integers(0, 3, n)] if task == "single-label" else rng.integers(0, 2, (n, 3))
    metrics = classification_metrics(prob, labels, CLASSES, task)
    found = score(confusion(prob, labels, CLASSES, task))
    assert found.n == n
    for name in ("micro_f1", "macro_f1", *(f"f1_{c}" for c in CLASSES)):
        assert found.value(name) == pytest.approx(metrics[name])
    if task == "single-label":
        assert found.value("accuracy") == pytest.approx(metrics["accuracy"])
        return
    assert found.label_accuracy == pytest.approx(metrics["label_accuracy"])
    low, high = found.exact_match
    assert low - 1e-9 <= metrics["exact_match"] <= high + 1e-9  # whatever the images are
    known = score(confusion(prob, labels, CLASSES, task), exact=metrics["exact_match"])
    assert known.value("exact_match") == metrics["exact_match"]


def test_the_bounds_are_reached() -> None:
    apart = score({"a": {"tn": 1, "fp": 1, "fn": 0, "tp": 0}, "b": {"tn": 1, "fp": 1, "fn": 0, "tp": 0}})
    assert apart.exact_match == (0.0, 0.5)  # one image wrong twice, or two images wrong once
    assert apart.value("exact_match") is None
    right = score({"a": {"tn": 1, "fp": 0, "fn": 0, "tp": 1}, "b": {"tn": 1, "fp": 0, "fn": 0, "tp": 1}})
    assert right.value("exact_match") == 1.0


def test_labels_that_count_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="the same images"):
        score({"a": {"tn": 1, "fp": 0, "fn": 0, "tp": 0}, "b": {"tn": 2, "fp": 0, "fn": 0, "tp": 0}})


def test_saying_the_same_for_every_image() -> None:
    said, found = constant({"covid19|pneumonia": 28, "normal": 400, "pneumonia": 200}, CLASSES)
    assert said == "normal"
    assert found.exact == 400 / 628
    assert found.label_accuracy == pytest.approx((600 + 400 + 400) / (3 * 628))
    assert found.recall("covid19")[:2] == (0, 28)
    assert found.recall("normal")[:2] == (400, 400)
