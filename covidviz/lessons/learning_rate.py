"""Lesson 2: too small and too large fail alike, for opposite reasons."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.evaluation.intervals import wilson
from covidviz.lessons.result import Result
from covidviz.lessons.settings import SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON"]

RATES = {"small": 1e-6, "middle": 3e-3, "large": 1.0}
WORDS = {"small": "0.000001", "middle": "0.003", "large": "1"}
SAME = 0.95  # share of images that are called one class, from which a network is said to ignore the image


def learns(one: Result) -> bool:
    """Whether it beats the constant predictor: the lower end of its interval does."""
    return wilson(one.right.k, one.right.n)[0] > one.constant.share


def outcome(found: Mapping[str, Result]) -> Outcome:
    """Which of the extremes is no better than always saying the same."""
    failed = [key for key in ("small", "large") if not learns(found[key])]
    actual = "both" if len(failed) == 2 else failed[0] if failed else "none"
    bars = []
    for key, one in found.items():
        low, high = wilson(one.right.k, one.right.n)
        bars.append(Bar(f"Learning rate {WORDS[key]}", one.right.share, f"{one.right.percent} %", low, high,
                        "main" if key == "middle" else "quiet"))  # fmt: skip
    says = []
    for key, why in (
        ("small", "its steps are so short that it has hardly moved"), ("large", "its first steps threw it off for good")
    ):  # fmt: skip
        one = found[key]
        name, n = max(one.said.items(), key=lambda item: item[1])
        if key in failed and n >= SAME * one.right.n:
            says.append(f"Learning rate {WORDS[key]}: {n} of {one.right.n} images are called {name}; {why}.")
        elif key in failed:
            says.append(f"Learning rate {WORDS[key]}: no better than guessing; {why}.")
        else:
            says.append(f"Learning rate {WORDS[key]}: it does learn, {one.right.percent} % are right.")
    middle = found["middle"]
    remember = (
        "Too small and too large look the same in the score. Try several, a factor of ten apart."
        if actual == "both" and learns(middle)
        else "Try several learning rates, a factor of ten apart, and look at the scores."
    )
    return Outcome(
        actual, "New images that are right", tuple(bars), tuple(says), remember,
        line=(middle.constant.share, "always the same answer"),
    )  # fmt: skip


LESSON = Lesson(
    2, "The learning rate", "Is a smaller step the safer one?",
    (
        "The same network, trained three times for **30 epochs**. Only the learning rate differs.",
        "**0.000001**, **0.003**, and **1**.",
        "Always saying the same is right for **1 image in 3**.",
    ),
    Ask("Which of the extremes comes out no better than guessing?", {
        "none": "Neither: one is slow, one is jumpy, both learn", "small": "Only 0.000001", "large": "Only 1",
        "both": "Both",
    }),
    tuple(Trial(key, f"Learning rate {WORDS[key]}", "plain", {**SHORT, "head": (256,), "lr": lr})
          for key, lr in RATES.items()),
    outcome,
    Try("Move the slider of the learning rate in the live lab. Where does it begin to fail?",
        "Open the live lab", "lab", "middle"),
    ("learning rate", "epoch", "weights", "validation images"), minutes=4,
)  # fmt: skip
