"""Paired comparison against scipy, scikit-learn and plain counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as student
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from covidviz.errors import InputError
from covidviz.evaluation.matched import Judgement, match
from covidviz.evaluation.metrics import classification_metrics
from covidviz.evaluation.paired import FLIPS, MOST_UNITS, compare, flips_of, majority, mcnemar
from covidviz.evaluation.seeds import deviation, effect, pooled, t_quantile

CLASSES = ("covid19", "normal", "pneumonia")
SINGLE, MULTI = "single-label", "multi-label"


def drawn(rng: np.random.Generator, n: int, task: str = SINGLE, share: float = 0.7) -> tuple[Any, Any, Any]:
    """Truth and two runs that are right about `share` of the time, each [N, 3]."""
    if task == MULTI:
        truth = rng.random((n, 3)) < 0.3
        return truth, truth ^ (rng.random((n, 3)) > share), truth ^ (rng.random((n, 3)) > share)
    label = rng.integers(0, 3, n)
    one, other = (np.where(rng.random(n) < share, label, rng.integers(0, 3, n)) for _ in range(2))
    eye = np.eye(3, dtype=bool)
    return eye[label], eye[one], eye[other]


# --- McNemar ---


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(fixed: int, broken: int) -> None:
    expected = binomtest(fixed, fixed + broken, 0.5).pvalue if fixed + broken else 1.0
    assert mcnemar(fixed, broken) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(5_000, 60_000), st.integers(-400, 400))
def test_mcnemar_of_many_images(fixed: int, more: int) -> None:
    assert mcnemar(fixed, fixed + more) == pytest.approx(binomtest(fixed, 2 * fixed + more, 0.5).pvalue, rel=1e-7)


def test_mcnemar_without_changes_far_out_and_of_nonsense() -> None:
    assert mcnemar(0, 0) == mcnemar(7, 7) == 1.0
    assert mcnemar(14, 9) == pytest.approx(0.40487, abs=1e-5)
    assert mcnemar(0, 20_000) == 0.0
    with pytest.raises(ValueError, match="accepted: counts from 0"):
        mcnemar(-1, 3)


# --- flips ---


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 99), st.sampled_from([SINGLE, MULTI]))
def test_every_image_is_counted_once(n: int, seed: int, task: str) -> None:
    truth, a, b = drawn(np.random.default_rng(seed), n, task)
    found = compare(truth, [a], [b], CLASSES, task, resamples=20)
    right_a, right_b = (a == truth).all(axis=1), (b == truth).all(axis=1)
    assert found.both_right == (right_a & right_b).sum()
    assert found.fixed == (~right_a & right_b).sum()
    assert found.broken == (right_a & ~right_b).sum()
    assert found.both_right + found.fixed + found.broken + found.both_wrong == found.n == n
    assert found.mcnemar_p == mcnemar(found.fixed, found.broken)
    flips = flips_of(truth, [a], [b])
    assert [int((flips == k).sum()) for k in range(4)] == [getattr(found, name) for name in FLIPS]
    for i, name in enumerate(CLASSES):
        has = truth[:, i]
        assert found.recalls[name] == (
            has.sum(), a[has, i].sum(), b[has, i].sum(), (b & ~a)[has, i].sum(), (a & ~b)[has, i].sum(),
        )  # fmt: skip


def test_more_than_half_of_a_group_decide() -> None:
    assert majority([[True, True, False], [True, False, False]]).tolist() == [True, False, False]
    assert majority([[1, 0], [1, 0], [0, 1]]).tolist() == [True, False]
    truth = np.eye(2, dtype=bool)[[0, 0, 1]]
    wrong = ~truth
    mixed = [truth, truth, wrong]
    assert flips_of(truth, mixed, [wrong]).tolist() == [2, 2, 2]
    assert flips_of(truth, [truth, wrong], mixed).tolist() == [1, 1, 1]


# --- metrics and intervals ---


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(0, 99), st.sampled_from([SINGLE, MULTI]))
def test_values_are_those_of_scikit_learn(n: int, seed: int, task: str) -> None:
    truth, a, b = drawn(np.random.default_rng(seed), n, task)
    found = compare(truth, [a], [b], CLASSES, task, resamples=5).metrics
    assert list(found) == list(classification_metrics(a, truth, CLASSES, task))
    for run, side in ((a, "a"), (b, "b")):
        precision, recall, f1, _ = precision_recall_fscore_support(truth, run, average=None, zero_division=0)
        for i, name in enumerate(CLASSES):
            assert getattr(found[f"precision_{name}"], side) == pytest.approx(precision[i])
            assert getattr(found[f"recall_{name}"], side) == pytest.approx(recall[i])
            assert getattr(found[f"f1_{name}"], side) == pytest.approx(f1[i])
        assert getattr(found["macro_f1"], side) == pytest.approx(f1.mean())
        overall = "accuracy" if task == SINGLE else "exact_match"
        assert getattr(found[overall], side) == pytest.approx(accuracy_score(truth, run))
    for one in found.values():
        assert one.diff == pytest.approx(one.b - one.a)
        assert -1 <= one.low <= one.high <= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 99))
def test_swapping_the_runs_turns_everything_round(n: int, seed: int) -> None:
    truth, a, b = drawn(np.random.default_rng(seed), n)
    one, other = compare(truth, [a], [b], CLASSES, SINGLE), compare(truth, [b], [a], CLASSES, SINGLE)
    assert (one.fixed, one.broken, one.mcnemar_p) == (other.broken, other.fixed, other.mcnemar_p)
    for name, found in one.metrics.items():
        back = other.metrics[name]
        assert (found.diff, found.low, found.high) == pytest.approx((-back.diff, -back.high, -back.low))


@pytest.mark.parametrize("n", [400, MOST_UNITS + 3000])
def test_the_interval_of_accuracy_is_the_known_one(n: int) -> None:
    """Of many independent images: the normal interval of a paired difference, also where images are put in bags."""
    truth, a, b = drawn(np.random.default_rng(1), n)
    gain = (b == truth).all(axis=1).astype(float) - (a == truth).all(axis=1)
    half = 1.96 * gain.std() / np.sqrt(n)
    found = compare(truth, [a], [b], CLASSES, SINGLE, resamples=4000).metrics["accuracy"]
    assert found.low == pytest.approx(gain.mean() - half, abs=0.12 * half)
    assert found.high == pytest.approx(gain.mean() + half, abs=0.12 * half)


def test_runs_are_drawn_in_pairs() -> None:
    """Two good runs that differ in few images: their difference is known far better than either of them."""
    truth, a, _ = drawn(np.random.default_rng(2), 500)
    b = a.copy()
    b[:6] = truth[:6]
    found = compare(truth, [a], [b], CLASSES, SINGLE).metrics["macro_f1"]
    assert found.high - found.low < 0.02


def test_patients_are_drawn_instead_of_their_images() -> None:
    truth, a, b = drawn(np.random.default_rng(3), 60)
    many = [np.repeat(one, 10, axis=0) for one in (truth, a, b)]
    patient = np.repeat([f"p{i}" for i in range(60)], 10).tolist()
    alone = compare(truth, [a], [b], CLASSES, SINGLE, resamples=4000)
    grouped = compare(many[0], [many[1]], [many[2]], CLASSES, SINGLE, clusters=patient, resamples=4000)
    naive = compare(many[0], [many[1]], [many[2]], CLASSES, SINGLE, resamples=4000)
    assert grouped.units == 60
    width = {name: one.metrics["macro_f1"].high - one.metrics["macro_f1"].low
             for name, one in (("alone", alone), ("grouped", grouped), ("naive", naive))}  # fmt: skip
    assert width["grouped"] == pytest.approx(width["alone"], rel=0.15)
    assert width["naive"] < 0.5 * width["grouped"]
    unknown = compare(truth, [a], [b], CLASSES, SINGLE, clusters=[None, "", float("nan")] * 20)
    assert unknown.units == 60


def test_few_changes_do_not_make_an_interval_sure() -> None:
    truth, a, _ = drawn(np.random.default_rng(4), 50)
    same = compare(truth, [a], [a], CLASSES, SINGLE).metrics["accuracy"]
    assert same.low < 0 < same.high
    b = a.copy()
    b[:3] = truth[:3]
    a[:3] = np.roll(truth[:3], 1, axis=1)
    few = compare(truth, [a], [b], CLASSES, SINGLE)
    assert (few.fixed, few.broken) == (3, 0)
    assert few.metrics["accuracy"].low < 0


def test_a_group_has_the_mean_of_its_runs_and_the_spread_of_its_seeds() -> None:
    rng = np.random.default_rng(5)
    truth, _, b = drawn(rng, 300)
    runs = [drawn(np.random.default_rng(5), 300, share=0.7)[1], *(b.copy() for _ in range(2))]
    runs[1][:60] = truth[:60]
    runs[2][60:160] = np.roll(truth[60:160], 1, axis=1)
    found = compare(truth, [b], runs, CLASSES, SINGLE, resamples=3000)
    one = found.metrics["accuracy"]
    each = [(run == truth).all(axis=1).mean() for run in runs]
    assert one.b_runs == pytest.approx(each)
    assert one.b == pytest.approx(np.mean(each))
    assert found.runs == (1, 3)
    mean_right = np.mean([(run == truth).all(axis=1) for run in runs], axis=0) - (b == truth).all(axis=1)
    over_images = mean_right.std() / np.sqrt(300)
    over_seeds = np.std(each, ddof=1) / np.sqrt(3)
    expected = 2 * 1.96 * np.hypot(over_images, over_seeds)
    assert one.high - one.low == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(("rows", "runs", "level"), [(0, 1, 0.95), (3, 0, 0.95), (3, 1, 1.0)])
def test_nonsense_is_refused(rows: int, runs: int, level: float) -> None:
    truth = np.zeros((rows, 3))
    with pytest.raises(ValueError, match="accepted"):
        compare(truth, [truth] * runs, [truth], CLASSES, SINGLE, level=level)
    with pytest.raises(ValueError, match="shapes"):
        compare(np.zeros((3, 3)), [np.zeros((2, 3))], [np.zeros((3, 3))], CLASSES, SINGLE)


# --- which images ---


def judgement(name: str, ids: list[str], label: list[int], prob: Any = None, **more: Any) -> Judgement:
    truth = np.eye(3)[label]
    prob = truth * 0.6 + 0.1 if prob is None else np.asarray(prob)
    frame = pd.DataFrame({"sample_id": ids, "split": more.pop("split", "val")})
    for i, cls in enumerate(CLASSES):
        frame[f"label_{cls}"] = truth[:, i].astype(int)
        frame[f"prob_{cls}"] = prob[:, i]
    frame = frame.assign(**more.pop("columns", {}))
    return Judgement(name, frame, more.pop("classes", CLASSES), more.pop("task", SINGLE), **more)


def test_common_images_are_matched_by_id_not_by_row() -> None:
    a = judgement("A", ["x", "y", "z", "w"], [0, 1, 2, 0], columns={"patient_id": ["p", None, "", "q"]})
    b = judgement("B", ["z", "x", "v", "y"], [2, 0, 1, 1])
    found = match([a], [b], "val")
    assert found.sample_ids.tolist() == ["x", "y", "z"]
    assert found.truth.argmax(axis=1).tolist() == [0, 1, 2]
    assert (found.a[0] == found.truth).all()
    assert (found.b[0] == found.truth).all()
    assert found.patients == ["p", None, None]
    assert found.notes[0] == "Not the same images (4 in A, 4 in B): the 3 common ones are compared."


def test_classes_in_another_order_are_the_same_classes() -> None:
    a = judgement("A", ["x", "y"], [0, 1])
    b = judgement("B", ["x", "y"], [0, 1], classes=CLASSES[::-1])
    found = match([a], [b], "val")
    assert (found.b[0] == found.truth).all()


def test_other_labels_and_numbers_that_are_none_are_left_out_and_said() -> None:
    a = judgement("A", ["x", "y", "z"], [0, 1, 2])
    b = judgement("B", ["x", "y", "z"], [1, 1, 2], prob=[[0.2, 0.5, 0.3], [0.2, np.nan, 0.3], [0.1, 0.1, 0.8]])
    found = match([a], [b], "val")
    assert found.sample_ids.tolist() == ["z"]
    said = " ".join(found.notes)
    assert "1 common images have other labels" in said
    assert "1 images have a probability that is no number" in said
    assert "same label (pneumonia)" in said


def test_thresholds_decide_labels() -> None:
    prob = [[0.4, 0.6, 0.1], [0.2, 0.2, 0.9]]
    one = judgement("A", ["x", "y"], [0, 2], prob=prob, task=MULTI, thresholds={"covid19": 0.3, "normal": 0.7})
    other = judgement("B", ["x", "y"], [0, 2], prob=prob, task=MULTI)
    found = match([one], [other], "val")
    assert found.notes[0].endswith("saved with a run (A: covid19 0.3, normal 0.7), else at .5.")
    assert (found.a[0] == found.truth).all()
    assert found.b[0].tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"task": MULTI}, "is multi-label"),
        ({"classes": CLASSES[:2]}, "different classes"),
        ({"split": "test"}, "no predictions for val; it has: test"),
        ({"ids": ["v", "w"]}, "no image is in val of both"),
        ({"label": [1, 0]}, "no labels in common"),
        ({"prob": np.full((2, 3), np.nan)}, "no probabilities that are numbers"),
    ],
)
def test_what_can_not_be_paired_says_why(other: dict[str, Any], said: str) -> None:
    b = {"ids": ["x", "y"], "label": [0, 1], **other}
    with pytest.raises(InputError, match=said):
        match([judgement("A", ["x", "y"], [0, 1])], [judgement("B", **b)], "val")  # type: ignore[arg-type]


def test_other_datasets_with_the_same_paths_are_said() -> None:
    a = judgement("A", ["x", "y"], [0, 1], data="/a/labels.csv")
    for data, other in (("/a", False), ("/b", True)):
        found = match([a], [judgement("B", ["x", "y"], [0, 1], data=data)], "val")
        assert any("different datasets" in note for note in found.notes) == other


def test_one_image_per_class_and_missing_classes_are_said() -> None:
    one = judgement("A", ["x", "y"], [0, 1])
    said = " ".join(match([one], [one], "val").notes)
    assert "No image of pneumonia" in said
    assert "At most one image per class" in said


# --- seeds ---


@given(st.floats(0.501, 0.9999), st.integers(1, 300))
def test_student_is_that_of_scipy(share: float, degrees: int) -> None:
    assert t_quantile(share, degrees) == pytest.approx(student.ppf(share, degrees), rel=1e-6)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_effect_of_a_setting_is_students_interval(a: list[float], b: list[float]) -> None:
    from scipy.stats import ttest_ind

    found = effect(a, b)
    assert found.diff == pytest.approx(np.mean(b) - np.mean(a))
    if found.noise is not None and min(np.ptp(a), np.ptp(b)) > 1e-3:
        expected = ttest_ind(b, a).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_single_runs_have_no_noise_of_their_own() -> None:
    assert effect([0.5], [0.7]).low is None
    assert effect([0.5], [0.7]).noise is None
    assert effect([0.5], [0.7, 0.9]).noise == pytest.approx(np.std([0.7, 0.9], ddof=1))
    assert deviation([0.5]) is None
    assert pooled([[0.1, 0.3], [0.9], [0.6, 0.8]]) == pytest.approx(np.sqrt(0.02))
    with pytest.raises(ValueError, match="accepted"):
        t_quantile(0.4, 3)
