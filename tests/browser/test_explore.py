"""Questioning finished runs in a real browser: keyboard, links, history, themes, widths, hostile names."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.store import layout
from covidviz.store.files import write_json_atomic
from covidviz.store.reader import Run
from covidviz.ui.results import measured

HOSTILE = (
    "<img src=x onerror=alert(1)> ![beacon](http://evil.example/x.png) [link](http://evil.example) **bold** :red[x]"
)
GONE = ("run=20200101-000000-gone-0000", "run=..%2F..%2Fetc", "run=%3Cscript%3E", "cell=9-9&img=%00")
# of a cell's text against its background (WCAG)
CONTRAST = """cell => {
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const shine = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05 };
  const style = getComputedStyle(cell), [a, b] = [shine(style.color), shine(style.backgroundColor)];
  return Math.max(a, b) / Math.min(a, b) }"""
CLASS = "<b>![x](http://evil.example/c.png)</b>"


@pytest.fixture(scope="module")
def runs(server: Server, tiny_phantoms: Path) -> SimpleNamespace:
    """Finished runs on the phantoms, and one with hostile names."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    make = {
        "plain": lambda i: write_synthetic_run(server.runs, i, artefacts=True, data=data, name="plain"),
        "other": lambda i: write_synthetic_run(server.runs, i, artefacts=True, data=data, name="other"),
        "labels": lambda i: write_synthetic_run(
            server.runs, i, artefacts=True, data=data, name="labels", task="multi-label", loss="bce"
        ),
        "hostile": lambda i: write_synthetic_run(
            server.runs, i, artefacts=True, n=24, name=HOSTILE, classes=(CLASS, "b" * 150)
        ),
    }
    return SimpleNamespace(**{name: Run(write(i)) for i, (name, write) in enumerate(make.items(), start=1)})


def biggest(run: Run) -> tuple[int, int, int]:
    matrix = measured(run, "val").confusion["matrix"]
    return max((matrix[i][j], i, j) for i in range(3) for j in range(3))


def test_a_cell_opens_its_images_quickly_and_back_goes_one_step_back(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    tab.open(f"/run?run={runs.plain.id}")
    matrix = measured(runs.plain, "val").confusion["matrix"]
    tiles = page.locator(".st-key-run_gallery .tile")
    waits = []
    for i, j in ((0, 0), (1, 1), (2, 2)):
        began = time.perf_counter()
        page.locator(f".st-key-matrix button[data-cell='{i}-{j}']").click()
        expect(page).to_have_url(re.compile(f"cell={i}-{j}"))
        expect(tiles).to_have_count(matrix[i][j])
        waits.append(time.perf_counter() - began)
    print("cell to images, s:", [round(wait, 3) for wait in waits])
    page.go_back()
    expect(page).to_have_url(re.compile("cell=1-1"))
    expect(tiles).to_have_count(matrix[1][1])
    expect(page.locator(".st-key-matrix button[data-cell='1-1']")).to_have_attribute("aria-pressed", "true")
    page.go_forward()
    expect(tiles).to_have_count(matrix[2][2])
    page.locator(".st-key-matrix button[data-cell='2-2']").click()  # once more: no cell
    expect(page).not_to_have_url(re.compile("cell="))
    expect(page.get_by_text("Click a cell for its images")).to_be_visible()


def test_the_matrix_and_the_gallery_by_keyboard(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    tab.open(f"/run?run={runs.plain.id}")
    first = page.get_by_role("button", name=re.compile("^true covid19, predicted covid19: "))
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name=re.compile("^true normal, predicted normal: "))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("cell=1-1"))
    n = measured(runs.plain, "val").confusion["matrix"][1][1]
    tiles = page.locator(".st-key-run_gallery .tile")
    expect(tiles).to_have_count(n)
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    expect(tiles.nth(1)).to_be_focused()
    chosen = tiles.nth(1).get_attribute("data-id")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"/images\?.*img={chosen}"))
    assert tab.query()["cell"] == "1-1"


def test_zoom_and_legend_stay_while_the_run_grows(tab: Tab, server: Server) -> None:
    run = Run(write_synthetic_run(server.runs, 60, "running", epochs=8))
    page = tab.page
    tab.open(f"/run?run={run.id}")
    plot = ".st-key-loss_plot .plot"
    page.wait_for_function(f"document.querySelector('{plot}')?._fullLayout !== undefined")
    box = page.locator(f"{plot} .nsewdrag").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
    page.mouse.up()
    page.locator(f"{plot} .legendtoggle").first.click()
    page.wait_for_function(f"document.querySelector('{plot}')._fullData[1].visible === 'legendonly'")
    zoomed = page.evaluate(f"document.querySelector('{plot}')._fullLayout.xaxis.range")
    assert zoomed == pytest.approx([2, 6], abs=0.3)
    status = json.loads((run.dir / layout.STATUS).read_text())
    write_json_atomic(run.dir / layout.STATUS, {**status, "heartbeat": time.time(), "epoch": 5, "alarms": ["new"]})
    with (run.dir / layout.METRICS).open("a") as file:
        file.writelines(f'{{"epoch":5,"split":"{split}","loss":0.1}}\n' for split in ("train", "val"))
    page.wait_for_function(f"document.querySelector('{plot}').data[1].x.length === 5")
    expect(page.get_by_text("new", exact=True)).to_be_visible()
    assert page.evaluate(f"document.querySelector('{plot}')._fullLayout.xaxis.range") == zoomed
    assert page.evaluate(f"document.querySelector('{plot}')._fullData[1].visible") == "legendonly"
    assert page.locator(".modebar").first.get_by_text("Share").count() == 0


