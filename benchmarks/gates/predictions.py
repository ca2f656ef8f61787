"""Thresholds and bootstrap intervals against scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from benchmarks.gates.row import Row, Settings, in_turn, ratio, seconds
from covidviz.evaluation.bootstrap import intervals
from covidviz.evaluation.thresholds import counts_at

CLASSES = ("covid19", "normal", "pneumonia")


def thresholds(settings: Settings) -> Iterator[Row]:
    """200 thresholds on a million probabilities, as scikit-learn's confusion matrix at each."""
    rng = np.random.default_rng(0)
    prob = rng.random(10**6, dtype=np.float32)
    labels = (rng.random(10**6) < prob).astype(np.int8)
    grid = np.linspace(0, 1, 200)
    chosen = grid[:: settings.size(20, 1)]
    exact, tables = prob.astype(np.float64), []

    def peer() -> float:
        tables.clear()
        taken = seconds(lambda: tables.extend(confusion_matrix(labels, exact >= at) for at in chosen))
        return taken * len(grid) / len(chosen)

    counts_at(prob, labels, grid)
    pairs = in_turn([lambda: seconds(lambda: counts_at(prob, labels, grid)), peer], settings.pairs(3))
    part = f"; {len(chosen)} of the 200 measured, times {len(grid) // len(chosen)}" if len(chosen) < len(grid) else ""
    yield ratio("200 thresholds, 1e6 rows / scikit-learn", pairs, "thresholds", f"confusion_matrix of each{part}")
    ours = counts_at(prob, labels, chosen)
    found = np.stack([np.stack([ours.tn, ours.fp], 1), np.stack([ours.fn, ours.tp], 1)], 1)
    difference = int(np.abs(found - np.array(tables)).max())
    yield Row("their counts, largest difference", difference, gate="thresholds difference")


def bootstrap(settings: Settings) -> Iterator[Row]:
    """Macro F1 of 628 images, 1,000 resamples."""
    n, resamples = 628, settings.size(100, 1000)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    guess = np.where(rng.random(n) < 0.7, truth, rng.integers(0, 3, n))
    prob, labels = (np.eye(3, dtype=np.float32)[column] for column in (guess, truth))

    def peer() -> None:
        drawn = []
        for _ in range(resamples):
            rows = rng.integers(0, n, n)
            drawn.append(f1_score(truth[rows], guess[rows], average="macro"))
        np.quantile(drawn, [0.025, 0.975])

    def ours() -> None:
        intervals(prob, labels, CLASSES, "single-label")

    ours()
    calls = [lambda: seconds(ours), lambda: seconds(peer) * 1000 / resamples]
    part = "" if resamples == 1000 else f"; {resamples} measured, times {1000 // resamples}"
    note = f"ours gives all 12 metrics, f1_score one{part}"
    yield ratio("bootstrap of macro F1, N = 628 / scikit-learn", in_turn(calls, settings.pairs(5)), "bootstrap", note)
