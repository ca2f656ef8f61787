"""Lesson 5: how little 28 images can tell."""

from __future__ import annotations

from collections.abc import Mapping

from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.paired import mcnemar
from covidviz.evaluation.verdict import ALPHA, p_text
from covidviz.lessons.result import Count, Result
from covidviz.lessons.settings import FROZEN, SHORT
from covidviz.lessons.shape import Ask, Bar, Lesson, Outcome, Trial, Try

__all__ = ["LESSON", "least_images"]

N = 28


def least_images(n: int) -> int:
    """How many images B must fix, breaking none, before McNemar's test gives p < .05; n + 1 where n are too few."""
    return next((k for k in range(1, n + 1) if mcnemar(k, 0) < ALPHA), n + 1)


def outcome(found: Mapping[str, Result]) -> Outcome:
    """Two runs that differ in their seed, on 28 covid-19 images and on all of them."""
    a, b = found["frozen"].finds, found["seed"].finds
    paths = sorted(set(a) & set(b))
    few = paths[:N]
    bars = []
    for some in dict.fromkeys((tuple(few), tuple(paths))):
        for name, finds in (("A", a), ("B", b)):
            count = Count(sum(finds[path] for path in some), len(some))
            low, high = wilson(count.k, count.n)
            bars.append(Bar(f"{name}, on {count.n} images", count.share, str(count), low, high,
                            "main" if len(some) == len(few) else "quiet"))  # fmt: skip
    fixed = sum(b[path] and not a[path] for path in few)
    broken = sum(a[path] and not b[path] for path in few)
    p = mcnemar(fixed, broken)
    low, high = wilson(sum(a[path] for path in few), len(few))
    say = "finds" if fixed - broken else "finds as many as A. It finds"
    says = [
        f"On {len(few)} images A's true recall may lie anywhere from {100 * low:.0f} to {100 * high:.0f} %.",
        f"B {say} {fixed} that A misses, and misses {broken} that A finds: p {p_text(p)}"
        + (", which would count as evidence. But only the seed differs." if p < ALPHA else ". No evidence."),
    ]
    if len(paths) > len(few):
        more, less = (sum(x[path] and not y[path] for path in paths) for x, y in ((b, a), (a, b)))
        every = mcnemar(more, less)
        says.append(
            f"On all {len(paths)}: p {p_text(every)}"
            + (". The two networks do differ; their settings do not." if every < ALPHA else ".")
        )
    least = least_images(N)
    remember = f"On {N} images fewer than {least} changed ones never prove anything, whichever way they fall."
    return Outcome(least, "Covid-19 images that are found, with the interval", tuple(bars), tuple(says), remember)


LESSON = Lesson(
    5, "28 images", "When is B really better than A?",
    (
        "The course judged covid-19 on **28 images**. One experiment finds 15 of them, the next 16.",
        "Here: networks **A** and **B**, trained alike. **Only the seed differs.**",
        "Say B finds some covid-19 images that A misses, and loses **none**.",
    ),
    Ask("From how many such images on is that more than chance (p below .05)?", low=1, high=28, start=1,
        unit="images", near=1),
    (FROZEN, Trial("seed", "The same with another seed", "plain", {**SHORT, "seed": 1})),
    outcome,
    Try("See A and B image by image. The verdict is about these two networks: their settings are the same but for the "
        "seed.", "Compare A and B", "compare", "frozen"),
    ("seed", "recall", "interval", "McNemar's test", "p"), minutes=4,
)  # fmt: skip
