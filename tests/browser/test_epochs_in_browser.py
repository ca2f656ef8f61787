"""The scrubber over the epochs and the map of the images in a real browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.evaluation.metrics import confusion
from covidviz.evaluation.replay import FATES
from covidviz.store import layout, maps
from covidviz.store.reader import Run
from covidviz.ui.places import area_of, chosen
from covidviz.ui.replays import found_at, replay

E = 6


@pytest.fixture(scope="module")
def runs(server: Server, tiny_phantoms: Path) -> SimpleNamespace:
    """`one`: images move from epoch to epoch and have a map; `many`: several labels, more images."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    one = with_epochs(Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data, name="one", epochs=E)))
    many = with_epochs(
        Run(write_synthetic_run(server.runs, 2, artefacts=True, n=400, task="multi-label", loss="bce", epochs=E))
    )
    ids = val(one)["sample_id"].tolist()
    maps_in(server, one, ids)
    return SimpleNamespace(one=one, many=many, data=data)


def val(run: Run) -> Any:
    samples = run.samples()
    return samples[samples["split"] == "val"]


def truth(run: Run) -> np.ndarray:
    config = run.config()
    assert config is not None
    return val(run)[[f"label_{name}" for name in config.classes]].to_numpy()


def with_epochs(run: Run, epochs: int = E) -> Run:
    ids = val(run)["sample_id"].tolist()
    prob = np.random.default_rng(3).dirichlet(np.ones(3), (E, len(ids)))[:epochs]
    part = run.dir / "history.part.npz"
    np.savez(part, sample_id=np.array(ids), epoch=np.arange(1, epochs + 1), prob=prob.astype(np.float16))
    part.replace(run.dir / layout.HISTORY)
    return run


def maps_in(server: Server, run: Run, ids: list[str]) -> None:
    """A map in the server's cache: a spiral, so that no two images lie on each other."""
    turn, far = np.linspace(0, 9, len(ids)), np.linspace(0.1, 0.5, len(ids))
    place = 0.5 + np.stack([far * np.cos(turn), far * np.sin(turn)], axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(server.cache))
        maps.write(run, "val", ids, place.astype(np.float32), "a spiral", len(ids))


def scrubber(tab: Tab, key: str) -> Any:
    box = tab.page.locator(f".st-key-{key}")
    box.scroll_into_view_if_needed()
    expect(box.locator("input.epoch")).to_be_visible()
    return box


def expect_matrix(box: Any, run: Run, epoch: int) -> None:
    """Every cell says what the probabilities of that epoch do."""
    history, config = run.history(), run.config()
    assert history is not None
    assert config is not None
    document = confusion(history.prob[epoch - 1], truth(run), config.classes, config.task)
    if config.task == "single-label":
        numbers = {f"{i}-{j}": n for i, row in enumerate(document["matrix"]) for j, n in enumerate(row)}
    else:
        numbers = {f"{k}-{kind}": n for k, name in enumerate(config.classes) for kind, n in document[name].items()}
    said = box.locator(".cell").evaluate_all("cells => cells.map(c => [c.dataset.cell, Number(c.textContent)])")
    assert dict(said) == numbers


@pytest.mark.parametrize("name", ["one", "many"])
def test_on_the_run_page_all_moves_together_and_nothing_is_sent(tab: Tab, runs: SimpleNamespace, name: str) -> None:
    run = getattr(runs, name)
    tab.open(f"/run?run={run.id}")
    box = scrubber(tab, "run_replay")
    slider = box.locator("input.epoch")
    tab.idle()
    sent = tab.frames
    slider.press("Home")
    for epoch in range(1, E + 1):
        expect(box.locator(".at b")).to_contain_text(f"Epoch {epoch}")
        expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^epoch {epoch} of {E}"))
        expect_matrix(box, run, epoch)
        known, found = replay(run), found_at(run, epoch)
        assert known is not None
        assert found is not None
        wrong = found.frame.query("not right")
        first = box.locator(".tile").first.get_attribute("data-id")
        assert first in set(wrong["sample_id"])
        expect(box.locator(".found")).to_have_text(f"{len(wrong)} wrong")
        slider.press("ArrowRight")
    slider.press("Home")
    slider.press(" ")
    expect(box.locator(".at b")).to_contain_text(f"Epoch {E}")  # it played to the end
    expect(box.locator(".play")).to_have_text("▶ Play")
    kind = int(np.bincount(known.fates.kind).argmax())
    box.locator(f'[data-fate="{kind}"]').click()
    expect(box.locator(".at")).to_contain_text(f"of {len(known.of_fate(FATES[kind]))} ")
    box.get_by_role("button", name="Best", exact=True).click()
    if box.locator(".tile").count():
        box.locator(".tile").first.click()
        expect(box.locator(".chip")).to_have_count(1)
        expect(box.locator(".plot path.own")).to_have_count(1)
    assert tab.frames == sent


def test_what_is_seen_opens_on_the_images_page(tab: Tab, runs: SimpleNamespace) -> None:
    tab.open(f"/run?run={runs.one.id}")
    box = scrubber(tab, "run_replay")
    box.locator("input.epoch").press("Home")
    box.get_by_role("button", name="Open in Images").click()
    tab.page.wait_for_url(re.compile("/images"))
    expect(tab.page.get_by_text("in epoch 1,")).to_be_visible()
    assert tab.query() == {"run": runs.one.id, "split": "val", "order": "worst", "epoch": "1"}


