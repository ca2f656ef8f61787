"""The words follow the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidviz.evaluation.paired import Difference, Paired, compare, mcnemar
from covidviz.evaluation.verdict import ALPHA, FEW, decimals, interval_text, p_text, verdict

CLASSES = ("covid19", "normal")


def paired(fixed: int, broken: int, *, found: int = 0, lost: int = 0, support: int = 100, **more: Any) -> Paired:
    """Runs that change sides on these images; `found` and `lost` are those of covid19."""
    n = more.get("n", 300)
    diff, recall = (fixed - broken) / n, (found - lost) / support if support else 0.0
    half, rough = 2 * (fixed + broken) ** 0.5 / n, 2 * (found + lost) ** 0.5 / max(1, support)
    given: dict[str, Any] = {
        "n": n, "both_right": n - fixed - broken, "fixed": fixed, "broken": broken, "both_wrong": 0,
        "mcnemar_p": mcnemar(fixed, broken),
        "metrics": {
            "accuracy": Difference(0.7, 0.7 + diff, diff, diff - half, diff + half, (0.7,), (0.7 + diff,)),
            "recall_covid19": Difference(0.6, 0.6 + recall, recall, recall - rough, recall + rough, (0.6,), (0.6,)),
        },
        "recalls": {"covid19": (support, 19, 19 + found - lost, found, lost), "normal": (n - support, 0, 0, 0, 0)},
        "units": n, "runs": (1, 1), **more,
    }  # fmt: skip
    return Paired(**given)


def test_the_sentence_of_the_issue() -> None:
    said = verdict(paired(14, 9, found=5, lost=3, support=28), critical="covid19")
    assert said.text.startswith(
        "B fixes 14 images, breaks 9; exact McNemar p = .40; "
        "recall of covid19 19/28 against 21/28 (5 found, 3 lost), difference .07 (−.13 to .27): "
    )
    assert said.text.endswith("no evidence of a difference.")
    assert said.kind == "none"
    assert "28 images of covid19: few" in " ".join(said.cautions)
    assert "another seed" in " ".join(said.cautions)


@pytest.mark.parametrize(
    ("changes", "kind", "headline"),
    [
        ((30, 5, 0, 0), "better", "Evidence that B is right on more images, none that the recall of covid19 differs"),
        ((5, 30, 0, 0), "worse", "Evidence that A is right on more images, none that the recall of covid19 differs"),
        ((10, 8, 10, 0), "better", "Evidence that B finds more of covid19, none that either is right on more images"),
        ((40, 5, 12, 0), "better", "Evidence that B is right on more images, and finds more of covid19"),
        ((40, 5, 0, 12), "mixed", "Evidence both ways: B is right on more images, but A finds more of covid19"),
        ((14, 9, 3, 1), "none", "No evidence of a difference"),
        ((0, 0, 0, 0), "none", "A and B have the same images right"),
    ],
)
def test_every_case_has_its_words(changes: tuple[int, int, int, int], kind: str, headline: str) -> None:
    fixed, broken, found, lost = changes
    said = verdict(paired(fixed, broken, found=found, lost=lost), critical="covid19")
    assert (said.kind, said.headline) == (kind, headline)


def test_without_a_critical_class_only_the_images_are_judged() -> None:
    said = verdict(paired(30, 5, lost=12))
    assert (said.kind, said.headline) == ("better", "Evidence that B is right on more images")
    assert "accuracy .700 against .783" in said.text
    absent = verdict(paired(30, 5, lost=12, support=0), critical="covid19")
    assert "covid19" not in absent.text


def test_p_alone_or_the_interval_alone_is_no_evidence() -> None:
    wide = paired(30, 5)
    wide = replace(wide, metrics={**wide.metrics, "accuracy": replace(wide.metrics["accuracy"], low=-0.01)})
    said = verdict(wide)
    assert said.kind == "none"
    assert any("p is below .05, but the interval holds 0; other patients" in text for text in said.cautions)
    narrow = paired(14, 9)
    narrow = replace(narrow, metrics={**narrow.metrics, "accuracy": replace(narrow.metrics["accuracy"], low=0.001)})
    said = verdict(narrow)
    assert said.kind == "none"
    assert any("leaves out 0, but p = .40 is not below .05" in text for text in said.cautions)


@given(st.integers(0, 5), st.integers(0, 5))
def test_fewer_than_six_changes_never_show_anything(fixed: int, broken: int) -> None:
    said = verdict(paired(fixed, broken))
    if fixed + broken < 6:
        assert said.kind == "none"
        assert any("fewer than 6 can not show a difference" in text for text in said.cautions)


def test_groups_of_seeds_are_told_as_such() -> None:
    said = verdict(paired(14, 9, runs=(3, 3)), critical="covid19", a="gamma 0", b="gamma 2")
    assert "right in most of 3 and 3 runs" in said.text
    assert "gamma 2 fixes 14 images" in said.text
    assert not any("One run each" in text for text in said.cautions)
    assert any("gamma 0 is one run" in text for text in verdict(paired(9, 9, runs=(1, 3)), a="gamma 0").cautions)


def test_few_images_are_named() -> None:
    assert any("29 images in all: few" in text for text in verdict(paired(2, 1, n=29, support=5)).cautions)
    assert not any("few" in text for text in verdict(paired(14, 9, n=FEW)).cautions)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 120), st.floats(0.4, 1), st.floats(0.4, 1))
def test_evidence_is_never_claimed_against_the_numbers(seed: int, n: int, one: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    truth = np.eye(2, dtype=bool)[rng.integers(0, 2, n)]
    a, b = (np.where(rng.random((n, 1)) < share, truth, ~truth) for share in (one, other))
    numbers = compare(truth, [a], [b], CLASSES, "single-label", resamples=200)
    said = verdict(numbers, critical="covid19")
    accuracy, recall = numbers.metrics["accuracy"], numbers.metrics["recall_covid19"]
    _, _, _, found, lost = numbers.recalls["covid19"]
    backed = [accuracy] if numbers.mcnemar_p < ALPHA else []
    backed += [recall] if mcnemar(found, lost) < ALPHA else []
    backed = [each for each in backed if not each.low <= 0 <= each.high]
    assert (said.kind == "none") == (not backed)
    if said.kind == "better":
        assert all(each.diff > 0 for each in backed)
    if said.kind == "worse":
        assert all(each.diff < 0 for each in backed)
    assert said.text == verdict(numbers, critical="covid19").text


def test_chance_alone_seldom_looks_like_evidence() -> None:
    """Two runs that are right equally often: evidence of either kind is seen less often than once in twenty."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        truth = np.eye(2, dtype=bool)[rng.integers(0, 2, 60)]
        a, b = (np.where(rng.random((60, 1)) < 0.75, truth, ~truth) for _ in range(2))
        wrong += verdict(compare(truth, [a], [b], CLASSES, "single-label", resamples=100)).kind != "none"
    assert wrong <= 10


def test_numbers_are_never_rounded_across_a_limit() -> None:
    assert [p_text(p) for p in (1.0, 0.9999, 0.4049, 0.0961, 0.0496, 0.05001, 0.05, 0.0012, 0.0009)] == [
        "= 1", "= .9999", "= .40", "= .096", "= .0496", "= .05001", "= .050", "= .001", "< .001",
    ]  # fmt: skip
    assert decimals(0.0, -0.2, n=300) == 2
    assert decimals(0.004, n=300) == 3
    assert interval_text(0.0714, -0.1518, 0.2946, n=28) == ".07 (−.15 to .29)"
    assert interval_text(0.0, -0.0, 0.004, n=300) == ".000 (.000 to .004)"
    assert interval_text(-1.0, -1.0, -0.5, n=3) == "−1.00 (−1.00 to −.50)"


@given(st.floats(0, 1))
def test_p_is_told_on_the_right_side_of_the_limit(p: float) -> None:
    text = p_text(p)
    if text == "< .001":
        assert p < 0.001
        return
    shown = float(re.sub(r"^= ", "", text))
    assert shown == pytest.approx(p, abs=0.006)
    assert (shown < ALPHA) == (p < ALPHA) or abs(p - ALPHA) < 1e-6
