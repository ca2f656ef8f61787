"""The New run page in a real browser: the drawn network, head widths, curves, examples, a link that is the form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from driver import Server, Tab
from explored import make_dataset
from PIL import Image
from playwright.sync_api import expect

from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs


@pytest.fixture(scope="module")
def data(server: Server) -> str:
    return str(make_dataset(server.data / "noise", n=36))


def form(tab: Tab, **values: Any) -> None:
    tab.open(f"/new_run?s={quote(json.dumps(values))}")


def settings(tab: Tab) -> dict[str, Any]:
    return json.loads(tab.query().get("s", "{}"))


def drawing(tab: Tab) -> Any:
    return tab.page.locator(".st-key-new_network")


def layer(tab: Tab, name: str, state: str) -> Any:
    """The button of a layer, in that state."""
    return drawing(tab).get_by_role("button", name=re.compile(f"^{re.escape(name)}, {state},"))


def learns(tab: Tab, *names: str) -> None:
    """Wait until exactly these layers learn."""
    expect(drawing(tab).get_by_role("button", name=re.compile(", learns, "))).to_have_count(len(names))
    for name in names:
        expect(layer(tab, name, "learns")).to_have_attribute("aria-pressed", "true")


def in_link(tab: Tab, name: str, value: Any) -> None:
    tab.page.wait_for_function(
        "([name, value]) => { const s = JSON.parse(new URLSearchParams(location.search).get('s') || '{}');"
        " return JSON.stringify(s[name] ?? null) === value; }",
        arg=[name, json.dumps(value, separators=(",", ":"))],
    )


def test_a_click_freezes_and_thaws_and_counts_at_once(tab: Tab, data: str) -> None:
    page = tab.page
    form(tab, data=data)
    count, head = drawing(tab).locator(".count"), 512 * 256 + 256 + 256 * 3 + 3
    expect(count).to_have_attribute("title", f"{head:,} of {11176512 + head:,}")
    learns(tab)

    page.get_by_role("button", name="Train from layer3 on").click()
    learns(tab, "layer3", "layer4")
    in_link(tab, "trainable", "from:layer3")
    layer(tab, "layer3", "learns").click()
    learns(tab, "layer4")
    in_link(tab, "trainable", "from:layer4")
    layer(tab, "conv1", "frozen").click()
    learns(tab, "conv1", "layer4")
    in_link(tab, "trainable", "conv1,layer4")
    expect(count).to_have_attribute("title", f"{9536 + 8393728 + head:,} of {11176512 + head:,}")
    presets = page.locator(".st-key-new_trainable_mode")
    presets.get_by_text("All", exact=True).click()
    learns(tab, "conv1", "layer1", "layer2", "layer3", "layer4")
    in_link(tab, "trainable", "all")
    presets.get_by_text("Head only", exact=True).click()
    learns(tab)
    in_link(tab, "trainable", None)

    # the count does not wait for the server
    tab.idle()
    page.evaluate(
        """() => { const count = [...document.querySelectorAll('.st-key-new_network *')]
          .map(e => e.shadowRoot?.querySelector('.count')).find(Boolean);
          count.getRootNode().querySelector('[data-focus=from-4]').click();
          window.saidAtOnce = count.textContent; }"""
    )
    assert page.evaluate("window.saidAtOnce").startswith("8.53 M of")


def test_the_border_is_dragged_and_moved_by_keys(tab: Tab, data: str) -> None:
    page = tab.page
    form(tab, data=data)
    knob = drawing(tab).get_by_role("slider")
    expect(knob).to_have_attribute("aria-valuetext", "only the head learns")
    target = layer(tab, "layer2", "frozen")
    box, to = knob.bounding_box(), target.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, (box["y"] + to["y"]) / 2, steps=4)
    page.mouse.move(box["x"] + 5, to["y"] + 3, steps=4)
    expect(knob).to_have_attribute("aria-valuetext", "learns from layer2 to the output")
    assert "trainable" not in settings(tab)  # sent once, where it is let go
    page.mouse.up()
    learns(tab, "layer2", "layer3", "layer4")
    in_link(tab, "trainable", "from:layer2")

    knob.focus()
    page.keyboard.press("ArrowDown")
    learns(tab, "layer3", "layer4")
    in_link(tab, "trainable", "from:layer3")
    page.keyboard.press("End")
    learns(tab)
    in_link(tab, "trainable", None)

    # arrows walk over the layers, space turns one
    layer(tab, "layer4", "frozen").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(layer(tab, "layer2", "frozen")).to_be_focused()
    page.keyboard.press("Space")
    learns(tab, "layer2")
    in_link(tab, "trainable", "layer2")
    expect(layer(tab, "layer2", "learns")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    learns(tab, "layer2", "layer3", "layer4")
    in_link(tab, "trainable", "from:layer2")


def test_the_head_is_chosen_in_the_drawing(tab: Tab, data: str) -> None:
    page = tab.page
    form(tab, data=data, image_size=128)
    expect(drawing(tab).get_by_text("512×4×4")).to_be_visible()
    width = drawing(tab).get_by_label("Width of hidden layer 1")
    width.fill("64")
    total = drawing(tab).locator(".head .n")
    expect(total).to_have_text("33.0 K")  # while it is typed
    page.keyboard.press("Enter")
    in_link(tab, "head", [64])
    drawing(tab).get_by_role("button", name="Add a hidden layer").click()
    in_link(tab, "head", [64, 32])
    drawing(tab).get_by_role("button", name="Remove hidden layer 1").click()
    in_link(tab, "head", [32])
    drawing(tab).get_by_role("button", name="Remove hidden layer 1").click()
    in_link(tab, "head", [])
    expect(total).to_have_text("1.54 K")
    expect(page.locator(".st-key-new_part_summary")).to_contain_text("no hidden layer")


def test_the_dataset_shows_itself_whatever_it_is_called(tab: Tab, server: Server, data: str) -> None:
    form(tab, data=data, trainable="from:layer4")
    shown = tab.page.locator(".st-key-new_dataset")
    images = shown.locator("img")
    expect(images).to_have_count(12)
    tab.page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('.st-key-new_dataset *')]"
        ".flatMap(e => e.shadowRoot ? [...e.shadowRoot.querySelectorAll('img')] : []);"
        " return all.length === 12 && all.every(i => i.complete && i.naturalWidth > 0); }"
    )
    expect(shown.get_by_role("listitem")).to_have_count(3)
    expect(shown.get_by_role("listitem").first).to_contain_text("covid19train 4val 4test 4")
    expect(shown.get_by_text("all images")).to_be_visible()

    # names that are markup, or long and right to left
    folder = make_dataset(server.data / "hostile", n=36)
    name = "<img src=x onerror=alert(1)>![x](http://evil.test/x.png)"
    table = (folder / "labels.csv").read_text().replace(",covid19,", f",{name},").replace(",normal,", f",{'ی' * 120},")
    (folder / "labels.csv").write_text(table)
    choose = tab.page.get_by_role("combobox", name=re.compile("Dataset"))
    choose.click()
    choose.fill(str(folder))
    tab.page.keyboard.press("Enter")
    expect(shown).to_contain_text("<img")
    expect(shown.get_by_role("listitem")).to_have_count(3)
    assert not tab.overflows()

    # nothing there: said beside it, and everything else stays
    choose.click()
    choose.fill("/nowhere/at/all")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_text("does not exist")).to_be_visible()
    learns(tab, "layer4")
    expect(tab.button("new_train")).to_be_disabled()
    expect(drawing(tab).get_by_text("→ classes")).to_be_visible()


def test_quick_clicks_are_all_kept_and_gamma_draws_its_curve(tab: Tab, data: str) -> None:
    form(tab, data=data, model="vgg16", loss="focal")
    names = ["features.0", "features.5", "features.10", "features.14", "features.21"]
    for name in names:
        layer(tab, name, "frozen").click()
    learns(tab, *names)
    in_link(tab, "trainable", ",".join(names))
    tab.idle()
    learns(tab, *names)

    curve = tab.page.locator(".st-key-new_focal_curve")
    line, label = curve.locator("path.first").first, curve.locator("[role=img]")
    expect(label).to_have_attribute("aria-label", re.compile("gamma 2 "))
    before = line.get_attribute("d")
    tab.page.get_by_role("slider", name=re.compile("Focal gamma")).focus()
    tab.page.keyboard.press("Home")
    expect(label).to_have_attribute("aria-label", re.compile("gamma 0 "))
    after = line.get_attribute("d")
    assert after != before
    assert after == curve.locator("path.quiet").first.get_attribute("d")  # gamma 0 is cross-entropy


def test_a_link_is_the_form_also_after_the_server_was_started_again(
    open_tab: Callable[..., Tab], server: Server, data: str
) -> None:
    tab = open_tab(permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    form(tab, data=data)
    page.get_by_role("button", name="Train from layer4 on").click()
    in_link(tab, "trainable", "from:layer4")
    page.get_by_role("textbox", name="Learning rate, typed").fill("0.0025")
    page.keyboard.press("Enter")
    in_link(tab, "lr", 0.0025)
    repeat = page.locator(".st-key-new_repeat input")
    repeat.fill("3")
    page.keyboard.press("Enter")
    expect(tab.button("new_train")).to_contain_text("Train 3 runs")
    expect(page).to_have_url(re.compile("k=3"))
    tab.idle()
    copy = page.locator(".st-key-new_copy").get_by_role("button")
    copy.click()
    expect(copy).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")

    def same(other: Tab) -> None:
        learns(other, "layer4")
        in_link(other, "lr", 0.0025)
        expect(other.page.get_by_role("textbox", name="Learning rate, typed")).to_have_value("0.0025")
        expect(other.page.locator(".st-key-new_repeat input")).to_have_value("3")

    in_link(tab, "lr", 0.0025)
    page.reload()
    same(tab)
    session = tab.page.locator(".st-key-wake .wake")
    before = session.get_attribute("data-session")
    server.stop()
    server.start()
    tab.faults.clear()  # what the browser said while the server was away
    other = open_tab()
    other.page.goto(link)
    same(other)
    expect(session).not_to_have_attribute("data-session", str(before))  # the old page runs again, and goes on
    same(tab)
    page.get_by_role("button", name="Train from layer3 on").click()
    in_link(tab, "trainable", "from:layer3")
    in_link(tab, "lr", 0.0025)
    tab.faults.clear()


def test_several_seeds_go_into_the_queue(tab: Tab, server: Server, data: str) -> None:
    tab.open(f"/new_run?k=2&s={quote(json.dumps({'data': data, 'weights': 'none', 'device': 'cuda:7', 'epochs': 1}))}")
    before = set(list_run_dirs(server.runs))
    tab.button("new_train").click()
    expect(tab.page).to_have_url(re.compile(r"/(runs)?(\?.*)?$"))
    expect(tab.page.get_by_text("2 runs are in the queue")).to_be_visible()
    made = set(list_run_dirs(server.runs)) - before
    assert sorted(config.seed for path in made if (config := Run(path).config())) == [0, 1]


def test_on_a_phone_and_in_between_nothing_sticks_out(open_tab: Callable[..., Tab], data: str) -> None:
    tab = open_tab(viewport={"width": 390, "height": 800})
    form(tab, data=data, loss="focal", focal_alpha=0.25, model="vgg16", schedule="cosine")
    for width in (390, 768, 1024):
        tab.page.set_viewport_size({"width": width, "height": 800})
        expect(layer(tab, "features.0", "frozen")).to_be_visible()
        tab.page.wait_for_function(
            "() => { const main = document.querySelector('[data-testid=stMain]');"
            " return main.scrollWidth <= main.clientWidth && document.documentElement.scrollWidth <= innerWidth; }"
        )
        inside = "box => box.scrollWidth <= box.clientWidth + 1"
        assert drawing(tab).locator(".network").evaluate(inside), width


@pytest.fixture
def easy(server: Server) -> str:
    """Images that brightness tells apart."""
    folder = server.data / "easy"
    folder.mkdir()
    rng, lines = np.random.default_rng(0), ["path,label,split"]
    for i in range(60):
        label, side = ("normal", "pneumonia", "covid19")[i % 3], 64
        pixels = rng.integers(0, 40, (side, side)) + 90 * (i % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{label},{'val' if i >= 48 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return str(folder)


def test_a_learning_rate_is_found_and_taken_over(tab: Tab, easy: str) -> None:
    page = tab.page
    form(tab, data=easy, weights="none", image_size=64, head=[16], dropout=0, batch_size=8, lr=0.7)
    page.locator(".st-key-new_find_lr button").first.click()
    box = page.locator(".st-key-new_lr_range")
    box.get_by_role("button", name="Try the rates").click()
    expect(box.locator("svg[role=img]")).to_be_visible()  # grows while the rates are tried
    expect(box.get_by_role("status")).to_have_text(re.compile("^Suggested: "))
    use = box.get_by_role("button", name=re.compile("^Use "))
    rate = float(use.inner_text().removeprefix("Use "))
    assert 1e-3 < rate < 0.7
    use.click()
    in_link(tab, "lr", rate)
    expect(page.get_by_role("textbox", name="Learning rate, typed")).to_have_value(re.compile(r"^[\de.-]+$"))
