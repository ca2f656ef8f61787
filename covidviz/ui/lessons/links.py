"""Where a lesson leads: the link of each step, and the page with the settings of its last part filled in."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from covidviz.lessons import LESSONS
from covidviz.lessons.runs import config_of
from covidviz.lessons.shape import Lesson
from covidviz.store.summary import RunSummary
from covidviz.ui import form as forms
from covidviz.ui import nav
from covidviz.ui.lab_settings import OF_DATA, SLIDERS

__all__ = ["STEPS", "asked", "go", "target"]

STEPS = {"question": "Question", "predict": "Your guess", "run": "Run", "reveal": "What came out", "try": "Try it"}
PAGES = {"lab": nav.LAB, "new_run": nav.NEW_RUN, "data": nav.DATA, "compare": nav.COMPARE, "images": nav.IMAGES,
         "recipes": nav.RECIPES, "run": nav.RUN}  # fmt: skip


def asked() -> tuple[Lesson | None, str, str | None]:
    """The lesson and the step that the link names, and what of it there is not."""
    number, step = st.query_params.get("lesson"), st.query_params.get("step")
    lesson = LESSONS.get(int(number)) if number and number.isascii() and number.isdecimal() else None
    if number and lesson is None:
        return None, "question", f"There is no lesson {number[:20]!r}; these are all."
    if step and step not in STEPS:
        return lesson, "question", f"There is no step {step[:20]!r}; this is the first one."
    return lesson, step or "question", None


def go(number: int | None, step: str = "question") -> None:
    """In a callback: to a step of a lesson, or to all lessons."""
    st.query_params.from_dict({} if number is None else {"lesson": str(number), "step": step})


def target(lesson: Lesson, found: Mapping[str, RunSummary | None]) -> tuple[str, dict[str, str]] | None:
    """The page and its query of what there is to try; None where a run that it opens is not there."""
    one = lesson.tries
    trial = next(trial for trial in lesson.trials if trial.key == one.trial)
    config = config_of(trial, lesson).replace(name="", tags=(), **one.changes)
    row = found.get(one.trial)
    params = dict(one.params)
    if one.page in ("lab", "new_run"):
        values = forms.differing(config.model_dump())
        if one.page == "lab":
            values = {name: value for name, value in values.items() if name in (*OF_DATA, *SLIDERS)}
        params["s"] = forms.encode(values)
    elif one.page == "data":
        params["data"] = config.data
    elif one.page == "compare":
        ids = [row.run_id for row in found.values() if row is not None]
        if len(ids) < len(found):
            return None
        params["runs"] = ",".join(ids)
    elif one.page in ("run", "images"):
        if row is None:
            return None
        params["run"] = row.run_id
    return PAGES[one.page], params