def test_on_the_images_page_gallery_and_link_follow(tab: Tab, runs: SimpleNamespace) -> None:
    page, run = tab.page, runs.one
    tab.open(f"/images?run={run.id}&epoch=2")
    box = scrubber(tab, "images_replay")
    slider = box.locator("input.epoch")
    expect(slider).to_have_value("1")
    for key, epoch in (("ArrowRight", 3), ("ArrowRight", 4), ("Home", 1)):
        slider.press(key)
        expect(page.get_by_text(f"in epoch {epoch},")).to_be_visible()
        expect(page).to_have_url(re.compile(f"epoch={epoch}"))
        expect_matrix(box, run, epoch)
        found = found_at(run, epoch)
        assert found is not None
        wrong = found.frame.query("not right").sort_values("loss", ascending=False)["sample_id"].tolist()
        expect(page.locator(".st-key-gallery .tile").first).to_have_attribute("data-id", wrong[0])
    page.go_back()
    expect(slider).to_have_value("3")
    tile = page.locator(".st-key-gallery .tile").first
    tile.focus()
    page.keyboard.press("x")
    expect(box.locator(".chip")).to_have_count(1)
    known = replay(run)
    assert known is not None
    fate = FATES[int(np.bincount(known.fates.kind).argmax())]
    box.locator(f'[data-fate="{FATES.index(fate)}"]').click()
    expect(page).to_have_url(re.compile(f"fate={fate}"))
    expect(page.get_by_text(f"{len(known.of_fate(fate))} images", exact=False).first).to_be_visible()
    box.locator(".best").click()
    page.wait_for_function("() => !location.search.includes('epoch=')")


def test_the_scrubber_grows_while_the_run_trains(tab: Tab, runs: SimpleNamespace, server: Server) -> None:
    live = Run(write_synthetic_run(server.runs, 3, "running", artefacts=True, data=runs.data, epochs=E))
    with_epochs(live, 2)
    tab.open(f"/run?run={live.id}")
    box = scrubber(tab, "run_replay")
    expect(box.locator(".at b")).to_contain_text("Epoch 2")
    with_epochs(live, 3)
    expect(box.locator(".at b")).to_contain_text("Epoch 3")
    box.locator("input.epoch").press("Home")
    with_epochs(live, 4)
    expect(box.locator("input.epoch")).to_have_attribute("max", "3")
    expect(box.locator(".at b")).to_contain_text("Epoch 1")  # who looks back is left there
    shutil.rmtree(live.dir)  # pages poll while a run lives


def open_map(tab: Tab, run: Run) -> Any:
    tab.open(f"/images?run={run.id}")
    tab.page.get_by_role("button", name="Map", exact=True).click()
    box = tab.page.locator(".st-key-place_map")
    expect(box.locator(".said")).to_have_text(f"{len(val(run))} images")
    return box


def test_a_lasso_chooses_what_the_gallery_shows(tab: Tab, runs: SimpleNamespace, server: Server) -> None:
    page, run = tab.page, runs.one
    box = open_map(tab, run)
    canvas = box.locator(".field canvas")
    canvas.scroll_into_view_if_needed()
    at = canvas.bounding_box()
    corners = [(0.02, 0.02), (0.55, 0.02), (0.6, 0.5), (0.55, 0.98), (0.02, 0.98)]
    for k, (x, y) in enumerate(corners):
        page.mouse.move(at["x"] + x * at["width"], at["y"] + y * at["height"], steps=8)
        if not k:
            page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile("area="))
    area = area_of(tab.query()["area"])
    assert area is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(server.cache))
        inside = chosen(run, area)
    assert 0 < len(inside) < len(val(run))
    expect(box.locator(".said")).to_have_text(f"{len(inside)} of {len(val(run))} images chosen")
    expect(page.get_by_text("chosen in the map")).to_be_visible()
    expect(page.locator(".st-key-gallery .tile")).to_have_count(len(inside))
    ids = {tile.get_attribute("data-id") for tile in page.locator(".st-key-gallery .tile").all()}
    assert ids == inside
    box.locator("summary").click()
    expect(box.locator("tbody tr")).to_have_count(len(inside))
    box.get_by_role("button", name="No choice").click()
    page.wait_for_function("() => !location.search.includes('area=')")


def test_the_map_by_keyboard_alone(tab: Tab, runs: SimpleNamespace) -> None:
    page = tab.page
    box = open_map(tab, runs.one)
    canvas = box.locator(".field canvas")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    expect(box.locator(".live")).not_to_be_empty()
    expect(box.locator(".hover img")).to_be_visible()
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile("area="))
    page.keyboard.press("Escape")
    page.wait_for_function("() => !location.search.includes('area=')")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page).to_have_url(re.compile("img="))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_are_accessible_and_fit_a_phone(open_tab: Any, runs: SimpleNamespace, scheme: str) -> None:
    tab = open_tab(color_scheme=scheme, viewport={"width": 390, "height": 844})
    box = open_map(tab, runs.one)
    tab.page.get_by_role("button", name="Epochs", exact=True).click()
    scrubber(tab, "images_replay")
    expect(box.locator(".legend .entry").first).to_be_visible()
    tab.idle()
    assert tab.severe() == []
    assert not tab.overflows()
