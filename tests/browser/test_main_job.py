"""The main job as a person does it: data, sliders, Train, live curves, a cell, its images, a heat map, the link."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from driver import Server, Tab
from playwright.sync_api import expect

from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs
from covidviz.ui.results import measured
from covidviz.ui.text import state_text

POINTS = "key => document.querySelector(`.st-key-${key} .plot`)?.data?.map(trace => trace.x.length) ?? []"

# Notes from now on how many points a chart shows, whenever that changes, and the nodes that showed them: a test that
# looked now and then would miss the growth of a quick run.
WATCH = f"""key => {{
  const watched = window.watched = {{sizes: [], nodes: new Set()}};
  setInterval(() => {{
    const size = ({POINTS})(key).reduce((a, b) => a + b, 0);
    if (!size || size === watched.sizes.at(-1)) return;
    watched.sizes.push(size);
    watched.nodes.add(document.querySelector(`.st-key-${{key}} .plot`));
  }}, 50);
}}"""
EPOCHS = 30  # the page looks every two seconds, and is to see it grow on a fast machine too


def choose(tab: Tab, label: str, option: str) -> None:
    """Pick an option of a drop-down."""
    tab.page.get_by_role("combobox", name=re.compile(label)).first.click()
    tab.page.get_by_role("option", name=re.compile(option)).click()


def state(tab: Tab, name: str) -> Any:
    """The badge of the Run page that says so."""
    return tab.page.locator(".st-key-run_head").get_by_text(state_text(name).label)


def only_run(server: Server) -> Run:
    (run_dir,) = list_run_dirs(server.runs)
    return Run(run_dir)


def test_from_nothing_to_an_explained_image(tab: Tab, server: Server) -> None:
    page = tab.page
    # nothing is there; data are made
    tab.open("/")
    page.get_by_role("link", name="New run").first.click()
    expect(page.get_by_role("heading", name="New run")).to_be_visible()
    page.locator(".st-key-new_phantoms_size").get_by_text("60", exact=True).click()
    tab.button("new_phantoms_make").click()
    expect(page.get_by_text("all images")).to_be_visible()
    assert (server.data / "phantoms-tiny" / "labels.csv").exists()

    # settings: small and from scratch, so that it is quick; each is waited for, as a person sees it
    differs = page.locator(".st-key-new_part_summary")
    choose(tab, "Network", "SqueezeNet")
    expect(differs).to_contain_text("SqueezeNet")
    choose(tab, "Starting weights", "scratch")
    expect(differs).to_contain_text("From scratch")
    page.locator(".st-key-new_trainable_mode").get_by_text("All", exact=True).click()
    expect(differs).to_contain_text("What learns")
    page.get_by_role("slider", name=re.compile("Image size")).focus()
    page.keyboard.press("Home")
    expect(differs).to_contain_text("Image size: 64")
    choose(tab, "Loss", "Focal")
    expect(differs).to_contain_text("Loss: Focal")
    page.get_by_role("slider", name=re.compile("Focal gamma")).focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(differs).to_contain_text("Focal gamma: 1.5")
    page.get_by_role("textbox", name="Batch size, typed").fill("8")
    page.keyboard.press("Enter")
    expect(differs).to_contain_text("Batch size: 8")
    page.locator(".st-key-new_epochs input").fill(str(EPOCHS))
    page.keyboard.press("Enter")
    expect(differs).to_contain_text(f"Epochs: {EPOCHS}")
    page.evaluate(WATCH, "loss_plot")
    tab.button("new_train").click()

    # it trains; the curve grows in place
    expect(page).to_have_url(re.compile(r"/run\?run=\d{8}-\d{6}-"))
    run = only_run(server)
    assert tab.query()["run"] == run.id
    config = run.config()
    assert config is not None
    assert (config.image_size, config.focal_gamma, config.epochs, config.batch_size) == (64, 1.5, EPOCHS, 8)
    assert (config.weights, config.trainable, config.loss) == ("none", "all", "focal")
    page.wait_for_function("() => watched.sizes.length >= 3")
    sizes, nodes = page.evaluate("[watched.sizes, watched.nodes.size]")
    assert sizes == sorted(sizes), "the curve grows only"
    assert nodes == 1, "the chart was rebuilt"

    # the matrix comes by itself when it is completed
    expect(state(tab, "completed")).to_be_visible(timeout=240_000)
    expect(page.get_by_role("button", name=re.compile("^true covid19, predicted"))).to_have_count(3)
    assert run.status().state == "completed"
    assert "run_stop" not in page.content()
    numbers = measured(run, "val").confusion["matrix"]
    n, i, j = max((numbers[i][j], i, j) for i in range(3) for j in range(3))

    # a cell opens exactly its images
    name = f"true {config.classes[i]}, predicted {config.classes[j]}"
    page.get_by_role("button", name=re.compile(f"^{name}: {n} ")).click()
    expect(page).to_have_url(re.compile(f"cell={i}-{j}"))
    expect(page.get_by_text(re.compile(rf"^{n} images?: {name}"))).to_be_visible()
    tiles = page.locator(".st-key-run_gallery .tile")
    expect(tiles).to_have_count(n)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.st-key-run_gallery *')].flatMap(e => e.shadowRoot ?"
        " [...e.shadowRoot.querySelectorAll('img')] : []).filter(i => i.complete && i.naturalWidth).length >= 1"
    )

    # the overlay changes without the server
    tab.idle()
    opacity = page.locator(".st-key-run_gallery").get_by_role("slider", name="Heat map opacity")
    sent, heat = tab.frames, page.locator(".st-key-run_gallery canvas.heat").first
    opacity.focus()
    for _ in range(15):
        page.keyboard.press("ArrowLeft")
    expect(heat).to_have_css("opacity", "0.55")
    assert tab.frames == sent

    # one of them large, the next by arrow key, the same again from the link
    tiles.first.click()
    expect(page).to_have_url(re.compile(r"/images\?.*img="))
    assert tab.query()["cell"] == f"{i}-{j}"
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_text(f"1 of {n}", exact=True)).to_be_visible()
    expect(viewer.locator("canvas.heat")).to_have_css("opacity", "0.55")
    if n > 1:
        first = tab.query()["img"]
        page.keyboard.press("ArrowRight")
        expect(viewer.get_by_text(f"2 of {n}", exact=True)).to_be_visible()
        page.wait_for_function("id => !location.search.includes(id)", arg=first)
    link, shown = page.url, viewer.locator("dl").inner_text()
    page.reload()
    tab.idle()
    assert page.url == link
    expect(viewer.locator("dl dd").last).to_be_visible()
    assert viewer.locator("dl").inner_text() == shown
    expect(page.locator(".st-key-gallery .tile[aria-current=true]")).to_have_attribute("data-id", tab.query()["img"])


def test_stop_and_resume_and_a_server_that_is_started_again(
    open_tab: Callable[..., Tab], server: Server, tiny_phantoms: Path
) -> None:
    shutil.copytree(tiny_phantoms, server.data / "for-stop", dirs_exist_ok=True)
    settings = {
        "data": str(server.data / "for-stop"), "weights": "none", "image_size": 64, "epochs": 400, "batch_size": 8,
        "model": "squeezenet1_1", "trainable": "all", "name": "to be stopped",
    }  # fmt: skip
    tab = open_tab()
    page = tab.page
    tab.open(f"/new_run?s={quote(json.dumps(settings))}")
    tab.button("new_train").click()
    expect(page).to_have_url(re.compile(r"/run\?run="))
    run = server.run(tab.query()["run"])
    page.wait_for_function(f"({POINTS})('loss_plot').some(n => n > 0)")

    # the server goes and comes back: the training did not notice, the page goes on
    pid = run.status().pid
    server.stop()
    server.start()
    server.wait_until(lambda: run.status().epoch >= 2, "the training did not go on")
    assert run.status().pid == pid
    head, epoch = page.locator(".st-key-run_head"), run.status().epoch
    page.wait_for_function(
        "([head, n]) => Number(head.innerText.match(/epoch (\\d+) of/)?.[1] ?? 0) >= n",
        arg=[head.element_handle(), epoch],
    )
    tab.faults.clear()  # what the browser said while the server was away

    tab.button("run_stop").click()
    expect(state(tab, "stopped")).to_be_visible()
    status = run.status()
    assert status.state == "stopped"
    expect(page.get_by_text("made at the end of a run")).to_be_visible()
    tab.button("run_resume").click()
    expect(state(tab, "running")).to_be_visible()
    server.wait_until(lambda: run.status().epoch > status.epoch, "it did not go on after Resume")
    assert run.metrics()["epoch"].max() > status.epoch
    tab.button("run_stop").click()
    expect(state(tab, "stopped")).to_be_visible()


def test_closing_the_tab_does_not_touch_a_training(
    open_tab: Callable[..., Any], server: Server, tiny_phantoms: Path
) -> None:
    shutil.copytree(tiny_phantoms, server.data / "for-closing", dirs_exist_ok=True)
    settings = {
        "data": str(server.data / "for-closing"), "weights": "none", "image_size": 64, "epochs": 3, "batch_size": 16,
        "model": "squeezenet1_1", "name": "left alone",
    }  # fmt: skip
    tab = open_tab()
    tab.open(f"/new_run?s={quote(json.dumps(settings))}")
    tab.button("new_train").click()
    expect(tab.page).to_have_url(re.compile(r"/run\?run="))
    run = server.run(tab.query()["run"])
    tab.page.close()
    server.wait_until(lambda: run.status().state == "completed", "it was not completed")
