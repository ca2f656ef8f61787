"""Lesson 1: what is lost when all layers but the last stay as they are."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.paired import mcnemar
from covidviz.lessons.result import Result
from covidviz.lessons.settings import FROZEN, SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON"]

TUNED = Trial("tuned", "Fine-tuned from layer4", "plain",
              {**SHORT, "trainable": "from:layer4", "lr": 0.02, "epochs": 5})  # fmt: skip


def outcome(found: Mapping[str, Result]) -> Outcome:
    """Who has more validation images right, by McNemar's test, and how much of that was learnt by heart."""
    frozen, tuned = found["frozen"], found["tuned"]
    fixed = sum(tuned.hits[path] and not right for path, right in frozen.hits.items() if path in tuned.hits)
    broken = sum(right and not tuned.hits[path] for path, right in frozen.hits.items() if path in tuned.hits)
    actual = "same"
    if mcnemar(fixed, broken) < 0.05:
        actual = "tuned" if fixed > broken else "frozen"
    bars = []
    for name, one in (("Frozen", frozen), ("Fine-tuned", tuned)):
        bars.append(Bar(f"{name}: its training images", one.trained.share, f"{one.trained.percent} %", tone="quiet"))
        low, high = wilson(one.right.k, one.right.n)
        bars.append(Bar(f"{name}: new images", one.right.share, f"{one.right.percent} %", low, high))
    says = []
    if tuned.seconds and frozen.seconds and tuned.learnt and frozen.learnt:
        says.append(
            f"Frozen: {frozen.learnt:,} numbers learnt in {frozen.seconds:.0f} s. "
            f"Fine-tuned: {tuned.learnt:,} in {tuned.seconds:.0f} s."
        )
    says.append(
        f"On {frozen.right.n} new images fine-tuning fixes {fixed} and breaks {broken}: "
        + {"tuned": "more than chance would.", "frozen": "it does harm, more than chance would.",
           "same": "chance could do that."}[actual]
    )  # fmt: skip
    gap = tuned.trained.percent - tuned.right.percent
    remember = (
        f"Fine-tuning knows its own images by heart ({tuned.trained.percent} %); on new ones it is {gap} points lower."
        if gap >= 15
        else "What counts is the bar of the new images, not that of the training images."
    )
    return Outcome(
        actual, "Images that are right", tuple(bars), tuple(says), remember,
        line=(frozen.constant.share, "always the same answer"),
    )  # fmt: skip


LESSON = Lesson(
    1, "Frozen or fine-tuned", "Does a network have to learn in all its layers?",
    (
        "Two networks, the same **450 new images**, three classes.",
        "**Frozen**: only the head learns, 1,539 numbers. The layers below stay as they were drawn, at random.",
        "**Fine-tuned**: the head and the last block learn, 8.4 million numbers.",
    ),
    Ask("Which has more of the new images right?", {
        "frozen": "The frozen one", "same": "No clear difference", "tuned": "The fine-tuned one",
    }),
    (FROZEN, TUNED), outcome,
    Try("Here the frozen layers had learnt nothing before. Start both from ImageNet weights (45 MB, fetched once).",
        "Set up the frozen one from ImageNet", "new_run", "frozen", {"weights": "imagenet"}),
    ("phantom", "head", "frozen", "fine-tuning", "validation images", "weights"), minutes=4,
)  # fmt: skip
