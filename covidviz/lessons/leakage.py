"""Lesson 6: validation images that training has seen."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.evaluation.intervals import wilson
from covidviz.lessons.result import Count, Result
from covidviz.lessons.settings import SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON"]

KINDS = {"copy": "Copies of training images", "same patient": "Other images of training patients",
         "new patient": "New patients"}  # fmt: skip


def outcome(found: Mapping[str, Result]) -> Outcome:
    """By how many points the reported score is too good."""
    one = found["leak"]
    honest = one.kinds.get("new patient", Count(0, 0))
    points = one.right.percent - honest.percent
    bars = [Bar("What would be reported (all)", one.right.share, f"{one.right.percent} %", tone="quiet")]
    for kind, name in KINDS.items():
        if (count := one.kinds.get(kind)) is not None and count.n:
            low, high = wilson(count.k, count.n)
            bars.append(Bar(name, count.share, f"{count.percent} %", low, high))
    says = [f"Reported {one.right.percent} %, on new patients {honest.percent} %: "
            + (f"{points} points too good." if points > 0 else "here the leak does not raise the score.")]  # fmt: skip
    same = one.kinds.get("same patient")
    if same is not None and same.n:
        more = same.percent - honest.percent
        says.append(
            f"Another image of a known patient: {same.percent} %, "
            + (f"{more} points above a new one." if more >= 5 else "hardly better than a new one."
               if more > -5 else "not better than a new one.")
        )  # fmt: skip
    known = same is not None and same.n and same.percent - honest.percent >= 5
    remember = (
        "A leak need not show in the score. Look for copies and patients before you train."
        if points <= 0
        else "Split by patient, and look for copies, before you train."
        if known
        else "Look for copies before you train. Here they raise the score; known patients alone do not."
    )
    return Outcome(max(0, points), "Images that are right", tuple(bars), tuple(says), remember)


LESSON = Lesson(
    6, "Leakage", "What if training has seen the test?",
    (
        "240 validation images. **Half are copies** of training images, every second one cropped and brighter.",
        "A quarter are **other images of training patients**. Only the last quarter are new patients.",
        "Nobody noticed. The accuracy is reported on all 240.",
    ),
    Ask("By how many points is the reported accuracy too good?", low=0, high=100, start=0, unit="points", near=5),
    (Trial("leak", "Half copies, a quarter known patients", "leak", {**SHORT, "lr": 1.0, "epochs": 150}),),
    outcome,
    Try("Let the data doctor look for the copies and the patients.", "Open the data", "data", "leak",
        params={"check": "exact-duplicates"}),
    ("leakage", "accuracy", "validation images", "phantom"), minutes=4,
)  # fmt: skip
