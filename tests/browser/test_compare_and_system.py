"""Comparing runs, ordering the queue and clearing the disk in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driver import Server, Tab
from explored import finished_run, make_dataset
from playwright.sync_api import expect
from synthetic import CLASSES, write_synthetic_run

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
INK = """canvas => { const p = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return p.reduce((sum, v) => sum + v, 0) }"""
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


@pytest.fixture(scope="module")
def paired(server: Server) -> dict[str, str]:
    """Runs on the same images, all with pictures and heat maps; `turned` is wrong where `first` is right."""
    data = make_dataset(server.data / "set", n=300)
    found = {
        name: finished_run(server.runs, data, i, name=name)
        for i, name in ((20, "first"), (21, "second"), (22, "turned"))
    }
    path = found["turned"].dir / layout.PREDICTIONS
    said = pd.read_parquet(found["first"].dir / layout.PREDICTIONS)
    columns = [f"prob_{name}" for name in CLASSES]
    said[columns] = said[[*columns[1:], columns[0]]].to_numpy()
    said.to_parquet(path)
    return {name: run.id for name, run in found.items()}


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


def test_a_verdict_and_behind_it_the_images_with_both_heat_maps(tab: Tab, paired: dict[str, str]) -> None:
    page = tab.page
    tab.open(f"/compare?runs={paired['first']},{paired['second']}")
    expect(page.get_by_text(re.compile("On the same 99 validation images of 99 patients"))).to_be_visible()
    table = page.locator(".st-key-compare_forest tbody tr th")
    expect(table).to_have_count(5)
    page.get_by_role("button", name="Precision and F1 of each class too").press("Enter")
    expect(table).to_have_count(11)
    expect(page.get_by_role("button", name="Fewer metrics")).to_be_focused()
    tiles = page.locator(".st-key-compare_flips .tile")
    expect(page.locator(".st-key-compare_flips_head button").first).to_contain_text(f"Fixed by B ({tiles.count()})")
    expect(tiles.first.locator("canvas.heat")).to_have_count(2)
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.locator(".at")).to_have_text(f"2 of {tiles.count()}")
    names = viewer.locator(".pane .name")
    expect(names).to_have_text([re.compile("^✕ A · run 1: "), re.compile("^✓ B · run 2: "), "X-ray"])
    expect(viewer.locator("canvas.heat")).to_have_count(2)
    inks = [viewer.locator("canvas.heat").nth(i).evaluate(INK) for i in (0, 1)]
    assert all(inks)
    assert inks[0] != inks[1]  # each run's own
    before = tab.frames
    viewer.get_by_label("Heat map opacity").fill("30")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(tiles.nth(1)).to_be_focused()
    assert tab.frames == before  # nothing of this asked the server for a rerun
    picked = page.locator(".st-key-compare_flips_class")
    picked.get_by_role("combobox").click()
    page.get_by_role("option", name=re.compile("true normal")).click()
    expect(page.locator(".st-key-compare_flips .says .true", has_not_text="true normal")).to_have_count(0)
    expect(tiles.first).to_be_visible()


def test_many_flips_are_paged_and_the_two_change_places(tab: Tab, paired: dict[str, str]) -> None:
    page = tab.page
    tab.open(f"/compare?runs={paired['first']},{paired['turned']}")
    expect(
        page.get_by_text(re.compile("Evidence that A is right on more images, and finds more of covid19"))
    ).to_be_visible()
    tiles = page.locator(".st-key-compare_flips .tile")
    page.locator(".st-key-compare_flips_head").get_by_role("radio", name=re.compile("Broken by B")).click()
    where = page.locator(".st-key-compare_flips .where")
    expect(where).to_have_text(re.compile("^1 to 60 of "))
    expect(tiles).to_have_count(60)
    page.get_by_role("button", name="Next ›").click()
    expect(where).to_have_text(re.compile("^61 to "))
    total = int(where.inner_text().split()[-1])
    expect(tiles).to_have_count(total - 60)
    page.get_by_role("button", name="Swap").press("Enter")
    expect(
        page.get_by_text(re.compile("Evidence that B is right on more images, and finds more of covid19"))
    ).to_be_visible()
    assert (tab.query()["a"], tab.query()["b"]) == (paired["turned"], paired["first"])


def test_verdict_and_flips_can_be_read_by_all(open_tab: Callable[..., Tab], paired: dict[str, str]) -> None:
    tab = open_tab(viewport={"width": 390, "height": 844}, color_scheme="dark")
    tab.open(f"/compare?runs={','.join(paired.values())}")
    expect(plot(tab)).to_be_visible()
    assert not tab.overflows()
    assert tab.severe() == []
    tab.page.locator(".st-key-compare_flips .tile").first.click()
    expect(tab.page.get_by_role("dialog").locator("canvas.heat").first).to_be_visible()
    assert tab.severe() == []


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
    deadline = time.monotonic() + 30
    while confirm.count() and time.monotonic() < deadline:  # it listens to the keyboard a moment after it is drawn
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
    expect(confirm).to_have_count(0)
    assert gone.exists()
    card.get_by_role("button").first.click()
    confirm.click()
    expect(page.get_by_text(re.compile("^Freed "))).to_be_visible()
    expect(card).to_contain_text("No deleted runs.")
    expect(confirm).to_have_count(0)
    assert not gone.exists()
