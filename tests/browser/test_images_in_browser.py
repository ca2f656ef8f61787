"""The Images page in a real browser: grid, one image large, heat maps, selection, maps on demand."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from driver import Server, Tab
from explored import finished_run, make_dataset, with_weights
from playwright.sync_api import expect
from synthetic import CLASSES, write_synthetic_run

from covidviz.store.reader import Run
from covidviz.ui.album import PER_PAGE
from covidviz.ui.image_query import Query, rows_of
from covidviz.ui.results import measured

HOSTILE = "<b>![x](http://evil.example/c.png)</b>"
NODES = """() => { const root = [...document.querySelectorAll('.st-key-gallery *')].find(e => e.shadowRoot).shadowRoot;
  return root.querySelectorAll('.tiles *').length }"""
# of the first and the last pane: where its picture is, and how it is enlarged
PANES = """panes => panes.map(p => getComputedStyle(p.querySelector('.xray')).transform)"""
INK = """canvas => { const p = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let r = 0, g = 0, b = 0, n = 0;
  for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 128) { r += p[i]; g += p[i + 1]; b += p[i + 2]; n++ }
  return n ? [r / n, g / n, b / n].map(Math.round) : null }"""


@pytest.fixture(scope="module")
def runs(server: Server, tiny_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Finished runs on the phantoms; `many` has 400 images, `mute` has weights and no map of its training images."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    return SimpleNamespace(
        plain=Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data, name="plain")),
        other=Run(write_synthetic_run(server.runs, 2, artefacts=True, data=data, name="other")),
        many=finished_run(server.runs, make_dataset(server.data / "many", 1200), 3),
        mute=with_weights(finished_run(server.runs, data, 4, weights="none", model="resnet18")),
        hostile=Run(write_synthetic_run(server.runs, 5, artefacts=True, n=24, classes=(HOSTILE, "b" * 150))),
    )


def ids(run: Run, split: str, order: str) -> list[str]:
    return rows_of(run, Query(split, order))["sample_id"].tolist()


def tiles(tab: Tab) -> Any:
    return tab.page.locator(".st-key-gallery .tile")


def viewer(tab: Tab) -> Any:
    return tab.page.get_by_role("dialog")


def test_every_picture_is_that_of_its_sample(tab: Tab, runs: SimpleNamespace) -> None:
    matrix = measured(runs.plain, "val").confusion["matrix"]
    n, i, j = max((matrix[i][j], i, j) for i in range(3) for j in range(3))
    tab.open(f"/images?run={runs.plain.id}&cell={i}-{j}")
    expect(tiles(tab)).to_have_count(n)
    known = runs.plain.samples().set_index("sample_id")
    for k in range(n):
        sample_id = tiles(tab).nth(k).get_attribute("data-id")
        assert known.loc[sample_id, f"label_{CLASSES[i]}"] == 1
        expect(tiles(tab).nth(k).locator("img")).to_have_attribute(
            "src", re.compile(f"/{runs.plain.id}/{sample_id}\\.t\\.")
        )
    expect(tab.page.locator(".st-key-gallery .xray.loaded")).to_have_count(n)
    expect(tab.page.locator(".st-key-gallery canvas.heat")).to_have_count(n)


def test_by_keyboard_alone(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    wanted = ids(runs.plain, "train", "all")
    tab.open(f"/images?run={runs.plain.id}&split=train&order=all")
    tiles(tab).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    expect(tiles(tab).nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(viewer(tab).get_by_text(f"3 of {len(wanted)}", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(f"img={wanted[2]}"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(viewer(tab).get_by_role("checkbox", name="Selected for export")).to_be_checked()
    page.keyboard.press("Escape")
    expect(viewer(tab)).not_to_be_visible()
    expect(tiles(tab).nth(3)).to_be_focused()
    expect(tiles(tab).nth(3)).to_have_attribute("aria-current", "true")
    page.wait_for_function("() => !location.search.includes('img=')")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    with Path(download.value.path()).open() as file:
        assert [row["sample_id"] for row in csv.DictReader(file)] == [wanted[1], wanted[3]]


def test_all_can_be_selected_and_drawn_on_a_sheet(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    tab.open(f"/images?run={runs.many.id}&split=val&order=all")
    n = measured(runs.many, "val").support
    page.get_by_role("checkbox", name=f"Select all {sum(n.values())}").click()
    expect(page.get_by_text(f"{sum(n.values())} selected")).to_be_visible()
    sheet = page.get_by_role("button", name="Contact sheet (first 300)")
    sheet.click(trial=True)
    page.get_by_role("checkbox", name=f"{sum(n.values())} selected").click()
    expect(page.get_by_role("button", name="Contact sheet")).to_be_disabled()
    page.locator(".st-key-gallery .slot input").first.check(force=True)
    with page.expect_download() as download:
        page.get_by_role("button", name="Contact sheet").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_steps_are_shown_at_once_and_the_link_follows(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    wanted = ids(runs.plain, "train", "all")
    tab.open(f"/images?run={runs.plain.id}&split=train&order=all")
    tiles(tab).first.click()
    expect(page).to_have_url(re.compile(f"img={wanted[0]}"))
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(viewer(tab).get_by_text(f"5 of {len(wanted)}", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(f"img={wanted[4]}"))
    viewer(tab).get_by_role("button", name="Previous image").click()
    expect(page).to_have_url(re.compile(f"img={wanted[3]}"))
    expect(viewer(tab).get_by_text("No heat map")).to_be_visible()
    page.go_back()  # to the image before
    expect(viewer(tab).get_by_text(f"5 of {len(wanted)}", exact=True)).to_be_visible()
    viewer(tab).get_by_role("button", name="Close").click()
    expect(viewer(tab)).not_to_be_visible()
    page.wait_for_function("() => !location.search.includes('img=')")
    tab.open(f"/images?run={runs.other.id}&img={wanted[4]}&split=train&order=all")  # the same image in another run
    expect(viewer(tab).locator("dd").last).to_have_text(wanted[4])


def test_heat_maps_change_without_the_server(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    tab.open(f"/images?run={runs.plain.id}&order=best")
    tiles(tab).first.click()
    page.wait_for_function("() => location.search.includes('img=')")
    tab.idle()
    large, small = viewer(tab).locator("canvas.heat"), page.locator(".st-key-gallery .tiles canvas.heat").first
    expect(viewer(tab).locator(".pane")).to_have_count(2)
    expect(large).to_have_count(1)
    sent = tab.frames
    for k, name in enumerate(CLASSES):
        viewer(tab).get_by_role("radio", name=re.compile(f"^{name}: probability")).click()
        expect(large).to_have_attribute("data-label", str(k))
        expect(small).to_have_attribute("data-label", str(k))
    own = viewer(tab).get_by_role("checkbox", name="scale per image")
    own.check()
    plasma = large.evaluate(INK)
    viewer(tab).get_by_role("combobox", name="Colours of the heat map").select_option("viridis")
    expect(large).to_have_attribute("data-colours", "viridis")
    viridis = large.evaluate(INK)
    assert plasma[0] > plasma[1]  # red and yellow
    assert viridis[1] > viridis[0]  # green
    viewer(tab).get_by_role("button", name="Every class").click()
    expect(viewer(tab).locator(".pane")).to_have_count(4)
    expect(large).to_have_count(3)
    opacity = viewer(tab).get_by_role("slider", name="Heat map opacity")
    opacity.focus()
    page.keyboard.press("Home")
    expect(large.first).to_have_css("opacity", "0")
    expect(small).to_have_css("opacity", "0")
    assert tab.frames == sent
    page.reload()  # kept in this browser
    expect(viewer(tab).locator(".pane")).to_have_count(4)
    expect(viewer(tab).get_by_role("combobox", name="Colours of the heat map")).to_have_value("viridis")


def test_zoom_pan_window_and_level_are_shared(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    image = ids(runs.plain, "val", "all")[0]
    tab.open(f"/images?run={runs.plain.id}&order=all&img={image}")
    panes = viewer(tab).locator(".pane")
    expect(panes).to_have_count(2)
    expect(viewer(tab).locator(".xray.loaded")).to_have_count(2)
    sent = tab.frames
    box = panes.first.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -500)
    zoom = viewer(tab).locator("output.zoom")
    expect(zoom).not_to_have_text("100 %")
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] + 20)
    page.mouse.up()
    both = panes.evaluate_all(PANES)
    assert both[0] == both[1]
    assert both[0].startswith("matrix(")
    scale, dx, dy = (float(both[0][7:-1].split(",")[k]) for k in (0, 4, 5))
    assert scale > 1.5
    assert (dx, dy) == pytest.approx((40, 20), abs=1)

    page.keyboard.down("Shift")  # as the right button: across the width, up and down the level
    page.mouse.down()
    page.mouse.move(middle[0] - 60, middle[1] + 50)
    page.mouse.up()
    page.keyboard.up("Shift")
    width, level = (viewer(tab).get_by_role("slider", name=name) for name in ("Window width", "Window level"))
    expect(width).to_have_value("155")
    expect(level).to_have_value("158")
    expect(viewer(tab).locator(".xray img").last).to_have_css("filter", re.compile("window"))
    assert panes.evaluate_all(PANES) == both  # it did not move
    width.focus()
    page.keyboard.press("ArrowRight")  # the slider's, not the next image
    expect(width).to_have_value("156")
    expect(page).to_have_url(re.compile(image))
    page.mouse.dblclick(*middle)
    expect(width).to_have_value("255")
    expect(zoom).to_have_text("100 %")
    expect(viewer(tab).locator(".xray img").last).to_have_css("filter", "none")
    assert tab.frames == sent


def test_a_long_list_stays_small_in_the_document(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    wanted = ids(runs.many, "val", "random")
    n = len(wanted)
    assert n > 6 * PER_PAGE
    tab.open(f"/images?run={runs.many.id}&split=val&order=random")
    tiles(tab).first.focus()
    sent = tab.frames
    page.keyboard.press("End")
    last = page.locator(f".st-key-gallery .tile[data-id='{wanted[-1]}']")
    expect(last).to_be_focused()
    expect(last.locator(".xray.loaded")).to_be_visible()
    expect(last.locator("canvas.heat")).to_be_visible()
    assert page.evaluate(NODES) < 1500
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    expect(page.locator(f".st-key-gallery .tile[data-id='{wanted[0]}']")).to_be_focused()
    assert tab.frames == sent
    page.keyboard.press("End")
    expect(last).to_be_focused()
    page.keyboard.press("Enter")
    expect(viewer(tab).get_by_text(f"{n} of {n}", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(f"img={wanted[-1]}"))
    page.reload()
    expect(viewer(tab).get_by_text(f"{n} of {n}", exact=True)).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(viewer(tab).locator("dd").last).to_have_text(wanted[-2])


def test_an_image_without_a_map_is_explained(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    image = ids(runs.mute, "train", "all")[0]
    tab.open(f"/images?run={runs.mute.id}&split=train&order=all&img={image}")
    expect(viewer(tab).get_by_text("No heat map was logged for this image")).to_be_visible()
    viewer(tab).get_by_role("button", name="Explain this image").click()
    expect(viewer(tab).get_by_text("Explaining:").first).to_be_visible()
    expect(viewer(tab).locator("canvas.heat")).to_have_count(1)
    expect(viewer(tab).get_by_role("radio", name=re.compile("^covid19: probability"))).to_be_visible()
    assert tab.query()["img"] == image
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-gallery .tiles canvas.heat")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_image_large_has_no_serious_violation(
    open_tab: Callable[..., Tab], runs: SimpleNamespace, scheme: str
) -> None:
    tab = open_tab(color_scheme=scheme)
    for run, split in ((runs.plain, "val"), (runs.mute, "train"))[: 2 if scheme == "light" else 1]:
        tab.open(f"/images?run={run.id}&split={split}&order=all&img={ids(run, split, 'all')[1]}")
        expect(viewer(tab).locator(".xray.loaded").first).to_be_visible()
        assert tab.severe() == []


def test_on_a_phone(open_tab: Callable[..., Tab], runs: SimpleNamespace) -> None:
    tab = open_tab(viewport={"width": 390, "height": 844}, has_touch=True)
    page = tab.page
    wanted = ids(runs.plain, "val", "all")
    tab.open(f"/images?run={runs.plain.id}&order=all")
    tiles(tab).first.tap()
    expect(viewer(tab).locator(".pane")).to_have_count(1)  # one picture, as large as it gets
    box = viewer(tab).locator(".panes").bounding_box()
    assert box["width"] > 380
    viewer(tab).get_by_role("button", name="Next image").tap()
    expect(viewer(tab).locator("dd").last).to_have_text(wanted[1])
    viewer(tab).get_by_role("button", name="Zoom in").tap()
    expect(viewer(tab).locator("output.zoom")).to_have_text("150 %")
    viewer(tab).get_by_role("button", name="Reset").click()
    expect(viewer(tab).locator("output.zoom")).to_have_text("100 %")
    # After raw touches Chromium drops a tap that comes quicker than a finger could: buttons are clicked from here on.
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[int, int]) -> None:
        at = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", (160, 200), (220, 200))
    touch("touchMove", (140, 200), (240, 200))
    touch("touchMove", (130, 200), (250, 200))
    touch("touchEnd")
    expect(viewer(tab).locator("output.zoom")).to_have_text("200 %")
    viewer(tab).get_by_role("button", name="Reset").click()
    expect(viewer(tab).locator("output.zoom")).to_have_text("100 %")  # enlarged, a finger would move the picture
    touch("touchStart", (300, 200))
    touch("touchMove", (200, 200))
    touch("touchMove", (120, 202))
    touch("touchEnd")
    expect(viewer(tab).locator("dd").last).to_have_text(wanted[2])
    assert viewer(tab).evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    assert not tab.overflows()
    viewer(tab).get_by_role("button", name="Close").click()
    expect(viewer(tab)).not_to_be_visible()
    page.wait_for_function("() => !location.search.includes('img=')")


def test_names_are_text_also_when_large(tab: Tab, runs: SimpleNamespace) -> None:
    tab.open(f"/images?run={runs.hostile.id}&order=all")
    expect(tab.page.get_by_text("not where they were")).to_be_visible()
    tiles(tab).first.click()
    expect(viewer(tab).locator(".bar .name").first).to_have_text(HOSTILE)
    expect(viewer(tab).get_by_text("image missing").first).to_be_visible()
    assert tab.page.locator("img[src*='evil']").count() == 0
    assert not tab.overflows()
