"""Lesson 3: focal loss with alpha .25 weighs the rare class down."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.evaluation.intervals import wilson
from covidviz.lessons.result import Result
from covidviz.lessons.settings import SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON"]

RARE = {**SHORT, "lr": 0.03, "seed": 1}
ALIKE = 1  # images of 28 that two runs may differ by and still be called alike


def outcome(found: Mapping[str, Result]) -> Outcome:
    """How many of the rare class are found, against plain cross-entropy."""
    plain, focal, up = found["plain"], found["focal"], found["up"]
    more = focal.found.k - plain.found.k
    actual = "same" if abs(more) <= ALIKE else "more" if more > 0 else "fewer"
    bars = []
    names = {"plain": "Cross-entropy", "focal": "Focal, alpha .25", "up": "Focal, alpha .75"}
    for key, name in names.items():
        one = found[key]
        low, high = wilson(one.found.k, one.found.n)
        text = f"{one.found}, {one.alarms.k} false alarms"
        bars.append(Bar(name, one.found.share, text, low, high, "main" if key == "focal" else "quiet"))
    says = [
        f"Focal loss finds {focal.found.k} of {focal.found.n}, cross-entropy {plain.found.k}."
        + (" Alpha .25 counts covid-19 a quarter and all else three quarters: it turns the rare class down."
           if actual == "fewer" else "")
    ]  # fmt: skip
    if up.found.k > plain.found.k:
        says.append(
            f"With alpha .75, which weighs it up, it finds {up.found.k}, "
            + (f"at the price of {up.alarms.k} false alarms instead of {plain.alarms.k}."
               if up.alarms.k > plain.alarms.k else "and gives no more false alarms.")
        )  # fmt: skip
    remember = {
        "fewer": "Alpha belongs to covid-19: below .5 it makes the rare class rarer.",
        "same": "A loss made for rare classes need not find more of them. Count.",
        "more": "Here it helped. On 28 images look at the intervals before you believe it.",
    }[actual]
    return Outcome(actual, "Covid-19 images that are found", tuple(bars), tuple(says), remember)


LESSON = Lesson(
    3, "Imbalance and focal loss", "Does focal loss find more of a rare class?",
    (
        "**40** covid-19 images to learn from, **360** others. New images: **28** covid-19, 360 others.",
        "Four of the course's reports used **focal loss**, made for rare classes; two with **alpha .25**.",
        "The same network, once with cross-entropy, once with focal loss (gamma 2, alpha .25), and with alpha .75.",
    ),
    Ask("Against cross-entropy, focal loss with alpha .25 finds, of the 28 covid-19 images,", {
        "more": "More, by 2 or more", "same": "About as many", "fewer": "Fewer, by 2 or more",
    }),
    (
        Trial("plain", "Cross-entropy", "rare", {**RARE, "loss": "cross_entropy"}),
        Trial("focal", "Focal loss, alpha .25", "rare",
              {**RARE, "loss": "focal", "focal_gamma": 2.0, "focal_alpha": 0.25}),
        Trial("up", "Focal loss, alpha .75", "rare",
              {**RARE, "loss": "focal", "focal_gamma": 2.0, "focal_alpha": 0.75}),
    ),
    outcome,
    Try("In the live lab, move alpha from .25 to .75 and watch the covid-19 row.", "Open the live lab", "lab", "focal"),
    ("focal loss", "cross-entropy", "loss", "false alarm", "validation images", "interval"), minutes=5,
)  # fmt: skip
