"""Bootstrap intervals against drawing rows and measuring them with scikit-learn."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn import metrics as sk

from covidviz.evaluation.bootstrap import bootstrap, intervals
from covidviz.evaluation.metrics import classification_metrics, predicted

CLASSES = ("covid19", "normal", "pneumonia")


def images(task: str, n: int = 80, c: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if task == "single-label":
        labels = np.eye(c, dtype=np.int8)[rng.integers(0, c, n)]
        prob = rng.dirichlet(np.ones(c), n) + 0.5 * labels
        return prob / prob.sum(axis=1, keepdims=True), labels
    labels = (rng.random((n, c)) < 0.4).astype(np.int8)
    return (rng.random((n, c)) + 0.3 * labels) / 1.3, labels


def measured(truth: np.ndarray, guess: np.ndarray, task: str) -> dict[str, float]:
    """Some metrics by scikit-learn."""
    common = {"labels": [0, 1, 2], "zero_division": 0}
    if task == "single-label":
        truth, guess = truth.argmax(axis=1), guess.argmax(axis=1)
    found = {"macro_f1": sk.f1_score(truth, guess, average="macro", **common)}
    found["recall_covid19"] = sk.recall_score(truth, guess, average=None, **common)[0]
    found["accuracy" if task == "single-label" else "exact_match"] = sk.accuracy_score(truth, guess)
    return found


@cache
def by_rows(task: str, clustered: bool, times: int = 250) -> dict[str, np.ndarray]:
    """What drawing images (or whole patients) gives, image by image."""
    prob, labels = images(task)
    guess = predicted(prob, task)
    rng = np.random.default_rng(99)
    rows = []
    for _ in range(times):
        if clustered:
            numbers = patients()
            drawn = rng.choice(np.unique(numbers), len(np.unique(numbers)))
            chosen = np.concatenate([np.flatnonzero(numbers == number) for number in drawn])
        else:
            chosen = rng.integers(0, len(labels), len(labels))
        rows.append(measured(labels[chosen], guess[chosen], task))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def patients() -> np.ndarray:
    """20 patients with 1 to 7 images each: sorted by nothing, and some have images of one kind only."""
    return np.random.default_rng(5).choice(20, 80, p=np.arange(1, 21) / 210)


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("clustered", [False, True])
def test_distributed_as_drawing_rows(task: str, clustered: bool) -> None:
    prob, labels = images(task)
    clusters = patients().tolist() if clustered else None
    found = bootstrap(prob, labels, CLASSES, task, clusters=clusters, resamples=4000)
    for name, expected in by_rows(task, clustered).items():
        ours = found[name][1:]
        # Both are seeded, so this either always holds or never.
        assert ks_2samp(np.round(ours, 9), np.round(expected, 9)).pvalue > 0.001, name
        assert ours.std() == pytest.approx(expected.std(), rel=0.2)


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("c", [3, 40])
def test_observed_values_are_the_metrics(task: str, c: int) -> None:
    prob, labels = images(task, c=c)
    classes = [f"class {i}" for i in range(c)]
    expected = classification_metrics(prob, labels, classes, task)
    found = intervals(prob, labels, classes, task, resamples=50)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value)
        assert found[name].low <= found[name].high
        assert found[name].low >= 0
        assert found[name].high <= 1


def test_the_ends_are_those_of_the_middle_share() -> None:
    prob, labels = images("single-label")
    drawn = bootstrap(prob, labels, CLASSES, "single-label", seed=3)["macro_f1"][1:]
    found = intervals(prob, labels, CLASSES, "single-label", level=0.8, seed=3)["macro_f1"]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9])))
    wider = intervals(prob, labels, CLASSES, "single-label", level=0.99, seed=3)["macro_f1"]
    assert wider.low < found.low < found.value < found.high < wider.high


def test_the_seed_decides() -> None:
    prob, labels = images("single-label")
    first, second, other = (
        bootstrap(prob, labels, CLASSES, "single-label", resamples=20, seed=seed)["accuracy"] for seed in (1, 1, 2)
    )
    assert first.tolist() == second.tolist() != other.tolist()
    assert len(first) == 21


def test_patients_with_equal_images_widen_the_interval() -> None:
    """Ten copies of each image say no more than one of each."""
    prob, labels = (np.repeat(array, 10, axis=0) for array in images("single-label"))
    numbers = np.repeat(np.arange(80), 10).tolist()
    rows = intervals(prob, labels, CLASSES, "single-label")["accuracy"]
    drawn = intervals(prob, labels, CLASSES, "single-label", clusters=numbers)["accuracy"]
    once = intervals(*images("single-label"), CLASSES, "single-label")["accuracy"]
    assert drawn.high - drawn.low == pytest.approx(once.high - once.low, rel=0.1)
    assert drawn.high - drawn.low > 2 * (rows.high - rows.low)


def test_an_image_of_an_unknown_patient_stands_for_itself() -> None:
    prob, labels = images("single-label")
    unknown = [None, float("nan"), "", *range(77)]
    found = intervals(prob, labels, CLASSES, "single-label", clusters=unknown)
    alone = intervals(prob, labels, CLASSES, "single-label", clusters=[f"p{i}" for i in range(80)])
    assert found == alone


def test_perfect_decisions_leave_nothing_to_chance() -> None:
    labels = np.eye(3, dtype=np.int8)[np.arange(60) % 3]
    found = intervals(labels, labels, CLASSES, "single-label")["macro_f1"]
    assert (found.value, found.low, found.high) == (1, 1, 1)


@pytest.mark.parametrize(("n", "level", "message"), [(0, 0.95, "at least one"), (5, 1.0, "level"), (5, 0.0, "level")])
def test_refuses(n: int, level: float, message: str) -> None:
    prob, labels = images("single-label")
    with pytest.raises(ValueError, match=message):
        intervals(prob[:n], labels[:n], CLASSES, "single-label", level=level)
