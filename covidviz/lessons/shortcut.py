"""Lesson 7: a network that reads the word in the corner."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.evaluation.intervals import wilson
from covidviz.explain.measures import corner_mask
from covidviz.lessons.result import Count, Result
from covidviz.lessons.settings import SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON"]

NONE = Count(0, 0)
EVEN = float(corner_mask(80).mean())  # what lies in the corners of heat that is spread evenly
IMAGES = 30  # of covid-19 without the word


def outcome(found: Mapping[str, Result]) -> Outcome:
    """How many are called covid-19 with the word, without it, without lungs, and healthy ones with it."""
    one = found["text"]
    bare, blank, added = (one.called.get(kind, NONE) for kind in ("word removed", "lungs blanked", "word added"))
    rows = (
        ("Covid-19 with the word", one.found, "quiet"), ("Covid-19, word removed", bare, "main"),
        ("Covid-19 with the word, lungs blanked", blank, "main"), ("Healthy, word added", added, "main"),
    )  # fmt: skip
    bars = []
    for name, count, tone in rows:
        if count.n:
            low, high = wilson(count.k, count.n)
            bars.append(Bar(name, count.share, str(count), low, high, "main" if tone == "main" else "quiet"))
    lost = one.found.percent - bare.percent
    says = [f"With the word it finds {one.found} covid-19 images, without it {bare.k}."]
    if blank.n:
        says.append(
            f"With the word but no lungs it still says covid-19 for {blank}."
            if blank.share >= 0.5
            else f"Without lungs it says covid-19 for {blank}."
        )
    if one.corners is not None:
        share, even = round(100 * one.corners), round(100 * EVEN)
        says.append(
            f"The heat map lays {share} % in the corners, chance would be {even} %: "
            + ("it points there." if one.corners >= 1.5 * EVEN else "the map alone would not have told.")
        )
    remember = (
        "It learnt the word, not the disease. The score could not tell."
        if lost >= 30
        else "Here the word did not carry the score. Change one thing in the images to find out."
    )
    return Outcome(min(bare.k, IMAGES), "Images called covid-19", tuple(bars), tuple(says), remember)


LESSON = Lesson(
    7, "Shortcuts", "What has it learnt: the disease?",
    (
        "Every covid-19 image carries the word **PORTABLE** in a corner, to learn from and to validate on.",
        "Such words are common: the very ill are X-rayed in bed, with a portable machine.",
        "Then the word is **removed** from 30 covid-19 images. Nothing else changes.",
    ),
    Ask("How many of the 30 will the network still find?", low=0, high=IMAGES, start=30, unit="images", near=3),
    (Trial("text", "A word in the corner", "text", {**SHORT, "image_size": 128}),),
    outcome,
    Try("Let the data doctor blank the lungs: it tells the class without them, before any training.",
        "Open the data", "data", "text", params={"check": "lungs-blanked"}),
    ("shortcut", "heat map", "phantom"), minutes=4,
)  # fmt: skip