def test_labels_of_a_multi_label_run(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    tab.open(f"/run?run={runs.labels.id}")
    expect(page.locator(".st-key-matrix .group")).to_have_count(3)
    counts = measured(runs.labels, "val").confusion["covid19"]
    kind = max(("tn", "tp"), key=counts.__getitem__)
    page.locator(f".st-key-matrix button[data-cell='0-{kind}']").click()
    expect(page.locator(".st-key-run_gallery .tile")).to_have_count(counts[kind])


@pytest.mark.parametrize("path", ["run", "images"])
def test_hostile_names_are_text(tab: Tab, runs: SimpleNamespace, path: str) -> None:
    page = tab.page
    tab.open(f"/{path}?run={runs.hostile.id}&order=all")
    if path == "run":
        expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(1)> ![beacon]")
        expect(page.locator(".st-key-matrix .head").first).to_have_text(CLASS)
        page.locator(".st-key-matrix button").first.click()
        expect(page).to_have_url(re.compile("cell=0-0"))
    expect(page.locator(".tile").first).to_be_visible()
    assert not tab.overflows()
    assert page.locator("img[src*='evil']").count() == 0  # foreign requests fail the test by themselves


@pytest.mark.parametrize("path", ["run", "images"])
@pytest.mark.parametrize("link", GONE)
def test_a_link_to_nothing_ends_in_a_clear_page(tab: Tab, runs: SimpleNamespace, path: str, link: str) -> None:
    tab.open(f"/{path}?{link}")
    if link.startswith("run"):
        expect(tab.page.get_by_text("There is no run")).to_be_visible()
    else:
        expect(tab.page.get_by_role("heading", level=1)).to_be_visible()


def test_an_image_that_vanishes_is_a_neutral_tile(tab: Tab, runs: SimpleNamespace, server: Server) -> None:
    data = Path(shutil.copytree(server.data / "phantoms", server.data / "vanishing"))
    run = Run(write_synthetic_run(server.runs, 50, artefacts=True, data=data))
    shutil.rmtree(data)
    tab.open(f"/run?run={run.id}&cell=0-0")
    expect(tab.page.locator(".frame.gone").first).to_be_visible()
    expect(tab.page.get_by_text("not where they were")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_in_both_themes_and_at_both_widths(
    open_tab: Callable[..., Tab], runs: SimpleNamespace, scheme: str
) -> None:
    tab = open_tab(color_scheme=scheme)
    for path in (f"/run?run={runs.plain.id}&cell=0-0", f"/images?run={runs.plain.id}", f"/run?run={runs.labels.id}"):
        tab.page.set_viewport_size({"width": 1280, "height": 720})
        tab.open(path)
        tab.page.locator(".tile").first.scroll_into_view_if_needed()
        expect(tab.page.locator(".tile .xray.loaded").first).to_be_visible()
        assert not tab.overflows(), path
        tab.page.set_viewport_size({"width": 390, "height": 844})
        tab.page.locator(".tile").first.scroll_into_view_if_needed()
        expect(tab.page.locator(".tile .xray.loaded").first).to_be_visible()
        assert not tab.overflows(), path
    ratios = [tab.page.evaluate(CONTRAST, cell) for cell in tab.page.locator(".st-key-matrix .cell").element_handles()]
    assert len(ratios) == 12
    assert min(ratios) >= 4.5


def test_settings_and_log_open(tab: Tab, runs: SimpleNamespace) -> None:
    tab.open(f"/run?run={runs.plain.id}&cell=0-0")
    tab.page.get_by_text("Log", exact=True).click()
    expect(tab.page.get_by_text("epoch 10 of 10", exact=True)).to_be_visible()
    tab.page.get_by_text("Settings", exact=True).click()
    expect(tab.page.get_by_test_id("stDataFrame").last).to_be_visible()
    assert tab.query()["cell"] == "0-0"


def test_a_run_that_is_deleted_while_somebody_looks(tab: Tab, server: Server) -> None:
    run_dir = write_synthetic_run(server.runs, 70, "running", epochs=8)
    tab.open(f"/run?run={run_dir.name}")
    expect(tab.button("run_stop")).to_be_visible()
    shutil.rmtree(run_dir)
    expect(tab.page.get_by_text("There is no run")).to_be_visible()
