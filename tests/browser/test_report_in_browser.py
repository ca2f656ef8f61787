"""A report opened from disk without a network: its charts and matrices answer, nothing is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from explored import make_dataset
from playwright.sync_api import Locator, Page, expect
from synthetic import write_synthetic_run

from covidviz.report.make import make_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = make_dataset(folder / "set", n=36)
    make_report([write_synthetic_run(folder / "runs", 1, artefacts=True, data=data)], folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def opened(chromium: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    options = getattr(request, "param", {})
    context = chromium.browser.new_context(viewport={"width": 1280, "height": 720}, offline=True, **options)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if not one.url.startswith("data:") else None)
    page.on("console", lambda one: asked.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda one: asked.append(str(one)))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert asked == [report.as_uri()]


def _middle(chart: Locator) -> tuple[float, float, float, float]:
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_charts_and_matrices_answer_from_disk(opened: Page) -> None:
    tip = opened.locator(".tip")
    chart = opened.locator("#run-1 svg[data-chart]").first
    x, y, width, height = _middle(chart)
    opened.mouse.move(x + width * 0.6, y + height * 0.6)
    expect(tip).to_have_text(re.compile(r"^epoch \d+validation: \d\.\d{3}training: \d\.\d{3}$"))
    chart.get_by_role("button", name="show training").click()
    expect(chart.locator('polyline[data-s="1"]')).to_be_hidden()
    opened.mouse.move(x + width * 0.6, y + height * 0.6)
    expect(tip).to_have_text(re.compile(r"^epoch \d+validation: \d\.\d{3}$"))
    # A drag zooms in; a double click shows all again.
    before = chart.locator('[data-role="x"]').all_text_contents()
    opened.mouse.move(x + width * 0.3, y + height * 0.6)
    opened.mouse.down()
    opened.mouse.move(x + width * 0.6, y + height * 0.6, steps=3)
    opened.mouse.up()
    assert chart.locator('[data-role="x"]').all_text_contents() != before
    opened.mouse.dblclick(x + width * 0.5, y + height * 0.6)
    assert chart.locator('[data-role="x"]').all_text_contents() == before
    chart.focus()
    opened.keyboard.press("ArrowRight")
    expect(tip).to_have_text(re.compile(r"^epoch \d+validation"))
    cell = opened.locator("#run-1 .hit[data-tip^='true covid19, called covid19']").last
    cell.scroll_into_view_if_needed()
    cell.hover()
    expect(tip).to_have_text(re.compile(r"^true covid19, called covid19: \d+ images?, \d+ % of the row$"))
    heat = opened.locator(".heat").first
    heat.scroll_into_view_if_needed()
    opened.get_by_label("Heat maps").fill("0")
    expect(heat).to_have_css("opacity", "0")


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_it_is_all_there_and_prints(opened: Page, tmp_path: Path) -> None:
    expect(opened.locator("#run-1 svg[data-chart] polyline[data-s='0']").first).to_be_visible()
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pdf = opened.pdf(format="A4", print_background=True)
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 5


def test_it_is_accessible_and_fits_a_phone(opened: Page) -> None:
    def faults(**options: Any) -> list[tuple[str, str]]:
        answer = Axe().run(opened, options={"preload": False, "resultTypes": ["violations"], **options}).response
        assert answer["passes"]
        return [(one["id"], one["nodes"][0]["html"][:200]) for one in answer["violations"]]

    assert faults() == []
    opened.emulate_media(color_scheme="dark")
    assert faults(runOnly=["color-contrast"]) == []
    opened.set_viewport_size({"width": 390, "height": 844})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
