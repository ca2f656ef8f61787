"""Lesson 8: a label bug that shows in a published matrix."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.lessons.result import Count, Result
from covidviz.lessons.settings import SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try
from covidviz.recipes.load import recipes

__all__ = ["LESSON", "RULE"]

RECIPE = "msds19043/15"
RULE = "pneumonia>covid19@train"
LABELS = {**SHORT, "task": "multi-label", "loss": "bce", "lr": 0.03}


def published() -> dict[str, int]:
    """The matrix of covid-19 on validation images, as reported: `tn`, `fp`, `fn`, `tp`."""
    confusion = recipes()[RECIPE].reported["val"].confusion
    assert confusion is not None
    counts: dict[str, int] = confusion["covid19"]
    return counts


def outcome(found: Mapping[str, Result]) -> Outcome:
    """Who is falsely called covid-19, with and without the bug in the training labels."""
    bug, good = found["bug"], found["good"]
    none = Count(0, 0)
    ill, ill_good = (one.alarms_of.get("pneumonia", none) for one in (bug, good))
    rest, rest_good = (one.alarms_of.get("normal", none) for one in (bug, good))
    bars = (
        Bar("With the bug: pneumonia called covid-19", ill.share, str(ill)),
        Bar("With the bug: normal called covid-19", rest.share, str(rest)),
        Bar("Right labels: pneumonia called covid-19", ill_good.share, str(ill_good), tone="quiet"),
        Bar("Right labels: normal called covid-19", rest_good.share, str(rest_good), tone="quiet"),
    )
    shows = ill.share >= rest.share + 0.1 and ill.share >= ill_good.share + 0.2
    counts = published()
    says = [
        f"Labelled so, our network calls {ill} pneumonia images covid-19; with right labels {ill_good.k}.",
        f"The report: {counts['fp']} false alarms, and there are 200 pneumonia images."
        + (" The same pattern." if shows else ""),
    ]
    remember = (
        "Before asking what a network did wrong, ask what it was told."
        if shows
        else "Our run does not show the pattern; the supports in the report do: 2,200 covid-19 to train on, not 200."
    )
    return Outcome("labels", "False alarms, by what the image shows", bars, tuple(says), remember)


_COUNTS = published()
LESSON = Lesson(
    8, "Reading the reports", "Find the bug in a published matrix",
    (
        "The best of 18 experiments in one report, on 28 covid-19, 400 normal and 200 pneumonia images:",
        f"covid-19 found **{_COUNTS['tp']}**, missed **{_COUNTS['fn']}**, false alarms **{_COUNTS['fp']}**.",
        "It was trained on 200 covid-19, 4,000 normal, 2,000 pneumonia images. The report gives **2,200** covid-19.",
    ),
    Ask("Where do the false alarms come from?", {
        "few": "28 images are too few to judge", "rate": "The learning rate was too high",
        "labels": "In training, pneumonia was labelled covid-19 too", "layers": "Too many layers were frozen",
    }),
    (
        Trial("bug", "Pneumonia labelled covid-19 too, in training", "rare", {**LABELS, "label_rule": RULE}),
        Trial("good", "Right labels", "rare", LABELS),
    ),
    outcome,
    Try("See all 18 experiments of that report beside the constant predictor.", "Open the report", "recipes", "bug",
        params={"report": RECIPE.partition("/")[0]}),
    ("false alarm", "frozen", "learning rate"), minutes=5,
)  # fmt: skip
