"""What training has seen of a split, and the scores without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn.metrics import f1_score, precision_score, recall_score
from statsmodels.stats.proportion import proportion_confint

from covidviz.evaluation.leaks import leaks, rescored

CLASSES = ("covid19", "normal", "pneumonia")


def samples(splits: str, patients: Sequence[object] | None = None) -> pd.DataFrame:
    """One row per letter: r train, v val, t test; sample ids s0, s1, ..."""
    names = {"r": "train", "v": "val", "t": "test"}
    frame = pd.DataFrame({"sample_id": [f"s{i}" for i in range(len(splits))], "split": [names[one] for one in splits]})
    return frame if patients is None else frame.assign(patient_id=patients)


def test_patients_of_the_training_split() -> None:
    frame = samples("rrvttt", ["a", "b", "a", "b", "c", "b"])
    assert leaks(frame, "test").patients == {"s3", "s5"}
    assert leaks(frame, "val").ids == {"s2"}
    assert leaks(frame, "test").n == 3
    assert not leaks(frame, "train").ids


@pytest.mark.parametrize("unknown", [None, "", float("nan")])
def test_unknown_patients_are_not_the_same(unknown: object) -> None:
    assert not leaks(samples("rvt", [unknown] * 3), "test").ids


def test_no_patient_ids_and_no_pairs() -> None:
    assert leaks(samples("rvt"), "test").ids == frozenset()
    assert leaks(samples("rv"), "test").n == 0


def test_the_same_radiograph_by_way_of_a_third() -> None:
    frame = samples("rvvttt")
    pairs = [("s3", "elsewhere"), ("elsewhere", "s0"), ("s4", "s1")]
    found = leaks(frame, "test", pairs)
    assert found.radiographs == {"s3"}  # s4 is in validation twice over, which training has not seen
    assert found.patients == frozenset()
    assert leaks(frame, "val", [*pairs, ("s1", "s0")]).ids == {"s1"}


@settings(max_examples=60, deadline=None)
@given(some.text("rvt", min_size=1, max_size=14), some.data())
def test_pairs_in_any_order_against_a_search(splits: str, data: some.DataObject) -> None:
    n = len(splits)
    at = some.integers(0, n - 1)
    pairs = data.draw(some.lists(some.tuples(at, at), max_size=12))
    found = leaks(samples(splits), "test", [(f"s{a}", f"s{b}") for a, b in pairs])
    expected = set()
    for i in range(n):
        reached, edge = {i}, [i]
        while edge:
            now = edge.pop()
            for a, b in pairs:
                for x, y in ((a, b), (b, a)):
                    if x == now and y not in reached:
                        reached.add(y)
                        edge.append(y)
        if splits[i] == "t" and any(splits[j] == "r" for j in reached):
            expected.add(f"s{i}")
    assert found.radiographs == expected


def judged(n: int, seed: int, task: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    prob = rng.random((n, 3))
    labels = np.eye(3, dtype=int)[rng.integers(0, 3, n)] if task == "single-label" else rng.integers(0, 2, (n, 3))
    columns = {f"prob_{name}": prob[:, k] for k, name in enumerate(CLASSES)}
    truth = {f"label_{name}": labels[:, k] for k, name in enumerate(CLASSES)}
    return pd.DataFrame({"sample_id": [f"s{i}" for i in range(n)], "patient_id": [f"p{i // 2}" for i in range(n)],
                         **columns, **truth})  # fmt: skip


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("seed", range(4))
def test_scores_on_the_rest_are_those_of_scikit_learn(task: str, seed: int) -> None:
    frame = judged(60, seed, task)
    without = [f"s{i}" for i in range(0, 60, 3)]
    found = rescored(frame, CLASSES, task, without)
    assert (found.n, found.left) == (60, 40)
    rows = {row.name: row for row in found.rows}
    for which, part in (("before", frame), ("after", frame[~frame["sample_id"].isin(without)])):
        prob = part[[f"prob_{name}" for name in CLASSES]].to_numpy()
        truth = part[[f"label_{name}" for name in CLASSES]].to_numpy()
        guess = np.eye(3, dtype=int)[prob.argmax(1)] if task == "single-label" else (prob >= 0.5).astype(int)
        exact = rows["accuracy" if task == "single-label" else "exact_match"]
        assert getattr(exact, which).value == pytest.approx((truth == guess).all(1).mean())
        macro = getattr(rows["macro_f1"], which)
        assert macro.value == pytest.approx(f1_score(truth, guess, average="macro", zero_division=0))
        assert macro.low <= macro.value <= macro.high
        for kind, score, of in (("recall", recall_score, truth), ("precision", precision_score, guess)):
            values = score(truth, guess, average=None, zero_division=0)
            for k, name in enumerate(CLASSES):
                one = getattr(rows[f"{kind}_{name}"], which)
                n = int(of[:, k].sum())
                assert one.value == pytest.approx(values[k])
                ends = proportion_confint(round(values[k] * n), n, method="wilson")
                assert (one.low, one.high) == pytest.approx(ends)


def test_a_class_that_is_gone_has_no_recall() -> None:
    frame = judged(30, 0, "single-label")
    covid = frame.loc[frame["label_covid19"] == 1, "sample_id"]
    rows = {row.name: row for row in rescored(frame, CLASSES, "single-label", covid).rows}
    assert rows["recall_covid19"].before is not None
    assert rows["recall_covid19"].after is None


def test_nothing_left() -> None:
    frame = judged(6, 0, "single-label")
    found = rescored(frame, CLASSES, "single-label", frame["sample_id"])
    assert found.left == 0
    assert all(row.after is None for row in found.rows)
