"""The Runs page in a real browser: ticks, filters, the link, live runs, two tabs, what happens while one looks."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs

HOSTILE = "<img src=x onerror=alert(1)> ![beacon](http://evil.example/x.png) **bold** שלום 😷"
N = 12
STUB = """
  window.told = [];
  window.Notification = class { constructor(title, options) { window.told.push(options.body) }
    static permission = 'default';
    static async requestPermission() { return Notification.permission = 'granted' } }
"""


@pytest.fixture(autouse=True)
def runs(server: Server) -> list[Path]:
    """Twelve runs, oldest first; every test finds them as they were."""
    shutil.rmtree(server.runs, ignore_errors=True)
    server.runs.mkdir()
    names = {3: HOSTILE, 4: "w" * 200}
    return [
        write_synthetic_run(server.runs, i, model=("resnet18", "vgg16")[i % 2], name=names.get(i, f"run {i:02}"))
        for i in range(N)
    ]


def cells(tab: Tab, column: int) -> Any:
    """What screen readers find in a column of the table; 1 is the status, 2 the name."""
    return tab.page.locator(f".st-key-runs_table canvas td[aria-colindex='{column}']")


def tick(tab: Tab, row: int) -> None:
    """Press the box of a row, counted from 0."""
    tab.page.locator(".st-key-runs_table .dvn-scroller").click(position={"x": 16, "y": 38 + 35 * row + 17})


def bar(tab: Tab) -> Any:
    return tab.page.locator(".st-key-runs_bar")


def change(run_dir: Path, **status: Any) -> None:
    write_json_atomic(run_dir / layout.STATUS, {**(read_json(run_dir / layout.STATUS) or {}), **status})


def test_ticks_belong_to_runs_and_deleting_can_be_undone_on_return(tab: Tab, server: Server) -> None:
    page = tab.page
    tab.open("/")
    expect(cells(tab, 2)).to_have_count(N)
    expect(bar(tab)).to_have_count(0)
    tick(tab, 1)
    expect(bar(tab)).to_contain_text("run 10")
    expect(bar(tab)).to_be_in_viewport(ratio=1)
    tick(tab, 2)
    expect(bar(tab)).to_contain_text("2 runs")
    # sorted by name: the ticks go along
    page.locator(".st-key-runs_table .dvn-scroller").click(position={"x": 300, "y": 18})
    expect(cells(tab, 2).first).not_to_have_text("run 11")
    expect(bar(tab)).to_contain_text("2 runs")
    page.locator(".st-key-runs_text input").fill("vgg")
    expect(cells(tab, 2)).to_have_count(N // 2)
    expect(bar(tab)).to_contain_text("2 runs (1 not shown)")
    page.locator(".st-key-runs_text input").fill("")
    expect(cells(tab, 2)).to_have_count(N)
    expect(bar(tab)).not_to_contain_text("not shown")
    tab.button("runs_do_delete").click()
    expect(bar(tab)).to_contain_text("Deleted 2 runs.")
    assert sorted(Run(path).notes()["name"] for path in list_run_dirs(server.runs))[-3:-1] == ["run 08", "run 11"]
    page.get_by_role("link", name="New run").first.click()
    expect(page.get_by_role("heading", name="New run", exact=True)).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Runs", exact=True).click()
    tab.button("runs_undo").click()
    expect(cells(tab, 2)).to_have_count(N)
    expect(bar(tab)).to_have_count(0)


def test_filters_are_in_the_link_and_back_takes_one_away(tab: Tab, open_tab: Callable[..., Tab]) -> None:
    page = tab.page
    tab.open("/")
    tab.button("runs_filter").click()
    page.locator(".st-key-runs_is_model").get_by_role("button", name="VGG-16").click()
    expect(cells(tab, 2)).to_have_count(N // 2)
    page.keyboard.press("Escape")
    page.locator(".st-key-runs_metric").get_by_role("combobox").click()
    page.get_by_role("option", name="accuracy").click()
    expect(page.locator(".st-key-runs_table canvas th[aria-colindex='3']")).to_have_text("Best accuracy")
    page.locator(".st-key-runs_group").get_by_role("combobox").click()
    page.get_by_role("option", name="By learning rate").click()
    expect(page.locator(".st-key-runs_groups canvas td[aria-colindex='1']").first).to_be_attached()
    assert tab.query() == {"is": "model:VGG-16", "metric": "accuracy", "by": "lr"}
    other = open_tab()
    other.open(page.url.removeprefix(tab.server.url))
    expect(cells(other, 2)).to_have_count(N // 2)
    expect(other.page.locator(".st-key-runs_table canvas th[aria-colindex='3']")).to_have_text("Best accuracy")
    page.go_back()
    expect(page.locator(".st-key-runs_groups")).to_have_count(0)
    page.go_back()
    page.go_back()
    expect(cells(tab, 2)).to_have_count(N)
    # and through the navigation it is as it was left
    other.page.get_by_role("link", name="New run").first.click()
    expect(other.page).to_have_url(re.compile("/new_run"))
    other.page.get_by_test_id("stSidebarNav").get_by_role("link", name="Runs", exact=True).click()
    expect(cells(other, 2)).to_have_count(N // 2)
    expect(other.page).to_have_url(re.compile("metric=accuracy"))


def test_a_live_run_moves_in_place_and_nothing_new_sends_nothing(tab: Tab, server: Server) -> None:
    page = tab.page
    for i in range(100, 250):
        write_synthetic_run(server.runs, i)
    live = write_synthetic_run(server.runs, 900, "running", epochs=10, name="live")
    got: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: got.append(len(data))))
    tab.open("/")
    expect(cells(tab, 1).first).to_contain_text("running 50 %")
    page.evaluate("window.grid = document.querySelector('.st-key-runs_table canvas')")
    tick(tab, 1)
    expect(bar(tab)).to_contain_text("synthetic 249")
    whole = sum(got)
    change(live, progress=0.8, eta_s=300, heartbeat=time.time())
    expect(cells(tab, 1).first).to_contain_text("running 80 %")
    expect(cells(tab, 1).first).to_contain_text("5 min left")
    expect(bar(tab)).to_contain_text("synthetic 249")
    # the looks that find nothing
    start, asked = len(got), tab.frames
    server.wait_until(lambda: bool(page.evaluate("1")) and tab.frames >= asked + 3, "the page does not look again")
    tab.idle()
    looks = tab.frames - asked
    assert sum(got[start:]) < 0.25 * whole * looks, "all is sent again at every look"
    # a new run comes on top: the tick stays with its run
    write_synthetic_run(server.runs, 901, name="newest")
    expect(cells(tab, 2).first).to_have_text("newest")
    expect(bar(tab)).to_contain_text("synthetic 249")
    expect(page.locator(".st-key-runs_table canvas tr[aria-selected='true']")).to_contain_text("synthetic 249")
    assert page.evaluate("window.grid.isConnected"), "the table was built anew"


def test_an_ended_run_is_said_once_on_any_page(tab: Tab, server: Server) -> None:
    page = tab.page
    page.add_init_script(STUB)
    live = write_synthetic_run(server.runs, 90, "running", name="**live**")
    tab.open("/new_run")
    bell = page.get_by_role("button", name="Notify me when a run ends")
    bell.click()
    expect(page.get_by_role("button", name="You are notified")).to_have_attribute("aria-pressed", "true")
    change(live, state="failed", error="out of memory", finished=time.time())
    expect(page.get_by_test_id("stToast")).to_contain_text("**live** failed: out of memory")
    page.wait_for_function("window.told.length > 0")
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Runs", exact=True).click()
    expect(cells(tab, 1).first).to_have_text("✕ failed")
    assert page.evaluate("window.told") == ["**live** failed: out of memory"]


def test_two_tabs_on_one_note_lose_nothing(open_tab: Callable[..., Tab], runs: list[Path]) -> None:
    run_dir = runs[-1]
    tabs = [open_tab(), open_tab()]
    for tab in tabs:
        tab.open("/")
        tick(tab, 0)
        tab.button("runs_do_edit").click()
        expect(tab.page.get_by_label("Note")).to_be_visible()
    notes = [tab.page.get_by_label("Note") for tab in tabs]
    notes[0].fill("from the first")
    notes[1].fill("from the second")
    tabs[0].page.get_by_role("button", name="Save", exact=True).click()
    expect(tabs[0].page.get_by_test_id("stToast")).to_contain_text("Saved")
    tabs[1].page.get_by_role("button", name="Save", exact=True).click()
    expect(tabs[1].page.get_by_text("The note was changed meanwhile")).to_be_visible()
    expect(tabs[1].page.get_by_text("from the first", exact=True)).to_be_visible()
    expect(notes[1]).to_have_value("from the second")
    assert Run(run_dir).notes()["note"] == "from the first"
    tabs[1].page.get_by_role("button", name="Save mine instead").click()
    expect(tabs[1].page.get_by_text("The note was changed meanwhile")).to_have_count(0)
    assert Run(run_dir).notes()["note"] == "from the second"


def test_tags_of_several_runs(tab: Tab, runs: list[Path]) -> None:
    page = tab.page
    tab.open("/")
    for row in range(3):
        tick(tab, row)
        expect(bar(tab)).to_contain_text("run 11" if row == 0 else f"{row + 1} runs")
    tab.button("runs_do_tags").click()
    field = page.get_by_role("combobox", name=re.compile("Tags of all 3 runs"))
    field.fill("mine")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_test_id("stToast")).to_contain_text("Tags of 3 runs saved")
    assert [("mine" in Run(path).notes()["tags"]) for path in runs[-4:]] == [False, True, True, True]


def test_a_run_is_opened_by_its_name_and_several_are_compared(tab: Tab, runs: list[Path]) -> None:
    page = tab.page
    tab.open("/")
    page.locator(".st-key-runs_table .dvn-scroller").click(position={"x": 210, "y": 38 + 35 * 2 + 17})
    expect(page).to_have_url(re.compile(f"/run\\?run={runs[-3].name}"))
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Runs", exact=True).click()
    expect(cells(tab, 2)).to_have_count(N)
    tick(tab, 0)
    expect(bar(tab)).to_contain_text("run 11")
    tick(tab, 1)
    expect(bar(tab)).to_contain_text("2 runs")
    tab.button("runs_do_compare").click()
    expect(page).to_have_url(re.compile("/compare"))
    assert set(tab.query()["runs"].split(",")) == {path.name for path in runs[-2:]}


def test_a_run_that_is_deleted_while_it_is_selected(tab: Tab, server: Server, runs: list[Path]) -> None:
    write_synthetic_run(server.runs, 90, "running")
    tab.open("/")
    tick(tab, 1)
    expect(bar(tab)).to_contain_text("run 11")
    shutil.rmtree(runs[-1])
    expect(bar(tab)).to_have_count(0)
    expect(cells(tab, 2)).to_have_count(N)


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_hostile_names_in_both_themes_and_widths(open_tab: Callable[..., Tab], scheme: str, width: int) -> None:
    tab = open_tab(color_scheme=scheme, viewport={"width": width, "height": 720 if width > 400 else 844})
    tab.open("/")
    expect(cells(tab, 1).first).to_have_text("✓ completed")
    for row, name in ((N - 4, HOSTILE), (N - 5, "w" * 200)):
        tick(tab, row)
        expect(bar(tab)).to_contain_text(name[:20])
        expect(bar(tab).locator("img")).to_have_count(0)
        assert not tab.overflows()
        tab.button("runs_none").click()
        expect(bar(tab)).to_have_count(0)
