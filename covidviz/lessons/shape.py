"""What every lesson is made of: a question, a guess to ask for, the runs it needs, and what their numbers show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from covidviz.lessons.result import Result

__all__ = ["Ask", "Bar", "Guess", "Lesson", "Outcome", "Trial", "Try"]

Guess = str | int  # the key of a choice, or a number


@dataclass(frozen=True)
class Ask:
    """What the learner is asked to predict.

    choices: key to text; empty where a number is asked for.
    low, high, start: of the number. unit: behind it, such as `%`.
    near: a guess as near as this to the number that came out counts as right.
    """

    text: str
    choices: Mapping[str, str] = field(default_factory=dict)
    low: int = 0
    high: int = 100
    start: int = 50
    unit: str = ""
    near: int = 0

    def accepts(self, guess: object) -> bool:
        """Whether `guess` is one that can be given."""
        if self.choices:
            return isinstance(guess, str) and guess in self.choices
        return isinstance(guess, int) and not isinstance(guess, bool) and self.low <= guess <= self.high

    def words(self, guess: Guess) -> str:
        """A guess, or what came out, as text."""
        if isinstance(guess, str):
            return self.choices[guess]
        return f"{guess} {self.unit.removesuffix('s') if guess == 1 else self.unit}".strip()

    def right(self, guess: Guess, actual: Guess) -> bool:
        """Whether the guess came true."""
        if isinstance(guess, int) and isinstance(actual, int):
            return abs(guess - actual) <= self.near
        return guess == actual


@dataclass(frozen=True)
class Trial:
    """One run of a lesson: fields of TrainConfig without data, and the dataset of `covidviz.lessons.pictures`."""

    key: str
    name: str
    dataset: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Bar:
    """One bar of the figure: its length, what is written at its end, and where known the 95 % interval.

    tone: `main` what the lesson is about; `quiet` what it is compared with.
    """

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    tone: Literal["main", "quiet"] = "main"


@dataclass(frozen=True)
class Outcome:
    """What the runs show.

    actual: what the guess is held against.
    title: of the figure. bars: of it, on one scale from 0 to `most`.
    line: where a line is drawn across the bars, and its name.
    says: a few sentences, each by a rule from the numbers.
    remember: the one sentence to keep, by a rule too.
    """

    actual: Guess
    title: str
    bars: tuple[Bar, ...]
    says: tuple[str, ...]
    remember: str
    most: float = 1.0
    line: tuple[float, str] | None = None
    percent: bool = True


@dataclass(frozen=True)
class Try:
    """One thing to do next, on a page of the app.

    page: its path, such as `lab`. trial: whose settings go there, for `lab` and `new_run`, or whose dataset, for
        `data`; with `run` its run is opened. changes: of the settings.
    """

    text: str
    label: str
    page: Literal["lab", "new_run", "data", "compare", "images", "recipes", "run"]
    trial: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """A lesson. Texts are Markdown of ours.

    question: the title as a question. belief: what many expect, told with the result.
    facts: what one has to know before guessing, a few short lines.
    minutes: what it takes, with the run. terms: words of `covidviz.lessons.words` that it uses.
    outcome: from the results of the trials, by key.
    samples: kinds of pictures shown beside the question (files of the dataset), as `pictures.examples` names them.
    """

    number: int
    title: str
    question: str
    facts: tuple[str, ...]
    ask: Ask
    trials: tuple[Trial, ...]
    outcome: Callable[[Mapping[str, Result]], Outcome]
    tries: Try
    terms: tuple[str, ...]
    minutes: int = 4
