"""Fates of images over the epochs, against a plain walk through each image's history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import log_loss

from covidviz.errors import InputError
from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.replay import (
    FATES,
    aligned,
    cross_entropy,
    epochs_in_order,
    fates,
    right_over_time,
    thinned,
    true_probability,
)

HISTORIES = arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(0, 12)))


def walked(history: list[bool]) -> tuple[str, int, int]:
    """Fate, forgetting events and since when, one epoch after the other."""
    forgotten, since = 0, 0
    for t in range(1, len(history)):
        forgotten += history[t - 1] and not history[t]
        if history[t] != history[t - 1]:
            since = t
    if len(set(history)) == 1:
        return ("always-right" if history[0] else "always-wrong"), 0, 0
    if not history[-1]:
        return "forgotten", forgotten, since
    return ("flickering" if forgotten else "learned"), forgotten, since


@given(HISTORIES)
def test_fates_are_those_of_a_walk_through_each_history(right: np.ndarray) -> None:
    found = fates(right)
    for i in range(right.shape[1]):
        assert (FATES[found.kind[i]], found.forgetting[i], found.since[i]) == walked(right[:, i].tolist())


def test_the_words_of_the_issue() -> None:
    """Learned: wrong first, right at the end and stayed so. Forgotten: right once, wrong at the end."""
    histories = ["0011", "0100", "0101", "1101", "1111", "0000", "1000", "1010"]
    found = fates(np.array([[c == "1" for c in one] for one in histories]).T)
    assert [FATES[k] for k in found.kind] == [
        "learned", "forgotten", "flickering", "flickering", "always-right", "always-wrong", "forgotten", "forgotten",
    ]  # fmt: skip
    assert found.forgetting.tolist() == [0, 1, 1, 1, 0, 0, 1, 2]
    assert found.since.tolist() == [2, 2, 3, 3, 0, 0, 1, 3]


def test_one_epoch_is_always() -> None:
    assert [FATES[k] for k in fates([[True, False]]).kind] == ["always-right", "always-wrong"]


@pytest.mark.parametrize("given", [np.zeros((0, 3)), np.zeros(3)])
def test_without_an_epoch_there_are_no_fates(given: np.ndarray) -> None:
    with pytest.raises(InputError, match="accepted: \\(epochs, images\\)"):
        fates(given)


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_right_is_what_the_decisions_of_each_epoch_say(task: str) -> None:
    rng = np.random.default_rng(1)
    prob = rng.random((4, 30, 3)).astype(np.float16)
    labels = np.eye(3, dtype=int)[rng.integers(0, 3, 30)] if task == "single-label" else rng.integers(0, 2, (30, 3))
    found = right_over_time(prob, labels, task)
    for e in range(4):
        assert found[e].tolist() == (predicted(prob[e], task) == labels).all(axis=1).tolist()
    assert 0 < found.sum() < found.size


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_what_is_no_number_is_wrong(task: str) -> None:
    prob = np.array([[[np.nan, 0.1], [0.9, 0.1]]], dtype=np.float16)
    assert right_over_time(prob, [[1, 0], [1, 0]], task).tolist() == [[False, True]]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"prob: shape \(2, 4, 3\) given, accepted: \(epochs, \*\(5, 3\)\)"):
        right_over_time(np.zeros((2, 4, 3)), np.zeros((5, 3)), "single-label")


def test_the_probability_of_the_truth() -> None:
    prob = np.array([[[0.7, 0.3], [0.2, 0.9]]])
    assert true_probability(prob, [[0, 1], [0, 1]], "single-label")[0] == pytest.approx([0.3, 0.9])
    assert true_probability(prob, [[0, 1], [0, 1]], "multi-label")[0] == pytest.approx([0.3, 0.8])


def test_cross_entropy_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    prob = rng.dirichlet(np.ones(3), 40)
    truth = rng.integers(0, 3, 40)
    ours = cross_entropy(prob, np.eye(3)[truth], "single-label")
    assert ours.mean() == pytest.approx(log_loss(truth, prob, labels=[0, 1, 2]), rel=1e-5)
    labels = rng.integers(0, 2, (40, 3))
    each = [log_loss(labels[:, k], prob[:, k], labels=[0, 1]) for k in range(3)]
    assert cross_entropy(prob, labels, "multi-label").mean() == pytest.approx(np.mean(each), rel=1e-5)
    assert np.isfinite(cross_entropy([[0.0, 1.0]], [[1, 0]], "single-label")).all()


def test_samples_are_matched_by_id_whatever_their_order() -> None:
    mine, theirs = aligned(["c", "x", "a", "c"], ["a", "b", "c"])
    assert (mine.tolist(), theirs.tolist()) == ([0, 2], [2, 0])
    assert [len(rows) for rows in aligned(["x"], ["a"])] == [0, 0]


def test_epochs_are_sorted_and_the_later_of_two_counts() -> None:
    assert epochs_in_order([3, 1, 2, 1]).tolist() == [3, 2, 0]


@given(st.integers(1, 400), st.integers(4, 60), st.integers(0, 399))
def test_thinned_keeps_what_matters(n: int, most: int, best: int) -> None:
    kept = thinned(n, most, [best]).tolist()
    assert kept == sorted(set(kept))
    assert len(kept) <= max(most, 4)
    assert {0, n - 1} | ({best} if best < n else set()) <= set(kept)
    if n > most:
        assert max(np.diff(kept)) <= np.ceil((n - 1) / (len(kept) - 2)) + 1
    else:
        assert kept == list(range(n))
