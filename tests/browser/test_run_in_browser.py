"""The Run page in a real browser: curves that grow under one's hands, the matrix, log, notes, and what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.store import layout
from covidviz.store.files import write_json_atomic
from covidviz.store.reader import Run
from covidviz.ui.results import measured

PLOT = ".st-key-loss_plot .plot"
# Notes how the connection and the script went on from now.
STATES = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  window.states = [];
  new MutationObserver(() => states.push(`${app.dataset.testConnectionState} ${app.dataset.testScriptState}`))
    .observe(app, {attributes: true});
}"""


@pytest.fixture(scope="module")
def finished(server: Server, tiny_phantoms: Path) -> SimpleNamespace:
    """Finished runs with images: `plain`, `fragile` (to be deleted)."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    names = ("plain", "fragile")
    runs = [write_synthetic_run(server.runs, i, artefacts=True, data=data, name=n) for i, n in enumerate(names, 1)]
    return SimpleNamespace(**{name: Run(run_dir) for name, run_dir in zip(names, runs, strict=True)})


class Live:
    """A run that beats in a thread and grows when told."""

    def __init__(self, run_dir: Path) -> None:
        self.run, self._over = Run(run_dir), threading.Event()
        self._status = json.loads((run_dir / layout.STATUS).read_text())
        self.epoch: int = self._status["epoch"]
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._over.wait(2):
            self.write()

    def write(self, **changes: Any) -> None:
        with self._lock:
            self._status |= {"heartbeat": time.time(), "epoch": self.epoch, **changes}
            write_json_atomic(self.run.dir / layout.STATUS, self._status)

    def grow(self) -> None:
        self.epoch += 1
        with (self.run.dir / layout.METRICS).open("a") as file:
            file.writelines(
                f'{{"epoch":{self.epoch},"split":"{s}","loss":0.1,"macro_f1":0.9}}\n' for s in ("train", "val")
            )
        self.log(f"INFO epoch {self.epoch} is done")
        self.write()

    def log(self, line: str) -> None:
        with (self.run.dir / layout.LOG).open("a") as file:
            file.write(line + "\n")

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def live(server: Server, request: pytest.FixtureRequest) -> Iterator[Live]:
    number = 100 + len(list(server.runs.glob("2*")))
    run = Live(write_synthetic_run(server.runs, number, "running", epochs=8, name=request.node.name[:60]))
    yield run
    run.end()


def open_run(tab: Tab, run: Run, **params: str) -> Any:
    tab.open(f"/run?run={run.id}" + "".join(f"&{key}={value}" for key, value in params.items()))
    tab.page.wait_for_function(f"document.querySelector('{PLOT}')?._fullLayout !== undefined")
    return tab.page


def points(tab: Tab) -> int:
    return int(tab.page.evaluate(f"document.querySelector('{PLOT}').data.find(t => t.uid === 'loss val').x.length"))


def wait_for_points(tab: Tab, n: int) -> None:
    tab.page.wait_for_function(
        f"n => document.querySelector('{PLOT}').data.find(t => t.uid === 'loss val')?.x.length === n", arg=n
    )


def x_range(tab: Tab) -> Any:
    return tab.page.evaluate(f"document.querySelector('{PLOT}')._fullLayout.xaxis.range")


def test_a_zoom_that_is_being_drawn_is_not_cut_off_by_the_growth(tab: Tab, live: Live) -> None:
    page = open_run(tab, live.run)
    box = page.locator(f"{PLOT} .nsewdrag").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
    live.grow()
    expect(page.locator(".st-key-run_head").get_by_text("epoch 5 of 8")).to_be_visible()
    tab.idle()
    assert points(tab) == 4  # it waits for the hand
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=4)
    page.mouse.up()
    wait_for_points(tab, 5)
    assert x_range(tab) == pytest.approx([2.04, 6.12], abs=0.3)


def test_the_toolbar_changes_the_figure_in_place(tab: Tab, live: Live) -> None:
    page = open_run(tab, live.run)
    page.evaluate(f"window.before = document.querySelector('{PLOT}')")
    page.locator(f"{PLOT} .legendtoggle").first.click()
    page.wait_for_function(f"document.querySelector('{PLOT}')._fullData[1].visible === 'legendonly'")
    slider = page.locator(".st-key-curves_smoothing").get_by_role("slider")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(f"document.querySelector('{PLOT}').data.some(t => t.uid === 'loss val raw')")
    page.locator(".st-key-curves_x").get_by_text("Steps", exact=True).click()
    page.wait_for_function(f"document.querySelector('{PLOT}').layout.xaxis.title.text === 'step'")
    page.locator(".st-key-curves_log").get_by_text("loss", exact=True).click()
    page.wait_for_function(f"document.querySelector('{PLOT}').layout.yaxis.type === 'log'")
    live.grow()
    wait_for_points(tab, 5)
    assert page.evaluate(f"window.before === document.querySelector('{PLOT}')")
    hidden = page.evaluate(
        f"document.querySelector('{PLOT}')._fullData.filter(t => t.visible === 'legendonly').map(t => t.uid)"
    )
    assert set(hidden) == {"loss train", "loss train raw"}

    page.locator(".st-key-run_measures_box button").first.click()
    box = page.locator(".st-key-run_measures input")
    box.fill("Recall of each")
    page.keyboard.press("Enter")
    metric = ".st-key-metric_plot .plot"
    page.wait_for_function(f"document.querySelector('{metric}').data.some(t => t.uid === 'recall_normal val')")
    live.grow()
    wait_for_points(tab, 6)
    expect(box).to_be_visible()  # the box did not close under the hand
    expect(page.get_by_text("Macro F1 and 1 more")).to_be_visible()

    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Runs", exact=True).click()  # all is kept
    expect(page).not_to_have_url(re.compile("/run"))
    page.go_back()
    page.wait_for_function(f"document.querySelector('{PLOT}')?.layout?.xaxis.title.text === 'step'")
    assert page.evaluate(f"document.querySelector('{PLOT}').layout.yaxis.type") == "log"
    expect(page.get_by_text("Macro F1 and 1 more")).to_be_visible()


def test_hover_stays_while_the_figure_grows(tab: Tab, live: Live) -> None:
    page = open_run(tab, live.run)
    drag = page.locator(f"{PLOT} .nsewdrag")
    box = drag.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 40)
    page.mouse.move(box["x"] + box["width"] * 0.163, box["y"] + 50)
    label = page.locator(f"{PLOT} .hoverlayer .legend")
    expect(label).to_be_visible()
    live.grow()
    wait_for_points(tab, 5)
    expect(label).to_be_visible()


def test_the_matrix_says_counts_or_shares_esc_closes_a_cell_and_the_table_sorts(
    tab: Tab, finished: SimpleNamespace
) -> None:
    page = open_run(tab, finished.plain)
    counts = measured(finished.plain, "val").confusion["matrix"]
    big = page.locator(".st-key-matrix button[data-cell='0-0'] b")
    expect(big).to_have_text(str(counts[0][0]))
    page.locator(".st-key-matrix_show").get_by_text("Row %").click()
    expect(big).to_have_text(f"{100 * counts[0][0] / sum(counts[0]):.0f} %")
    page.locator(".st-key-matrix_show").get_by_text("Column %").click()
    expect(big).to_have_text(f"{100 * counts[0][0] / sum(row[0] for row in counts):.0f} %")
    page.get_by_role("button", name=re.compile("^true covid19, predicted covid19: ")).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("cell=0-0"))
    tiles = page.locator(".st-key-run_gallery .tile")
    expect(tiles).to_have_count(counts[0][0])
    tiles.first.focus()
    page.keyboard.press("Escape")  # from the images beside it
    expect(page).not_to_have_url(re.compile("cell="))
    expect(page.get_by_role("button", name=re.compile("^true covid19, predicted covid19: "))).to_be_focused()
    expect(page.get_by_text("Click a cell for its images")).to_be_visible()

    table = page.locator(".st-key-per_class table")
    table.get_by_role("button", name="recall").click()
    expect(table.locator("th[aria-sort=ascending]")).to_have_text("recall ↑")
    shown = [float(text) for text in table.locator("tbody td.share:nth-of-type(2) b").all_inner_texts()]
    recalls = measured(finished.plain, "val").metrics
    expected = sorted(recalls[f"recall_{name}"] for name in ("covid19", "normal", "pneumonia"))
    assert shown == pytest.approx(expected, abs=1e-3)


def test_many_clicks_end_with_the_last_cell(tab: Tab, finished: SimpleNamespace) -> None:
    page = open_run(tab, finished.plain)
    counts = measured(finished.plain, "val").confusion["matrix"]
    for cell in ("0-0", "1-1", "2-2", "0-1", "1-1"):
        page.locator(f".st-key-matrix button[data-cell='{cell}']").click()
    expect(page).to_have_url(re.compile("cell=1-1"))
    expect(page.get_by_text("true normal, predicted normal")).to_be_visible()
    expect(page.locator(".st-key-run_gallery .tile")).to_have_count(counts[1][1])
    expect(page.locator(".st-key-matrix button[aria-pressed=true]")).to_have_attribute("data-cell", "1-1")


def test_the_log_is_searched_and_followed(tab: Tab, live: Live) -> None:
    for i in range(400):
        live.log(f"INFO step {i} <b>bold</b>")
    page = open_run(tab, live.run)
    page.get_by_role("tab", name="Log").click()
    lines = page.locator(".st-key-run_log .lines")
    expect(lines.locator(".line").last).to_have_text("INFO step 399 <b>bold</b>")
    at_end = "box => box.scrollTop + box.clientHeight >= box.scrollHeight - 2 && box.scrollTop > 0"
    page.wait_for_function(at_end, arg=lines.element_handle())
    live.log("INFO the news")
    expect(lines.locator(".line").last).to_have_text("INFO the news")
    page.wait_for_function(at_end, arg=lines.element_handle())
    lines.evaluate("box => { box.scrollTop = 0 }")  # who reads above is left there
    expect(page.get_by_role("checkbox", name="Follow")).not_to_be_checked()
    live.log("WARNING more news")
    expect(lines.locator(".line.warning")).to_have_count(1)
    assert lines.evaluate("box => box.scrollTop") == 0
    search = page.get_by_role("searchbox", name="Search the log")
    search.fill("STEP 39")
    expect(lines.locator(".line")).to_have_count(11)
    expect(lines.locator("mark").first).to_have_text("step 39")
    expect(page.locator(".st-key-run_log output")).to_contain_text("11 of")
    search.press("Escape")
    expect(search).to_have_value("")
    expect(lines.locator("mark")).to_have_count(0)


def test_two_tabs_with_the_same_note(open_tab: Callable[..., Tab], server: Server, finished: SimpleNamespace) -> None:
    first, second = open_tab(), open_tab()
    for tab in (first, second):
        open_run(tab, finished.plain)
        tab.page.get_by_role("tab", name="Notes").click()
        expect(tab.page.get_by_label("Note", exact=True)).to_be_visible()
    for tab, text in ((first, "of the first"), (second, "of the second <b>![x](http://evil.example/n.png)</b>")):
        tab.page.get_by_label("Note", exact=True).fill(text)
        tab.button("notes_save").click()
        if tab is first:
            server.wait_until(lambda: finished.plain.notes()["note"] == "of the first", "the note was not saved")
    expect(second.page.get_by_text("Somebody saved something else meanwhile")).to_be_visible()
    expect(second.page.get_by_text("note: of the first")).to_be_visible()
    expect(second.page.get_by_label("Note", exact=True)).to_have_value(re.compile("^of the second"))
    assert finished.plain.notes()["note"] == "of the first"
    second.button("notes_mine").click()
    expect(second.button("notes_save")).to_be_visible()
    expect(second.page.get_by_text("Somebody saved")).to_have_count(0)
    assert finished.plain.notes()["note"].startswith("of the second")


def test_a_finished_run_that_is_deleted_under_an_open_page(tab: Tab, finished: SimpleNamespace) -> None:
    page = open_run(tab, finished.fragile)
    cell = page.locator(".st-key-matrix button").first
    expect(cell).to_be_visible()
    tab.idle()
    shutil.rmtree(finished.fragile.dir)
    cell.click()
    expect(page.get_by_text("There is no run")).to_be_visible()
    expect(page.get_by_role("link", name="All runs")).to_be_visible()
    tab.faults = [fault for fault in tab.faults if "404" not in fault]  # its images are gone too


def test_the_server_is_started_again_under_an_open_page(tab: Tab, server: Server, finished: SimpleNamespace) -> None:
    page = open_run(tab, finished.plain, cell="0-0")
    page.evaluate(STATES)
    server.stop()
    page.wait_for_function("states.some(state => !state.startsWith('CONNECTED'))")
    server.start()
    page.wait_for_function("states.lastIndexOf('CONNECTED running') > states.findLastIndex(s => !s.startsWith('CONN'))")
    tab.idle()
    page.locator(".st-key-matrix button[data-cell='2-2']").click()
    expect(page).to_have_url(re.compile("cell=2-2"))
    n = measured(finished.plain, "val").confusion["matrix"][2][2]
    expect(page.locator(".st-key-run_gallery .tile")).to_have_count(n)
    expect(page.get_by_role("heading", level=1)).to_have_text("plain")
    tab.faults.clear()  # what the browser said while the server was away


def test_a_dot_leads_to_the_run_of_that_seed(tab: Tab, server: Server, finished: SimpleNamespace) -> None:
    config = finished.plain.config()
    assert config is not None
    fixed = {"loss": "cross_entropy", "model": "resnet18", "lr": 0.05, "focal_gamma": 2.0, "tags": ()}
    first, second = (
        Run(write_synthetic_run(server.runs, i, artefacts=True, data=Path(config.data), **fixed)) for i in (31, 32)
    )
    page = open_run(tab, first)
    dots = page.locator(".st-key-run_seeds").get_by_role("group", name="accuracy of each run").get_by_role("button")
    expect(dots).to_have_count(2)
    expect(dots.first).to_have_attribute("aria-current", "true")
    dots.last.click()
    expect(page).to_have_url(re.compile(second.id))
    expect(page.get_by_role("heading", level=1)).to_have_text("synthetic 32")
    expect(dots.last).to_have_attribute("aria-current", "true")
