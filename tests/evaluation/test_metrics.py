"""The named metrics against scikit-learn, and the confusion cells against the metrics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from covidviz.errors import InputError
from covidviz.evaluation.metrics import cell_members, classification_metrics, confusion, predicted, usable


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Probabilities and labels, with absent classes and all-zero rows among them."""
    task = draw(st.sampled_from(["single-label", "multi-label"]))
    n, c = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # a coarse grid, so that equal probabilities and exactly 0.5 are met often
    prob = rng.integers(0, 5, (n, c)) / 4
    if task == "single-label":
        labels = np.eye(c, dtype=np.int8)[rng.integers(0, draw(st.integers(1, c)), n)]
    else:
        labels = (rng.random((n, c)) < draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(np.int8)
    return prob, labels, [f"class {i}" for i in range(c)], task


@settings(max_examples=200, deadline=None)
@given(cases())
def test_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray, list[str], str]) -> None:
    prob, labels, classes, task = case
    ours = classification_metrics(prob, labels, classes, task, loss=np.arange(len(prob)))
    if task == "single-label":
        truth: Any = labels.argmax(1)
        guess: Any = prob.argmax(1)
        assert ours["accuracy"] == pytest.approx(sk.accuracy_score(truth, guess))
        assert "exact_match" not in ours
    else:
        truth, guess = labels, (prob >= 0.5).astype(int)
        assert ours["exact_match"] == pytest.approx(sk.accuracy_score(truth, guess))
        assert ours["label_accuracy"] == pytest.approx((truth == guess).mean())
        assert "accuracy" not in ours
    common = {"labels": list(range(len(classes))), "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average in ("macro", "micro"):
            assert ours[f"{average}_f1"] == pytest.approx(sk.f1_score(truth, guess, average=average, **common))
        for name, function in (("f1", sk.f1_score), ("recall", sk.recall_score), ("precision", sk.precision_score)):
            expected = function(truth, guess, average=None, **common)
            assert [ours[f"{name}_{label}"] for label in classes] == pytest.approx(list(expected))
        if task == "single-label":
            assert confusion(prob, labels, classes, task)["matrix"] == (
                sk.confusion_matrix(truth, guess, labels=common["labels"]).tolist()
            )
        else:
            for i, cells in enumerate(confusion(prob, labels, classes, task).values()):
                expected = sk.confusion_matrix(truth[:, i], guess[:, i], labels=[0, 1])
                assert [[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]] == expected.tolist()
    assert ours["loss"] == pytest.approx((len(prob) - 1) / 2)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_every_sample_is_in_the_cell_that_counts_it(case: tuple[np.ndarray, np.ndarray, list[str], str]) -> None:
    prob, labels, classes, task = case
    document = confusion(prob, labels, classes, task)
    seen = np.zeros(len(prob), dtype=int)
    if task == "single-label":
        for i, row in enumerate(document["matrix"]):
            for j, count in enumerate(row):
                members = cell_members(prob, labels, task, f"{i}-{j}", classes)
                assert members.sum() == count
                seen += members
        assert (seen == 1).all()
    else:
        for k, name in enumerate(classes):
            for kind, count in document[name].items():
                members = cell_members(prob, labels, task, f"{k}-{kind}", classes)
                assert members.sum() == count
                seen += members
        assert (seen == len(classes)).all()


def test_order_is_the_contracts() -> None:
    names = list(classification_metrics([[0.9, 0.1]], [[1, 0]], ["a", "b"], "single-label", [0.1]))
    assert names == [
        *("loss", "accuracy", "macro_f1", "micro_f1"),
        *("f1_a", "f1_b", "recall_a", "recall_b", "precision_a", "precision_b"),
    ]
    assert list(classification_metrics([[0.9]], [[1]], ["a"], "multi-label"))[:2] == ["label_accuracy", "exact_match"]


def test_one_half_is_positive_and_the_first_of_equals_wins() -> None:
    assert predicted(np.float32([[0.5, 0.49999997]]), "multi-label").tolist() == [[1, 0]]
    assert predicted([[0.5, 0.5]], "single-label").tolist() == [[1, 0]]


@pytest.mark.parametrize("cell", ["", "0", "0-2", "2-0", "-1-0", "0-tp", "0-0-0", "٠-٠"])
def test_unknown_single_label_cell(cell: str) -> None:
    with pytest.raises(InputError, match=r"TRUE-PREDICTED with class numbers 0 to 1"):
        cell_members([[0.5, 0.5]], [[1, 0]], "single-label", cell, ["a", "b"])


@pytest.mark.parametrize("cell", ["0-0", "2-tp", "0-TP", "tp"])
def test_unknown_multi_label_cell(cell: str) -> None:
    with pytest.raises(InputError, match=r"CLASS-tp, -fp, -fn or -tn with class numbers 0 to 1"):
        cell_members([[0.5, 0.5]], [[1, 0]], "multi-label", cell, ["a", "b"])


def test_usable_rows_hold_probabilities() -> None:
    rows = [[0.0, 1.0], [np.nan, 0.5], [0.5, 1.1], [-0.1, 0.5], [0.2, np.inf]]
    assert usable(rows).tolist() == [True, False, False, False, False]
    assert usable(np.empty((0, 3))).tolist() == []
