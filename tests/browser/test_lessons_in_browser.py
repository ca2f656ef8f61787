"""One whole lesson as a new user goes through it: guess, a real run, the result beside the guess, the page to try."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import Server, Tab
from playwright.sync_api import expect

from covidviz.lessons import LESSONS
from covidviz.store.runs import list_run_dirs

LESSON = LESSONS[4]


@pytest.fixture(autouse=True)
def base(server: Server, tiny_phantoms: Path) -> None:
    """60 phantoms in the place of those that take half a minute to draw."""
    shutil.copytree(tiny_phantoms, server.data / "phantoms-small", dirs_exist_ok=True)


def heading(tab: Tab) -> Any:
    return tab.page.get_by_role("heading", name=LESSON.question)


def test_a_lesson_from_the_guess_to_what_there_is_to_try(tab: Tab, open_tab: Callable[..., Tab]) -> None:
    tab.open("/lessons")
    tab.button("lesson_open_4").click()
    expect(heading(tab)).to_be_visible()
    tab.button("lesson_to_predict").click()
    expect(tab.page.get_by_role("slider")).to_have_value("33")
    tab.button("lesson_commit").click()
    tab.button("lesson_start").click()
    assert tab.query() == {"lesson": "4", "step": "run"}
    tab.button("lesson_see").click()
    body = tab.page.locator(".st-key-lesson_body")
    expect(tab.page.locator(".st-key-lesson_verdict")).to_contain_text(re.compile("Your guess.*33 %.*It was", re.S))
    expect(tab.page.locator(".st-key-lesson_figure_4 .main-svg").first).to_be_visible()
    assert not tab.overflows()
    tab.page.get_by_role("radio", name="Your guess").click()
    expect(body.get_by_text("It stands")).to_be_visible()
    expect(tab.page.locator(".st-key-lesson_commit, .st-key-lesson_anew")).to_have_count(0)
    # What it leaves: a file with the guess, and a page with these settings.
    tab.page.get_by_role("radio", name="Try it").click()
    with tab.page.expect_download() as saved:
        tab.button("lesson_json").click()
    assert json.loads(Path(saved.value.path()).read_text())["lessons"][0]["guess"] == "33 %"
    body.get_by_role("link", name=LESSON.tries.label).click()
    tab.page.wait_for_url(re.compile("view=thresholds"))
    tab.idle()
    assert [path.name for path in list_run_dirs(tab.server.runs)] == [tab.query()["run"]]
    # Another learner, on a phone, finds the run done and has to guess first.
    other = open_tab(viewport={"width": 390, "height": 844})
    other.open("/lessons?lesson=4&step=reveal")
    expect(other.page.get_by_text("First your guess")).to_be_visible()
    other.button("lesson_skip").click()
    expect(other.page.locator(".st-key-lesson_verdict")).to_contain_text("It was")
    expect(other.page.locator(".st-key-lesson_verdict")).not_to_contain_text("33 %")
    assert not other.overflows()
