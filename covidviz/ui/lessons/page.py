"""The page: all lessons, or one step of one lesson. The link names both; guesses live in the session."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from covidviz.errors import StoreError
from covidviz.lessons import LESSONS
from covidviz.lessons.result import Result, result_of
from covidviz.lessons.shape import Lesson, Outcome
from covidviz.lessons.words import WORDS
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import nav, queries
from covidviz.ui.components.copy_link import copy_link
from covidviz.ui.components.plot import plot
from covidviz.ui.lessons import links, progress, runs_view
from covidviz.ui.lessons.figure import bars_figure, height_of, in_words
from covidviz.ui.text import md

__all__ = ["body"]


def body() -> None:
    """The whole page."""
    st.html(nav.ASSETS / "lessons.css")
    lesson, step, wrong = links.asked()
    _head(lesson)
    if wrong:
        st.info(md(wrong), icon=":material/info:")
    if lesson is None:
        _all()
        return
    st.subheader(f"{lesson.number} · {md(lesson.question)}", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="lesson_steps"):
        _steps(lesson, step)
        with st.popover("Words", icon=":material/dictionary:", width="content"):
            st.markdown("\n\n".join(f"**{word}**: {md(WORDS[word])}" for word in lesson.terms))
        copy_link(f"lessons?lesson={lesson.number}&step={step}", key=f"lesson_link_{lesson.number}_{step}")
    with st.container(key="lesson_body"):
        _step(lesson, step)


# --- all lessons, and the row of them ---


def _head(lesson: Lesson | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="lesson_head"):
        st.title("Lessons", anchor=False, width="content")
        if lesson is not None:
            st.button("All", key="lesson_all", icon=":material/apps:", on_click=links.go, args=(None,))
            _row(lesson)


def _row(lesson: Lesson) -> None:
    kept = progress.all_of_it()
    key = "lesson_row"
    if st.session_state.get(key) != lesson.number:
        st.session_state[key] = lesson.number

    def changed() -> None:
        links.go(st.session_state[key])

    def name(number: int) -> str:
        mark = kept[number].mark if number in kept else ""
        return f"{number} {mark}".strip()

    st.segmented_control("Lesson", list(LESSONS), key=key, format_func=name, on_change=changed, required=True,
                         label_visibility="collapsed")  # fmt: skip


def _all() -> None:
    st.markdown("Guess first, then look. Each lesson trains a real network on drawn X-rays, in seconds.")
    kept = progress.all_of_it()
    numbers = list(LESSONS)
    for start in range(0, len(numbers), 4):
        for column, number in zip(st.columns(4), numbers[start : start + 4], strict=True):
            lesson, one = LESSONS[number], kept.get(number, progress.Progress())
            with column, st.container(border=True, key=f"lesson_card_{number}", height="stretch", gap="xsmall"):
                st.markdown(f"**{number} · {md(lesson.title)}**")
                st.markdown(md(lesson.question))
                done = "✓ done" if one.seen else "… guessed" if one.guess is not None else f"{lesson.minutes} minutes"
                st.caption(done)
                st.button("Open" if not one.seen else "Open again", key=f"lesson_open_{number}", width="stretch",
                          on_click=links.go, args=(number,))  # fmt: skip
    _take_away()


def _take_away() -> None:
    kept = progress.all_of_it()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="lesson_export"):
        if not kept:
            st.caption("Your guesses stay in this browser tab, until it is reloaded.")
            return
        st.caption("Your guesses stay in this browser tab, until it is reloaded. Save them:", width="content")
        st.download_button("Markdown", progress.as_markdown(kept), "lessons.md", "text/markdown", key="lesson_md",
                           on_click="ignore", icon=":material/download:")  # fmt: skip
        st.download_button("JSON", progress.as_json(kept), "lessons.json", "application/json", key="lesson_json",
                           on_click="ignore", icon=":material/download:")  # fmt: skip


# --- one step ---


def _steps(lesson: Lesson, step: str) -> None:
    key = "lesson_step"
    if st.session_state.get(key) != step:
        st.session_state[key] = step

    def changed() -> None:
        links.go(lesson.number, st.session_state[key])

    st.segmented_control("Step", list(links.STEPS), key=key, format_func=links.STEPS.__getitem__, on_change=changed,
                         required=True, label_visibility="collapsed")  # fmt: skip


def _step(lesson: Lesson, step: str) -> None:
    mine = progress.of(lesson)
    if step == "question":
        _question(lesson)
    elif step == "predict":
        _predict(lesson, mine)
    elif mine.guess is None and not mine.skipped:
        _first_guess(lesson, mine)
    elif step == "run":
        runs_view.show(lesson)
    else:
        rows = runs_view.found(lesson)
        if not runs_view.complete(rows):
            st.info("Its runs were deleted since." if mine.seen else "Its runs are not finished yet.",
                    icon=":material/hourglass_top:")  # fmt: skip
            runs_view.show(lesson)
        elif step == "reveal":
            _reveal(lesson, mine, rows)
        else:
            _try(lesson, rows)


def _next(lesson: Lesson, step: str, label: str) -> None:
    st.button(label, key=f"lesson_to_{step}", type="primary", icon=":material/arrow_forward:", icon_position="right",
              on_click=links.go, args=(lesson.number, step))  # fmt: skip


def _question(lesson: Lesson) -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        for fact in lesson.facts:
            st.markdown(fact)
        _next(lesson, "predict", "Make your guess")
    with right:
        runs_view.examples(lesson)


def _first_guess(lesson: Lesson, mine: progress.Progress) -> None:
    st.info("First your guess: it takes ten seconds, and one remembers better what one has guessed.",
            icon=":material/psychology:")  # fmt: skip
    _predict(lesson, mine)
    st.button("Show it without a guess (for teachers)", key="lesson_skip", type="tertiary",
              on_click=progress.show_without, args=(lesson,))  # fmt: skip


def _predict(lesson: Lesson, mine: progress.Progress) -> None:
    ask = lesson.ask
    st.markdown(f"**{ask.text}**")
    if mine.guess is not None or mine.seen:
        words = "none" if mine.guess is None else ask.words(mine.guess)
        st.markdown(f"Your guess: **{md(words)}**")
        if mine.seen:
            st.caption("It stands: you have seen the result.")
            _next(lesson, "reveal", "What came out")
            return
        with st.container(horizontal=True):
            _next(lesson, "run", "Run it")
            st.button("Guess anew", key="lesson_anew", on_click=progress.take_back, args=(lesson,))
        return
    key = f"lesson_guess_{lesson.number}"
    if ask.choices:
        st.radio(ask.text, list(ask.choices), index=None, key=key, format_func=lambda one: md(ask.choices[one]),
                 label_visibility="collapsed")  # fmt: skip
    else:
        st.slider(ask.text, ask.low, ask.high, ask.start, key=key, format=f"%d {ask.unit.replace('%', '%%')}",
                  label_visibility="collapsed")  # fmt: skip

    def sure() -> None:
        if progress.commit(lesson, st.session_state.get(key)):
            links.go(lesson.number, "run")

    st.button("This is my guess", key="lesson_commit", type="primary", icon=":material/lock:", on_click=sure,
              disabled=st.session_state.get(key) is None)  # fmt: skip


def _reveal(lesson: Lesson, mine: progress.Progress, rows: runs_view.Found) -> None:
    try:
        results = {key: _result(row.run_id) for key, row in rows.items() if row is not None}
    except StoreError as error:
        st.error(md(error), icon=":material/error:")
        return
    outcome = lesson.outcome(results)
    progress.saw(lesson, outcome)
    left, right = st.columns([1, 2], gap="large")
    with left:
        _verdict(lesson, mine, outcome)
        for line in outcome.says:
            st.markdown(line)
        runs_view.examples(lesson)
    with right:
        st.markdown(f"**{md(outcome.title)}**")
        plot(bars_figure(outcome), key=f"lesson_figure_{lesson.number}", label=in_words(outcome),
             height=height_of(outcome), keep=str(lesson.number))  # fmt: skip
        st.success(outcome.remember, icon=":material/lightbulb:")
        _next(lesson, "try", "One thing to try")


def _verdict(lesson: Lesson, mine: progress.Progress, outcome: Outcome) -> None:
    with st.container(border=True, key="lesson_verdict", gap="xsmall"):
        if mine.guess is not None:
            right = lesson.ask.right(mine.guess, outcome.actual)
            st.caption(f"Your guess: {'✓ right' if right else '✕ not so'}")
            st.markdown(md(lesson.ask.words(mine.guess)))
        st.caption("It was")
        st.markdown(f"**{md(lesson.ask.words(outcome.actual))}**")


def _result(run_id: str) -> Result:
    run = queries.run(run_id)
    if run is None:
        raise StoreError(f"run {run_id} is gone")
    return _counted(str(run.dir), run.version(layout.PREDICTIONS))


@st.cache_data(show_spinner=False, max_entries=64)
def _counted(folder: str, version: tuple[int, int]) -> Result:  # noqa: ARG001  part of the cache key
    return result_of(Run(Path(folder)))


def _try(lesson: Lesson, rows: runs_view.Found) -> None:
    st.markdown(lesson.tries.text)
    to = links.target(lesson, rows)
    if to is not None:
        page, params = to
        st.page_link(page, label=f"**{md(lesson.tries.label)}**", icon=":material/open_in_new:", query_params=params)
    if lesson.number + 1 in LESSONS:
        after = LESSONS[lesson.number + 1]
        st.button(f"Next: {md(after.title)}", key="lesson_after", icon=":material/arrow_forward:",
                  icon_position="right", on_click=links.go, args=(after.number,))  # fmt: skip
    _take_away()
