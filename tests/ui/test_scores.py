"""Numbers per class with their intervals, and advice about runs that did not end well."""

from __future__ import annotations

import numpy as np
import pytest

from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.metrics import classification_metrics, confusion
from covidviz.store.status import Status
from covidviz.ui.advice import advice
from covidviz.ui.components.scores import class_rows

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
        assert row["images"] == row["recall"]["n"]
        for kind in ("recall", "precision"):
            assert row[kind]["value"] == pytest.approx(expected[f"{kind}_{name}"])
            assert (row[kind]["low"], row[kind]["high"]) == pytest.approx(
                wilson(row[kind]["k"], row[kind]["n"]), abs=1e-4
            )
        assert row["f1"] == pytest.approx(expected[f"f1_{name}"])


def test_a_class_that_is_never_there_or_never_predicted_has_no_share() -> None:
    document = {"classes": ["a", "b"], "matrix": [[3, 0], [0, 0]]}
    _, absent = class_rows(document, ("a", "b"), "single-label")
    assert (absent["images"], absent["recall"]["value"], absent["precision"]["value"], absent["f1"]) == (
        0,
        None,
        None,
        None,
    )


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
