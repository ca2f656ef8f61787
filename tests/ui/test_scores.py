"""Numbers per class with their intervals, and advice about runs that did not end well."""

from __future__ import annotations

import numpy as np
import pytest

from covidviz.evaluation.bootstrap import Interval
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.metrics import classification_metrics, confusion
from covidviz.evaluation.shares import class_rows
from covidviz.store.status import Status
from covidviz.ui.advice import advice

CLASSES = ("covid19", "normal", "pneumonia")


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_shares_are_those_of_the_metrics_with_their_wilson_intervals(task: str) -> None:
    rng = np.random.default_rng(0)
    prob = rng.random((60, 3))
    truth = np.eye(3, dtype=int)[rng.integers(0, 3, 60)]
    rows = class_rows(confusion(prob, truth, CLASSES, task), CLASSES, task)
    expected = classification_metrics(prob, truth, CLASSES, task, np.zeros(60))
    for name, row in zip(CLASSES, rows, strict=True):
        assert row["name"] == name
        assert row["recall"]["how"].endswith(f" of {row['images']}")
        for kind in ("recall", "precision"):
            assert row[kind]["value"] == pytest.approx(expected[f"{kind}_{name}"])
            hits, n = map(int, row[kind]["how"].split(" of "))
            assert (row[kind]["low"], row[kind]["high"]) == pytest.approx(wilson(hits, n), abs=1e-4)
            assert row[kind]["value"] == pytest.approx(hits / n)
        assert row["f1"]["value"] == pytest.approx(expected[f"f1_{name}"])
        assert (row["f1"]["low"], row["f1"]["high"]) == (None, None)  # nobody drew any


def test_a_class_that_is_never_there_or_never_predicted_has_no_share() -> None:
    document = {"classes": ["a", "b"], "matrix": [[3, 0], [0, 0]]}
    _, absent = class_rows(document, ("a", "b"), "single-label")
    assert absent["images"] == 0
    assert [absent[kind]["value"] for kind in ("recall", "precision", "f1")] == [None, None, None]


def test_f1_has_the_interval_that_was_drawn() -> None:
    document = {"classes": ["a", "b"], "matrix": [[3, 1], [2, 4]]}
    drawn = {"f1_a": Interval(2 / 3, 0.4, 0.9), "f1_b": Interval(8 / 11, 8 / 11, 8 / 11)}
    a, b = class_rows(document, ("a", "b"), "single-label", drawn, patients=7)
    assert (a["f1"]["low"], a["f1"]["high"], a["f1"]["kind"]) == (0.4, 0.9, "bootstrap over 7 patients")
    assert (b["f1"]["value"], b["f1"]["low"]) == (pytest.approx(8 / 11), None)  # all draws alike say nothing
    assert "images" in class_rows(document, ("a", "b"), "single-label", drawn)[0]["f1"]["kind"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("the loss became NaN at step 3 (lr 1); try a smaller lr", "learning rate ten times smaller"),
        ("CUDA out of memory. Tried to allocate 2 GiB", "smaller batch"),
        ("[Errno 28] No space left on device", "disk space"),
        ("labels.csv can't be read: no such file", "files"),
        ("something new", "Try again"),
        (None, "Try again"),
    ],
)
def test_a_failed_run_gets_advice_that_fits(error: str | None, says: str) -> None:
    assert says in advice(Status("failed", error=error), has_checkpoint=False)


def test_other_states_too() -> None:
    assert "Resume" in advice(Status("lost"), has_checkpoint=True)
    assert "Try again" in advice(Status("lost"), has_checkpoint=False)
    assert "Runs page" in advice(Status("broken"), has_checkpoint=False)
    for state in ("queued", "running", "completed", "stopped"):
        assert advice(Status(state), has_checkpoint=True) == ""
