"""Where the heat lies, in a real browser: numbers beside an image, the outline, other methods, the table of a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from driver import Server, Tab
from explored import finished_run, with_weights
from playwright.sync_api import expect

from covidviz.store.reader import Run

INKED = """canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v)"""


@pytest.fixture(scope="module")
def run(server: Server, tiny_phantoms: Path) -> Run:
    """A finished run on phantoms, with weights."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    return with_weights(finished_run(server.runs, data, 2, weights="none", model="resnet18", image_size=64))


def viewer(tab: Tab) -> Any:
    return tab.page.get_by_role("dialog")


def test_numbers_outline_and_other_methods_of_one_image(tab: Tab, run: Run) -> None:
    samples = run.samples()
    sick = samples[(samples["split"] == "val") & (samples["label_pneumonia"] == 1)]["sample_id"].iloc[0]
    tab.open(f"/images?run={run.id}&split=val&order=all&img={sick}")
    box = viewer(tab)
    expect(box.locator(".shares")).to_have_text(
        re.compile(r"Map of \w+: \d+ % of the heat on the border, \d+ % in the")
    )
    expect(box.locator(".outlined")).to_be_hidden()
    box.get_by_role("button", name="Find the lungs").click()
    expect(box.locator(".shares")).to_contain_text("of the heat in the lungs")
    expect(box.locator(".shares")).to_contain_text("on the lesion; its peak")
    expect(box.locator(".evenly")).to_have_text(re.compile(r"Spread evenly it would be \d+ %, 36 %, 16 %, \d+ %\."))
    expect(box.get_by_role("button", name="Find the lungs")).to_be_hidden()

    expect(box.locator("canvas.edge")).to_have_count(0)
    box.get_by_label("outline of lungs").check()
    expect(box.locator("canvas.edge")).to_have_count(2)
    assert box.locator("canvas.edge").first.evaluate(INKED)

    box.get_by_role("button", name="Methods", exact=True).click()
    expect(box.locator(".pane")).to_have_count(7)
    expect(box.locator(".pane .name").nth(1)).to_contain_text("Grad-CAM ·")
    expect(box.locator(".pane .name").nth(6)).to_have_text("Score-CAM: not computed")
    expect(box.locator(".sources li")).to_have_count(5)
    box.get_by_role("button", name="Compute 4 methods").click()
    expect(box.locator(".pane .name").nth(3)).to_have_text("HiResCAM")
    expect(box.locator(".pane .name").nth(5)).to_have_text("EigenCAM · every class")
    expect(box.locator(".pane canvas.heat")).to_have_count(5)
    assert box.locator(".pane").nth(5).locator("canvas.heat").evaluate(INKED)
    expect(box.get_by_role("button", name="Compute Score-CAM")).to_be_enabled()

    # The numbers are those of the class whose map is shown.
    box.get_by_role("radio").nth(0).click()
    expect(box.locator(".shares")).to_have_text(re.compile("Map of covid19:|The map of covid19 shows no heat"))
    assert tab.severe() == []
    box.get_by_role("button", name="Side by side").click()
    box.get_by_label("outline of lungs").uncheck()
    expect(box.locator("canvas.edge")).to_have_count(0)


def test_the_run_page_says_where_it_looks(tab: Tab, run: Run) -> None:
    tab.open(f"/run?run={run.id}&view=heat")
    table = tab.page.locator(".heatshares")
    expect(table.locator("tbody tr").first).to_contain_text("all images")
    expect(table.get_by_role("columnheader", name="in the lungs")).to_be_visible()
    expect(table.locator(".chance").first).to_be_attached()
    expect(tab.page.get_by_text("Of the heat:")).to_be_visible()
    expect(tab.page.get_by_role("button", name="Check it")).to_be_enabled()
    tab.page.set_viewport_size({"width": 390, "height": 800})
    main = tab.page.get_by_test_id("stMain")
    expect(table).to_be_visible()
    assert main.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
