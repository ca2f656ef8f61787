"""The Recipes page in a real browser: read a claim, open an experiment, run it, change it first; on a phone too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Server, Tab
from explored import make_dataset
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.recipes import recipes
from covidviz.store.runs import list_run_dirs

NAME = "bscs17028/resnet18-fc"


@pytest.fixture(scope="module")
def data(server: Server) -> Path:
    """A dataset, and a finished run of one recipe."""
    settings = {**recipes()[NAME].variant(), "label_rule": "covid19=infected,pneumonia=infected", "image_size": 64}
    write_synthetic_run(server.runs, 1, artefacts=True, **settings)
    return make_dataset(server.data / "noise", n=36)


def test_reported_against_reproduced(tab: Tab, server: Server, data: Path) -> None:
    tab.open("/recipes")
    page = tab.page
    expect(page.get_by_text("vgg16-conv10 has 1 image of 1,500 more right than resnet18-entire.")).to_be_visible()
    page.get_by_role("combobox", name="Starting weights").click()
    page.get_by_role("option", name="From scratch").click()
    tab.idle()
    toggle = page.get_by_role("button", name="resnet18-fc", exact=True)
    toggle.focus()
    page.keyboard.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(toggle).to_be_focused()
    expect(page.get_by_text("554 of 615 infected found")).to_be_visible()
    run = page.locator("tr.run")
    expect(run).to_have_count(1)
    expect(run).to_contain_text("other data")
    first = len(list_run_dirs(server.runs))
    page.get_by_role("button", name=f"Run it: {NAME}").click()
    server.wait_until(lambda: len(list_run_dirs(server.runs)) == first + 1, "the recipe was not queued")
    expect(run).to_have_count(2)
    made = max(list_run_dirs(server.runs))
    assert json.loads((made / "config.json").read_text())["recipe"] == NAME
    (made / "stop").touch()  # it would train at full size
    expect(toggle).to_have_attribute("aria-expanded", "true")  # what was open stays so
    page.get_by_role("link", name=f"Change it first: {NAME}").click()
    page.wait_for_url("**/new_run?s=**")
    expect(page.get_by_text("Differs from the recipe")).to_be_visible()
    expect(page.get_by_text("Starting weights: From scratch")).to_be_visible()
    page.go_back()
    tab.idle()
    page.locator("tr.run a").last.click()
    page.wait_for_url("**/run?run=**")


def test_on_a_phone_only_the_table_scrolls(open_tab: Callable[..., Tab], data: Path) -> None:
    phone = open_tab(viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone.open("/recipes?report=msds19043")
    expect(phone.page.get_by_role("region", name="Published numbers and runs")).to_be_visible()
    assert not phone.overflows()
