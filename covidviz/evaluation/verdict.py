"""What a paired comparison allows to say, in words, by fixed rules. No numpy needed, no streamlit.

The rules, for "right on more images" and for the recall of the critical class, and for nothing else (a verdict on every
metric would find something by chance):

- evidence: the exact McNemar test gives p < .05 *and* the 95 % interval of the difference leaves out 0;
- no evidence: anything else, which is not the same as "equal": the interval says what is still possible;
- fewer than 6 changed images can't give p < .05, whichever way they fell, and that is said;
- fewer than 30 images, of the split or of the critical class, are named as few;
- one run on each side says nothing about other seeds, and that is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from covidviz.evaluation.paired import Paired, mcnemar

__all__ = ["ALPHA", "FEW", "Verdict", "decimals", "interval_text", "p_text", "verdict"]

ALPHA = 0.05
FEW = 30  # images
LEAST_CHANGED = 6  # 2 / 2**5 = .0625, 2 / 2**6 = .031

Kind = Literal["better", "worse", "mixed", "none"]


@dataclass(frozen=True)
class Verdict:
    """`kind`: what there is evidence of for B; `headline`: that in one plain sentence; `numbers`: what it rests on;
    `cautions`: what limits it. `text` is all of the numbers and the conclusion in one sentence."""

    kind: Kind
    headline: str
    numbers: str
    cautions: tuple[str, ...]

    @property
    def text(self) -> str:
        end = (
            self.headline[:1].lower() + self.headline[1:] if self.headline.startswith(("No ", "Evi")) else self.headline
        )
        return f"{self.numbers}: {end}."


def verdict(paired: Paired, *, critical: str | None = None, a: str = "A", b: str = "B") -> Verdict:
    """The verdict on B against A.

    Args:
        critical: the class whose recall is judged too.
        a, b: what the two are called.
    """
    overall = _direction(paired.mcnemar_p, paired, _overall(paired))
    recall = 0
    judged = critical if critical in paired.recalls and paired.recalls[critical][0] else None
    if judged is not None:
        _, _, _, only_b, only_a = paired.recalls[judged]
        recall = _direction(mcnemar(only_b, only_a), paired, f"recall_{judged}")
    headline = _headline(overall, recall, judged, paired, a, b)
    kind: Kind = "none"
    if overall or recall:
        kind = "mixed" if overall * recall < 0 else "better" if overall + recall > 0 else "worse"
    return Verdict(kind, headline, _numbers(paired, judged, b), tuple(_cautions(paired, judged, a, b)))


def _overall(paired: Paired) -> str:
    """The share of images that are right: the metric that McNemar's test is about."""
    return "accuracy" if "accuracy" in paired.metrics else "exact_match"


def _direction(p: float, paired: Paired, metric: str) -> int:
    """1: evidence that B has more, -1: that A has, 0: of neither."""
    one = paired.metrics[metric]
    if p >= ALPHA or one.low <= 0 <= one.high:
        return 0
    return 1 if one.low > 0 else -1


def _headline(overall: int, recall: int, judged: str | None, paired: Paired, a: str, b: str) -> str:
    if not paired.fixed + paired.broken:
        return f"{a} and {b} have the same images right"
    if not overall and not recall:
        return "No evidence of a difference"
    which = {1: b, -1: a}
    if overall and not recall:
        more = f"Evidence that {which[overall]} is right on more images"
        return more if judged is None else f"{more}, none that the recall of {judged} differs"
    found = f"{which[recall]} finds more of {judged}"
    if recall and not overall:
        return f"Evidence that {found}, none that either is right on more images"
    if overall == recall:
        return f"Evidence that {which[overall]} is right on more images, and finds more of {judged}"
    return f"Evidence both ways: {which[overall]} is right on more images, but {found}"


