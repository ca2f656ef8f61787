"""Comparing runs, ordering the queue and clearing the disk in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.jobs.queue import enqueue, queued
from covidviz.store import layout
from covidviz.store.files import read_json, to_json, write_json_atomic
from covidviz.store.locks import Lock
from covidviz.store.reader import Run
from covidviz.store.runs import delete_run
from covidviz.store.status import read_status
from covidviz.ui.results import measured

HOSTILE = "<img src=x onerror=alert(1)> ![b](http://evil.example/x.png) [l](http://evil.example) **bold**"
# Names in the legend that are struck out, and the curves that are drawn.
HIDDEN = "box => box.data.filter(trace => trace.visible === 'legendonly').map(trace => trace.legendgroup)"
LAST_X = "box => Math.max(...box.data.flatMap(trace => trace.x))"


@pytest.fixture(scope="module")
def quiet(server: Server) -> Iterator[None]:
    """Nobody takes runs out of the queue while the tests look at it: the scheduler's place is taken."""
    (server.runs / layout.CLAIMED).mkdir(parents=True, exist_ok=True)
    lock = Lock.take(server.runs / layout.SCHEDULER_LOCK, wait=5)
    assert lock is not None
    with lock:
        yield


@pytest.fixture(scope="module")
def ids(server: Server) -> dict[str, str]:
    make: dict[str, dict[str, Any]] = {
        "plain": {"n": 240}, "other": {"n": 240, "lr": 0.5}, "hostile": {"n": 80, "name": HOSTILE},
        "failed": {"state": "failed"},
    }  # fmt: skip
    return {
        name: write_synthetic_run(server.runs, i, artefacts=True, **{"name": name, **more}).name
        for i, (name, more) in enumerate(make.items(), start=1)
    }


def plot(tab: Tab) -> Any:
    box = tab.page.locator(".st-key-compare_plot .js-plotly-plot")
    expect(box).to_be_visible()
    return box


def append_epoch(run_dir: Path, epoch: int) -> None:
    with (run_dir / layout.METRICS).open("a") as file:
        for split in ("train", "val"):
            file.write(
                to_json({"epoch": epoch, "split": split, "loss": 1 / epoch, "accuracy": 0.5, "macro_f1": 0.5}) + "\n"
            )


def test_two_runs_are_picked_compared_and_kept_in_the_link(tab: Tab, ids: dict[str, str]) -> None:
    page = tab.page
    tab.open("/compare")
    tab.button("compare_newest").click()
    expect(page).to_have_url(re.compile(f"runs={ids['hostile']}"))
    tab.open(f"/compare?runs={ids['plain']},{ids['other']},nonsense")
    expect(page.get_by_text("There is no such run, or not any more: nonsense.")).to_be_visible()
    expect(plot(tab).locator(".legendtext").first).to_have_text("1 · plain")
    matrix = measured(Run(tab.server.runs / ids["plain"]), "val").confusion["matrix"]
    cell = page.locator(f".st-key-compare_matrix_{ids['plain']} button[data-cell='0-1']")
    expect(cell).to_have_attribute("aria-label", re.compile(f"true covid19, predicted normal: {matrix[0][1]} image"))
    expect(page.locator(".st-key-compare_difference button")).to_have_count(9)
    cell.click()  # its images are those of that run
    expect(page).to_have_url(re.compile(f"/run\\?.*run={ids['plain']}"))
    expect(page).to_have_url(re.compile("cell=0-1"))
    page.go_back()
    expect(page).to_have_url(re.compile(f"/compare\\?.*{ids['other']}"))
    expect(page.locator(".st-key-compare_difference button")).to_have_count(9)


