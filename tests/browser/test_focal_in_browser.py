"""The Focal loss page in a real browser: what it computes by itself is what the evaluation says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import Server, Tab
from explored import with_weights
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.evaluation import batch_focal
from covidviz.evaluation.loss_curves import Shape, class_balanced, focal, gradient, loss, said_for, shares, true_at
from covidviz.evaluation.mistakes import softmax_twice
from covidviz.store.reader import Run
from covidviz.ui import components
from covidviz.ui.focal.sources import built_in


@pytest.fixture(scope="module")
def finished(server: Server, tiny_phantoms: Path) -> Run:
    """A finished run with images and weights of a network that has learned nothing."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    settings = {"weights": "none", "model": "mobilenet_v3_small", "image_size": 64, "precision": "fp32"}
    return with_weights(Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data, name="plain", **settings)))


def numbers_of(*values: float) -> str:
    """How the page says what it drew."""
    return "[" + ",".join(f"{round(value, 6):g}" for value in values)


def move(tab: Tab, part: str, name: str, place: float, kind: str = "input") -> None:
    """A slider is held, or with `change` let go."""
    tab.page.locator(f"{part} {name}").evaluate(
        "(s, [v, kind]) => { s.value = v; s.dispatchEvent(new Event(kind, {bubbles: true})) }", [place, kind]
    )