def _numbers(paired: Paired, judged: str | None, b: str) -> str:
    several = max(paired.runs) > 1
    fixes = f"{b} fixes {_images(paired.fixed)}, breaks {paired.broken:,}"
    if several:
        fixes += f" (right in most of {paired.runs[0]} and {paired.runs[1]} runs)"
    parts = [f"{fixes}; exact McNemar p {p_text(paired.mcnemar_p)}"]
    if judged is not None:
        n, in_a, in_b, only_b, only_a = paired.recalls[judged]
        one = paired.metrics[f"recall_{judged}"]
        # The two numbers as they are counted, where there is one run each; else their means.
        digits = decimals(one.low, one.high, n=n)
        values = (
            f"{_bare(one.a, digits)} against {_bare(one.b, digits)} on {_images(n)}" if several
            else f"{in_a:,}/{n:,} against {in_b:,}/{n:,} ({only_b:,} found, {only_a:,} lost)"
        )  # fmt: skip
        parts.append(f"recall of {judged} {values}, difference {interval_text(one.diff, one.low, one.high, n=n)}")
    else:
        name = _overall(paired)
        one = paired.metrics[name]
        shown = interval_text(one.diff, one.low, one.high, n=paired.n)
        parts.append(f"{name.replace('_', ' ')} {_bare(one.a, 3)} against {_bare(one.b, 3)}, difference {shown}")
    return "; ".join(parts)


def _cautions(paired: Paired, judged: str | None, a: str, b: str) -> list[str]:
    said = []
    changed = paired.fixed + paired.broken
    if changed < LEAST_CHANGED:
        only = "No image" if not changed else f"Only {_images(changed)}"
        said.append(f"{only} changed sides: fewer than {LEAST_CHANGED} can not show a difference.")
    if paired.n < FEW:
        said.append(f"{_images(paired.n)} in all: few, so only a large difference would show.")
    if judged is not None and paired.recalls[judged][0] < FEW:
        said.append(f"{_images(paired.recalls[judged][0])} of {judged}: few, so only a large difference would show.")
    tests = [("images right", paired.mcnemar_p, paired.metrics[_overall(paired)])]
    if judged is not None:
        _, _, _, only_b, only_a = paired.recalls[judged]
        tests.append((f"recall of {judged}", mcnemar(only_b, only_a), paired.metrics[f"recall_{judged}"]))
    for what, p, one in tests:
        start = what[:1].upper() + what[1:]
        if p < ALPHA and one.low <= 0 <= one.high:
            other = "other seeds or other images" if max(paired.runs) > 1 else "other patients"
            said.append(f"{start}: p is below .05, but the interval holds 0; {other} could undo it.")
        if p >= ALPHA and not one.low <= 0 <= one.high:
            said.append(f"{start}: the interval leaves out 0, but p {p_text(p)} is not below .05.")
    if paired.runs == (1, 1):
        said.append("One run each: another seed of the same settings could come out otherwise.")
    elif min(paired.runs) == 1:
        said.append(f"{a if paired.runs[0] == 1 else b} is one run: how its other seeds would do is not known.")
    return said


def _images(n: int) -> str:
    return f"{n:,} {'image' if n == 1 else 'images'}"


# --- numbers as statistics are written: no zero before the point of what can't pass 1 ---


def p_text(p: float) -> str:
    """`= .40`, `= .049`, `< .001`: never rounded across .05.

    >>> p_text(0.4049), p_text(0.0496), p_text(1.0)
    ('= .40', '= .0496', '= 1')
    """
    if round(p, 6) >= 1:
        return "= 1"
    if p < 0.001:
        return "< .001"
    digits = 2 if p >= 0.1 else 3
    while digits < 6 and (round(p, digits) in (ALPHA, 1.0) and p != ALPHA):
        digits += 1
    return f"= {_bare(p, digits)}"


def decimals(*values: float, n: int) -> int:
    """Decimals to write: 2 for up to 1,000 images, 3 beyond; more where an end that is not 0 would become 0."""
    digits = 2 if n <= 1000 else 3
    while digits < 6 and any(value and not round(value, digits) for value in values if math.isfinite(value)):
        digits += 1
    return digits


def interval_text(diff: float, low: float, high: float, *, n: int) -> str:
    """`.07 (\N{MINUS SIGN}.15 to .29)`.

    Args:
        n: images it was measured on.
    """
    digits = decimals(low, high, n=n)
    return f"{_bare(diff, digits)} ({_bare(low, digits)} to {_bare(high, digits)})"


def _bare(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    if text.startswith("0."):
        text = text[1:]
    return f"\N{MINUS SIGN}{text}" if round(value, digits) < 0 else text