def test_what_is_hidden_in_the_legend_stays_so_while_a_run_grows(tab: Tab, server: Server, ids: dict[str, str]) -> None:
    run_dir = write_synthetic_run(server.runs, 50, "running", artefacts=True, name="grows", epochs=40)
    status = read_json(run_dir / layout.STATUS) or {}
    write_json_atomic(run_dir / layout.STATUS, {**status, "heartbeat": status["heartbeat"] + 3600})  # never lost
    tab.open(f"/compare?runs={ids['plain']},{run_dir.name}")
    box = plot(tab)
    expect(box.locator(".legendtext")).to_have_count(2)
    before = box.evaluate(LAST_X)
    box.evaluate("box => { box.mark = 'the same' }")
    box.locator(".legendtoggle").first.click()
    tab.page.wait_for_function(f"box => ({HIDDEN})(box).length === 4", arg=box.element_handle())
    append_epoch(run_dir, 21)
    tab.page.wait_for_function(f"box => ({LAST_X})(box) === 21", arg=box.element_handle())
    assert before == 20
    assert set(box.evaluate(HIDDEN)) == {ids["plain"]}  # both of its curves, in both parts
    assert box.evaluate("box => box.mark") == "the same"
    write_json_atomic(run_dir / layout.STATUS, {**status, "state": "stopped"})
    expect(tab.page.get_by_text("2 · grows is stopped")).to_be_visible()


def test_hostile_names_and_a_failed_run_at_phone_width(open_tab: Callable[..., Tab], ids: dict[str, str]) -> None:
    tab = open_tab(viewport={"width": 390, "height": 844}, color_scheme="dark")
    tab.open(f"/compare?runs={ids['hostile']},{ids['failed']}")
    expect(plot(tab).locator(".legendtext").first).to_contain_text("<img src=x")
    expect(tab.page.get_by_text("This run failed and has no predictions.")).to_be_visible()
    assert not tab.overflows()
    assert tab.page.locator("img[src*='evil'], a[href*='evil'], img[src='x']").count() == 0


@pytest.mark.usefixtures("quiet")
def test_the_queue_is_put_in_order_by_keyboard_and_by_hand(tab: Tab, server: Server) -> None:
    page = tab.page
    dirs = {name: write_synthetic_run(server.runs, i, "queued", name=name) for i, name in enumerate("abc", start=60)}
    for run_dir in dirs.values():
        enqueue(run_dir)

    def order() -> str:
        names = {run_dir.name: name for name, run_dir in dirs.items()}
        return "".join(names.get(row.run_id, "") for row in queued(server.runs))

    tab.open("/system")
    rows = page.locator(".st-key-system_queue_list .row")
    names = rows.locator(".name")
    expect(names).to_have_text(["a", "b", "c"])
    page.get_by_role("button", name="Move up: c").press("Enter")
    expect(names).to_have_text(["a", "c", "b"])
    expect(page.get_by_role("button", name="Move up: c")).to_be_focused()
    server.wait_until(lambda: order() == "acb", "the keyboard moved nothing")
    rows.nth(2).drag_to(rows.nth(0), target_position={"x": 60, "y": 3})
    expect(names).to_have_text(["b", "a", "c"])
    server.wait_until(lambda: order() == "bac", "dragging moved nothing")
    page.get_by_role("button", name="Take out of the queue: a").click()
    expect(names).to_have_text(["b", "c"])
    assert read_status(dirs["a"]).state == "stopped"
    assert order() == "bc"
    for name in "bc":
        page.get_by_role("button", name=f"Take out of the queue: {name}").click()
        expect(page.get_by_role("button", name=f"Take out of the queue: {name}")).to_have_count(0)
    expect(page.get_by_text("Nothing waits.")).to_be_visible()


def test_the_trash_is_emptied_after_a_question(tab: Tab, server: Server) -> None:
    page = tab.page
    gone = delete_run(write_synthetic_run(server.runs, 70, artefacts=True))
    tab.open("/system")
    card = page.locator(".st-key-system_card_trash")
    expect(card).to_contain_text("1 deleted run that can be restored")
    card.get_by_role("button").first.click()
    confirm = page.get_by_role("button", name="Delete for good")
    expect(confirm).to_be_visible()
    tab.idle()  # the popover listens to the keyboard a moment after it is drawn
    page.keyboard.press("Escape")
    expect(confirm).to_have_count(0)
    assert gone.exists()
    card.get_by_role("button").first.click()
    confirm.click()
    expect(page.get_by_text(re.compile("^Freed "))).to_be_visible()
    expect(card).to_contain_text("No deleted runs.")
    expect(confirm).to_have_count(0)
    assert not gone.exists()