def test_what_the_browser_computes_is_what_the_evaluation_says(chromium: Any) -> None:
    page = chromium.new_page()
    names = "shapeOf, lossAt, pullAt, trueAt, saidFor, sharesOf, batchValue, batchSlope, batchMinimum, batchDescent"
    page.evaluate(f"{components.text('focal_maths.js')}; Object.assign(window, {{ {names} }})")
    p = [0.001, 0.03, 0.05, 0.2, 0.5, 0.8, 0.97, 0.9999]
    sliders = {"gamma": 1.5, "alpha": 0.25, "gamma_pos": 0.5, "gamma_neg": 3, "clip": 0.05, "yes": 30, "no": 500}
    rng = np.random.default_rng(0)
    said, has = rng.random(200), rng.integers(0, 2, 200)
    shapes = {"focal": focal(1.5, 0.25), "asymmetric": Shape(0.5, 3, clip=0.05)}
    shapes["class_balanced"] = class_balanced(30, 500)
    for name, shape in shapes.items():
        found = page.evaluate(
            """([s, ps, said, label]) => { const shape = shapeOf(s); return {
              loss: [true, false].map((y) => ps.map((p) => lossAt(shape, p, y))),
              pull: [true, false].map((y) => ps.map((p) => pullAt(shape, p, y))),
              true: ps.map((p) => trueAt(shape, p)), said: ps.map((p) => saidFor(shape, p)),
              shares: sharesOf(shape, said, label, s.yes, s.no) } }""",
            [{**sliders, "loss": name}, p, said.tolist(), (1 - has).tolist()],
        )
        for i, yes in enumerate((1, 0)):
            np.testing.assert_allclose(found["loss"][i], loss(shape, p, yes), rtol=1e-9, atol=1e-14)
            np.testing.assert_allclose(found["pull"][i], gradient(shape, p, yes), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(found["true"], true_at(shape, p), rtol=1e-9)
        np.testing.assert_allclose(found["said"], said_for(shape, p), rtol=1e-9)
        expected = shares(shape, said, has, 30, 500)
        assert (found["shares"]["loss"], found["shares"]["pull"]) == pytest.approx((expected.loss, expected.gradient))
    for gamma in (0.3, 2.0, 5.0):
        b = [0.01, 0.3, 0.519, 1.7]
        found = page.evaluate(
            "([b, g]) => [b.map((x) => batchValue(x, g)), b.map((x) => batchSlope(x, g))]", [b, gamma]
        )
        np.testing.assert_allclose(found, [batch_focal.value(b, gamma), batch_focal.slope(b, gamma)], rtol=1e-9)
        assert page.evaluate("g => batchMinimum(g)", gamma) == pytest.approx(batch_focal.minimum(gamma))
        path = page.evaluate("g => batchDescent(.2, g, .5, 60)", gamma)
        np.testing.assert_allclose(path, batch_focal.descent(0.2, gamma, 0.5, 60), rtol=1e-7)
    text = components.text("sandbox.js")
    parts = "\n".join(re.findall(r"^const twice\w+ = .*?^};?$|^const twiceLoss.*$", text, re.M | re.S))
    page.evaluate(f"{parts}; Object.assign(window, {{ twiceLoss, twicePull }})")
    for k in (2, 3, 9):
        found = page.evaluate("([ps, k]) => [ps.map((p) => twiceLoss(p, k)), ps.map((p) => twicePull(p, k))]", [p, k])
        np.testing.assert_allclose(found, softmax_twice(p, k), rtol=1e-9)
    page.close()


def test_a_drag_is_answered_in_the_browser_and_ends_in_the_link(tab: Tab, finished: Run) -> None:
    tab.open("/focal?from=untrained")
    tab.page.locator(".focal[data-drawn]").wait_for()
    why = tab.page.locator(".focal .why")
    expect(why).to_contain_text("less, not more")
    sent, source = tab.frames, built_in("untrained")
    numbers = source.made_up
    assert numbers is not None
    p, truth = (np.array(numbers[key]).reshape(numbers["n"], numbers["c"])[:, 0] for key in ("prob", "truth"))
    for place, alpha in ((14, 0.7), (15, 0.75)):
        move(tab, ".focal", "#lab-alpha", place)
        expected = shares(focal(2.0, alpha), p, truth, 200, 6000)
        want = (expected.loss, expected.gradient, float(true_at(focal(2.0, alpha), 0.5)))
        expect(tab.page.locator(f".focal[data-drawn^='{numbers_of(*want)}']")).to_be_visible()
    assert tab.frames == sent  # all of it in the browser
    expect(why).to_contain_text("heard more")
    move(tab, ".focal", "#lab-alpha", 15, "change")
    expect(tab.page).to_have_url(re.compile(r"f=.*alpha.*0\.75"))
    tab.idle()
    tab.page.locator(".st-key-focal_class").get_by_text("normal", exact=True).click()
    expect(why).to_contain_text("without normal")
    assert json.loads(tab.query()["f"]) == {"alpha": 0.75}
    assert not tab.overflows()


def test_below_the_minimum_the_steps_lead_up(tab: Tab) -> None:
    tab.open("/focal?view=batch")
    part = ".batch"
    tab.page.locator(f"{part}[data-drawn]").wait_for()
    path = batch_focal.descent(0.3, 2.0, 0.3, 200)
    move(tab, part, ".step", 120)
    expect(tab.page.locator(f"{part}[data-drawn^='120 {path[120]:.6f}']")).to_be_visible()
    expect(tab.page.locator(f"{part} .why")).to_contain_text("least at B = .519")
    expect(tab.page.locator(f"{part} .readout")).to_contain_text("raises B")
    tab.page.get_by_role("button", name="Play").click()
    expect(tab.page.locator(f"{part}[data-drawn^='200 ']")).to_be_visible()  # its end


def test_a_run_is_judged_with_mistakes(tab: Tab, finished: Run) -> None:
    tab.open(f"/focal?view=mistakes&run={finished.id}")
    page = tab.page
    page.get_by_role("checkbox", name="Wrong index").check()
    expect(page.locator(".sandbox .images")).to_contain_text("shown as the worst")
    page.get_by_role("checkbox", name="Softmax before cross-entropy").check()
    expect(page.locator(".sandbox .twice")).to_contain_text("between .551")
    page.get_by_role("checkbox", name="Validation in train mode").check()
    expect(page.locator(".sandbox[data-drawn^='train-mode:5']")).to_be_visible()
    expect(page.locator(".sandbox .matrices .matrix")).to_have_count(2)
    expect(page.locator(".sandbox .said")).to_contain_text("instead of")
    page.get_by_role("checkbox", name="Validation in train mode").uncheck()
    expect(page.locator(".sandbox .matrices .matrix")).to_have_count(0)
    assert not tab.overflows()
