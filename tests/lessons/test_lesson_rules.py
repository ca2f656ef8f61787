"""What the lessons say follows from the numbers, whatever they are; what they ask can be answered."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidviz.evaluation.paired import mcnemar
from covidviz.lessons import LESSONS
from covidviz.lessons.few import least_images
from covidviz.lessons.result import Count, Result
from covidviz.lessons.runs import config_of
from covidviz.lessons.shape import Lesson, Outcome
from covidviz.lessons.words import WORDS

CLASSES = ("covid19", "normal", "pneumonia")
KINDS = ("copy", "same patient", "new patient", "word removed", "lungs blanked", "word added")


def counts(least: int = 0) -> st.SearchStrategy[Count]:
    return st.integers(least, 40).flatmap(lambda n: st.integers(0, n).map(lambda k: Count(k, n)))


@st.composite
def result(draw: st.DrawFn) -> Result:
    """A run with any decisions on 40 images, of which 28 show covid-19."""
    bits = draw(st.integers(0, 2**40 - 1))
    finds = {f"c{i}": bool(bits >> i & 1) for i in range(28)}
    hits = {**finds, **{f"o{i}": bool(bits >> i & 1) for i in range(28, 40)}}
    other = Count(draw(st.integers(0, 8)), 8)
    said = [sum(finds.values()), draw(st.integers(0, 40)), draw(st.integers(0, 40))]
    return Result(
        right=Count(sum(hits.values()), 40), trained=draw(counts()), labels=Count(draw(st.integers(0, 120)), 120),
        found=Count(sum(finds.values()), 28), alarms=Count(other.k, 12),
        alarms_of={"normal": other, "pneumonia": Count(draw(st.integers(0, 4)), 4)},
        said=dict(zip(CLASSES, said, strict=True)),
        support={"covid19": 28, "normal": 8, "pneumonia": 4},
        kinds={kind: draw(counts()) for kind in KINDS}, called={kind: draw(counts()) for kind in KINDS},
        hits=hits, finds=finds, seconds=draw(st.none() | st.floats(0, 1e4)), learnt=draw(st.none() | st.just(1539)),
    )  # fmt: skip


def outcome_of(number: int, *found: Result) -> Outcome:
    lesson = LESSONS[number]
    return lesson.outcome(dict(zip((trial.key for trial in lesson.trials), found, strict=True)))


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=lambda lesson: lesson.title)
def test_a_lesson_can_be_set_up_and_its_words_are_explained(lesson: Lesson) -> None:
    keys = [trial.key for trial in lesson.trials]
    assert len(set(keys)) == len(keys)
    assert lesson.tries.trial in keys
    for trial in lesson.trials:
        config = config_of(trial, lesson)
        assert config.weights == "none"  # nothing to download
        assert config.image_size <= 128
    assert lesson.ask.accepts(lesson.ask.start) or lesson.ask.choices
    assert set(lesson.terms) <= set(WORDS)
    texts = " ".join((lesson.question, *lesson.facts, lesson.ask.text, *lesson.ask.choices.values())).lower()
    used = {word for word in WORDS if len(word) > 1 and re.search(rf"\b{re.escape(word.lower())}s?\b", texts)}
    assert used <= set(lesson.terms), "a technical word is not explained in this lesson"


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=lambda lesson: lesson.title)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_run_gives_something_that_can_be_shown(lesson: Lesson, data: st.DataObject) -> None:
    found = {trial.key: data.draw(result()) for trial in lesson.trials}
    shown = lesson.outcome(found)
    assert lesson.ask.accepts(shown.actual)
    assert lesson.ask.right(shown.actual, shown.actual)
    assert shown.bars
    assert len({bar.name for bar in shown.bars}) == len(shown.bars)  # they are told apart by name
    for bar in shown.bars:
        assert 0 <= bar.value <= shown.most
        if bar.low is not None and bar.high is not None:
            assert bar.low <= bar.value + 1e-9
            assert bar.value <= bar.high + 1e-9
    assert all(shown.says)
    assert shown.remember
    assert "\N{EM DASH}" not in "".join((*shown.says, shown.remember))


@given(result(), result())
@settings(max_examples=40, deadline=None)
def test_better_means_more_than_chance(frozen: Result, tuned: Result) -> None:
    fixed = sum(tuned.hits[path] > right for path, right in frozen.hits.items())
    broken = sum(tuned.hits[path] < right for path, right in frozen.hits.items())
    actual = outcome_of(1, frozen, tuned).actual
    assert (actual == "same") == (mcnemar(fixed, broken) >= 0.05)
    assert actual != "tuned" or fixed > broken
    assert actual != "frozen" or broken > fixed


def found_only(one: Result, k: int) -> Result:
    return replace(one, found=Count(k, 28))


@given(result(), st.integers(0, 28), st.integers(0, 28))
@settings(max_examples=40, deadline=None)
def test_focal_loss_is_blamed_only_where_it_lost_images(one: Result, plain: int, focal: int) -> None:
    shown = outcome_of(3, found_only(one, plain), found_only(one, focal), found_only(one, 0))
    assert (shown.actual == "fewer") == (focal <= plain - 2)
    assert (shown.actual == "more") == (focal >= plain + 2)
    assert ("turns the rare class down" in shown.says[0]) == (shown.actual == "fewer")


def test_a_learning_rate_fails_where_guessing_does_as_well() -> None:
    base = Result(Count(0, 300), Count(0, 0), Count(0, 900), Count(0, 100), Count(0, 200),
                  support=dict.fromkeys(CLASSES, 100), said={"covid19": 0, "normal": 300, "pneumonia": 0})  # fmt: skip
    guess, good = replace(base, right=Count(100, 300)), replace(base, right=Count(150, 300))
    both = outcome_of(2, guess, good, guess)
    assert both.actual == "both"
    assert "300 of 300 images are called normal" in both.says[0]
    assert both.line is not None
    assert both.line[0] == pytest.approx(1 / 3)
    assert outcome_of(2, good, good, guess).actual == "large"
    assert outcome_of(2, good, good, good).actual == "none"
    assert "A factor of ten" not in outcome_of(2, good, good, good).remember


def test_the_constant_predictor_is_counted_as_it_is() -> None:
    one = Result(Count(170, 388), Count(0, 0), Count(900, 1164), Count(0, 28), Count(0, 360),
                 support={"covid19": 28, "normal": 240, "pneumonia": 120})  # fmt: skip
    assert one.constant_labels == Count(360 + 240 + 268, 1164)
    assert one.constant == Count(240, 388)
    assert outcome_of(4, one).actual == 75
    course = replace(one, right=Count(0, 628), labels=Count(0, 1884),
                     support={"covid19": 28, "normal": 400, "pneumonia": 200})  # fmt: skip
    assert round(100 * course.constant_labels.share, 2) == 75.80  # as reported_results.md says


def test_six_images_are_the_least_that_prove_anything() -> None:
    assert least_images(28) == 6
    assert mcnemar(6, 0) < 0.05 <= mcnemar(5, 0)
    assert least_images(3) == 4  # never


@given(result())
@settings(max_examples=40, deadline=None)
def test_a_leak_is_measured_against_new_patients(one: Result) -> None:
    shown = outcome_of(6, one)
    assert shown.actual == max(0, one.right.percent - one.kinds["new patient"].percent)
    assert ("too good" in shown.says[0]) == (one.right.percent > one.kinds["new patient"].percent)


@given(result())
@settings(max_examples=40, deadline=None)
def test_the_word_is_blamed_only_where_its_absence_costs(one: Result) -> None:
    shown = outcome_of(7, one)
    assert shown.actual == min(30, one.called["word removed"].k)
    pointed = outcome_of(7, replace(one, corners=0.5))
    assert any("it points there" in line for line in pointed.says)
    assert not any("points there" in line for line in outcome_of(7, replace(one, corners=0.1)).says)
    assert ("learnt the word" in shown.remember) == (one.found.percent - one.called["word removed"].percent >= 30)


@given(result(), result())
@settings(max_examples=40, deadline=None)
def test_the_label_bug_is_seen_only_where_it_shows(bug: Result, good: Result) -> None:
    shown = outcome_of(8, bug, good)
    shows = "same pattern" in shown.says[1]
    assert not shows or bug.alarms_of["pneumonia"].share > max(
        bug.alarms_of["normal"].share, good.alarms_of["pneumonia"].share
    )
    assert "195 false alarms" in shown.says[1]  # as published
