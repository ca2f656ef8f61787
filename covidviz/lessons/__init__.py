"""Eight short lessons: a question, a guess, a real run, what came out. Plain data and rules, no streamlit, no torch."""

from __future__ import annotations

from covidviz.lessons import accuracy, few, frozen, imbalance, leakage, learning_rate, reports, shortcut
from covidviz.lessons.shape import Lesson

__all__ = ["LESSONS", "Lesson"]

LESSONS: dict[int, Lesson] = {
    one.LESSON.number: one.LESSON
    for one in (frozen, learning_rate, imbalance, accuracy, few, leakage, shortcut, reports)
}
