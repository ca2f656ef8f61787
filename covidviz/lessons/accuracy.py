"""Lesson 4: a high accuracy that needs no image."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.lessons.result import Result
from covidviz.lessons.settings import SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON"]


def outcome(found: Mapping[str, Result]) -> Outcome:
    """The constant predictor beside the network, under three names for being right."""
    net = found["labels"]
    constant, exact = net.constant_labels, net.constant
    bars = (
        Bar("Labels right: constant", constant.share, f"{constant.percent} %", tone="quiet"),
        Bar("Labels right: network", net.labels.share, f"{net.labels.percent} %"),
        Bar("All labels of an image right: constant", exact.share, f"{exact.percent} %", tone="quiet"),
        Bar("All labels of an image right: network", net.right.share, f"{net.right.percent} %"),
        Bar("Covid-19 found: constant", 0.0, f"0 of {net.found.n}", tone="quiet"),
        Bar("Covid-19 found: network", net.found.share, str(net.found)),
    )
    gain = net.labels.percent - constant.percent
    says = [
        f"Saying *{net.commonest}* for every image has {constant.percent} % of the labels right and finds no covid-19.",
        f"The network has {net.labels.percent} %"
        + (f", {gain} points more" if gain > 0 else ", no more" if gain == 0 else f", {-gain} points fewer")
        + f", and finds {net.found} covid-19 images.",
    ]
    drop = net.labels.percent - net.right.percent
    remember = (
        f"The same decisions are {net.labels.percent} % or {net.right.percent} %, as one counts. Ask which, and what "
        "the constant scores."
        if drop > 0
        else "Ask what was counted, and what the constant predictor scores."
    )
    return Outcome(constant.percent, "One network, three scores", bars, tuple(says), remember)


LESSON = Lesson(
    4, "Accuracy lies", "Is 75 % good?",
    (
        "388 images: **28** covid-19, **240** normal, **120** pneumonia.",
        "Each has **three labels** to decide, yes or no: 1,164 decisions. Two of the reports count those as accuracy.",
        "A program that looks at no image says *normal: yes, covid-19: no, pneumonia: no*, every time.",
    ),
    Ask("How many percent of the 1,164 decisions does it have right?", low=0, high=100, start=33, unit="%", near=5),
    (Trial("labels", "Three labels per image", "rare",
           {**SHORT, "task": "multi-label", "loss": "bce", "monitor": "val_label_accuracy"}),),
    outcome,
    Try("Move the decision threshold of covid-19 and see which score follows and which does not.",
        "Open the thresholds of this run", "run", "labels", params={"view": "thresholds"}),
    ("accuracy", "per-label accuracy", "exact match", "constant predictor", "recall"), minutes=4,
)  # fmt: skip
