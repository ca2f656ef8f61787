from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidviz.evaluation.decisions import decided
from covidviz.evaluation.metrics import predicted

CLASSES = ("a", "b", "c")
shares = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def one(prob: list[float], task: str, **thresholds: float) -> list[str]:
    row = decided([prob], CLASSES, task, thresholds)[0]
    return [name for name, yes in zip(CLASSES, row, strict=True) if yes]


@given(st.lists(shares, min_size=1, max_size=5), st.sampled_from(["single-label", "multi-label"]))
def test_without_thresholds_it_is_what_the_metrics_decide(prob: list[list[float]], task: str) -> None:
    assert (decided(prob, CLASSES, task, {}) == predicted(prob, task)).all()


@pytest.mark.parametrize(
    ("prob", "thresholds", "called"),
    [
        ([0.35, 0.6, 0.05], {"a": 0.3}, ["a"]),  # what must not be missed
        ([0.3, 0.6, 0.1], {"a": 0.3}, ["a"]),  # at least
        ([0.29, 0.6, 0.11], {"a": 0.3}, ["b"]),
        ([0.6, 0.3, 0.1], {"a": 0.9}, ["b"]),  # it alone would be the likeliest
        ([0.35, 0.6, 0.05], {"a": 0.3, "b": 0.5}, ["b"]),  # both reach theirs: the likelier
        ([0.2, 0.4, 0.4], {"a": 0.3, "b": 0.5, "c": 0.5}, []),
        ([0.2, 0.4, 0.4], {"other": 0.1}, ["b"]),
    ],
)
def test_thresholds_of_single_labels(prob: list[float], thresholds: dict[str, float], called: list[str]) -> None:
    assert one(prob, "single-label", **thresholds) == called


def test_thresholds_of_several_labels() -> None:
    assert one([0.2, 0.5, 0.4], "multi-label", a=0.1, c=0.45) == ["a", "b"]
    assert one([0.0, 0.1, 0.2], "multi-label") == []


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_nothing_is_decided_where_a_probability_is_no_number(task: str) -> None:
    assert one([0.9, float("nan"), 0.1], task) == []
    assert one([0.9, float("nan"), 0.1], task, a=0.1) == []
    assert decided(np.empty((0, 3)), CLASSES, task, {}).shape == (0, 3)
