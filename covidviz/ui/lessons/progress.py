"""What a learner has guessed and seen: kept in the browser session, and written out for whoever wants it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from covidviz.lessons import LESSONS
from covidviz.lessons.shape import Guess, Lesson, Outcome

__all__ = ["Progress", "all_of_it", "as_json", "as_markdown", "commit", "of", "saw", "show_without", "take_back"]

_KEY = "lessons_progress"  # session


@dataclass(frozen=True)
class Progress:
    """One lesson of one learner. `guess`: None before it was committed; `seen`: when the result was shown first.

    skipped: it was shown without a guess. figures: what the bars said then.
    """

    guess: Guess | None = None
    skipped: bool = False
    seen: str | None = None
    actual: Guess | None = None
    right: bool | None = None
    figures: tuple[str, ...] = ()
    remember: str = ""

    @property
    def mark(self) -> str:
        """A sign for the row of lessons."""
        return "✓" if self.seen else "…" if self.guess is not None else ""


def all_of_it() -> dict[int, Progress]:
    """By number of the lesson; only those that were begun."""
    kept: dict[int, Progress] = st.session_state.setdefault(_KEY, {})
    return kept


def of(lesson: Lesson) -> Progress:
    return all_of_it().get(lesson.number, Progress())


def _change(lesson: Lesson, **changes: Any) -> None:
    all_of_it()[lesson.number] = Progress(**{**asdict(of(lesson)), **changes})


def commit(lesson: Lesson, guess: object) -> bool:
    """Keep a guess; False where it is none, or the result was seen already."""
    if of(lesson).seen or not lesson.ask.accepts(guess):
        return False
    _change(lesson, guess=guess, skipped=False)
    return True


def take_back(lesson: Lesson) -> None:
    """Guess anew, as long as the result was not seen."""
    if not of(lesson).seen:
        _change(lesson, guess=None)


def show_without(lesson: Lesson) -> None:
    """The result may be shown without a guess."""
    _change(lesson, skipped=True)


def saw(lesson: Lesson, outcome: Outcome) -> None:
    """The result is being shown: from now on the guess stands."""
    before = of(lesson)
    if before.seen:
        return
    _change(
        lesson, seen=datetime.now(UTC).isoformat(timespec="seconds"), actual=outcome.actual,
        right=None if before.guess is None else lesson.ask.right(before.guess, outcome.actual),
        figures=tuple(f"{bar.name}: {bar.text}" for bar in outcome.bars), remember=outcome.remember,
    )  # fmt: skip


# --- to take away ---


def _rows(kept: Mapping[int, Progress]) -> list[tuple[Lesson, Progress]]:
    return [(LESSONS[number], kept[number]) for number in sorted(kept) if number in LESSONS]


def as_json(kept: Mapping[int, Progress]) -> str:
    """The guesses and results, a JSON document."""
    rows = [
        {
            "lesson": lesson.number, "title": lesson.title, "asked": lesson.ask.text,
            "guess": _words(lesson, one.guess), "came_out": _words(lesson, one.actual),
            "right": one.right, "without_guess": one.guess is None,
            "seen": one.seen, "figures": list(one.figures), "remember": one.remember,
        }
        for lesson, one in _rows(kept)
    ]  # fmt: skip
    return json.dumps({"lessons": rows}, ensure_ascii=False, indent=2) + "\n"


def as_markdown(kept: Mapping[int, Progress]) -> str:
    """The same to read or hand in."""
    lines = ["# My lessons", ""]
    for lesson, one in _rows(kept):
        said = {True: " (right)", False: " (not so)", None: ""}[one.right]
        lines += [f"## {lesson.number} {lesson.title}", "", lesson.ask.text, ""]
        lines.append(f"- My guess: {_words(lesson, one.guess) or 'none'}{said}")
        if one.seen:
            lines.append(f"- It was: {_words(lesson, one.actual)}")
            lines += [f"- {figure}" for figure in one.figures]
            lines += ["", one.remember]
        lines.append("")
    return "\n".join(lines)


def _words(lesson: Lesson, guess: Guess | None) -> str | None:
    return None if guess is None else lesson.ask.words(guess)
