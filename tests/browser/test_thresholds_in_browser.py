"""Thresholds on the Run page in a real browser: what it computes by itself, and what is kept."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.evaluation.metrics import confusion, predicted
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.evaluation.thresholds import cheapest, choices, counts_at
from covidviz.store.reader import Run
from covidviz.store.thresholds import read_thresholds
from covidviz.ui import components
from covidviz.ui.results import results

MATHS = "thresholds_maths.js"
SLIDER = ".st-key-thresholds input.t"


@pytest.fixture(scope="module")
def finished(server: Server, tiny_phantoms: Path) -> Run:
    """A finished run with images."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    return Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data, name="plain"))


def open_thresholds(tab: Tab, run: Run, **params: str) -> Any:
    tab.open(f"/run?run={run.id}&view=thresholds" + "".join(f"&{key}={value}" for key, value in params.items()))
    tab.page.locator(".st-key-thresholds .thresholds[data-drawn]").wait_for()
    return tab.page


def drag(page: Any, value: float) -> None:
    """The thumb is held at `value`."""
    page.locator(SLIDER).evaluate(
        "(t, v) => { t.value = v; t.dispatchEvent(new Event('input', {bubbles: true})) }", value
    )


def let_go(page: Any) -> None:
    page.locator(SLIDER).evaluate("t => t.dispatchEvent(new Event('change', {bubbles: true}))")


def ruled(run: Run, split: str, k: int, threshold: float | None) -> tuple[np.ndarray, list[list[int]]]:
    """One-hot decisions with a threshold of class `k`, and their confusion matrix."""
    found = results(run)
    assert found is not None
    rows = found.frame[found.frame["split"] == split]
    prob, labels = prob_of(rows, found.classes), labels_of(rows, found.classes)
    said = prob.copy()
    if threshold is not None:
        said[:, k] = np.where(prob[:, k] >= threshold, 2, -1)
    return said, confusion(said, labels, found.classes, "single-label")["matrix"]


def expect_matrix(page: Any, matrix: list[list[int]]) -> None:
    cells = page.locator(".st-key-thresholds .matrix tbody td b")
    expect(cells).to_have_text([str(count) for row in matrix for count in row])


def test_what_the_browser_computes_is_what_the_evaluation_says(chromium: Any) -> None:
    page = chromium.new_page()
    names = "sideOf, cellsAt, cheapestOf, oneAgainstRest, measuresOf, changesAt"
    page.evaluate(f"{components.text(MATHS)}; Object.assign(window, {{ {names} }})")
    rng = np.random.default_rng(0)
    for c, single in ((2, True), (3, True), (5, True), (3, False), (1, False)):
        n, task = 60, "single-label" if single else "multi-label"
        prob = rng.dirichlet(np.ones(c), n) if single else rng.random((n, c))
        prob = prob.round(1).astype(np.float32)  # with equals, and at thresholds
        labels = np.eye(c, dtype=int)[rng.integers(0, c, n)] if single else rng.integers(0, 2, (n, c))
        page.evaluate(
            "([prob, truth, n, c, k, single]) => { window.side = sideOf({prob: Float32Array.from(prob), truth: "
            "Uint8Array.from(truth), n, c}, k, single) }",
            [prob.astype(float).ravel().tolist(), labels.ravel().tolist(), n, c, c - 1, single],
        )
        classes = [f"c{i}" for i in range(c)]
        trained = predicted(prob, task)
        for threshold in (None, 0.0, 0.1, 0.2, 0.3, 0.55, 0.7, float(np.float32(0.7)), 1.0):
            cells = page.evaluate("t => cellsAt(side, t)", threshold)
            if single:
                said = prob.astype(float)
                if threshold is not None:
                    said[:, c - 1] = np.where(said[:, c - 1] >= threshold, 2, -1)
                assert cells == confusion(said, labels, classes, task)["matrix"]
                now = predicted(said, task)
            else:
                counts = counts_at(prob, labels, [0.5 if threshold is None else threshold])
                tp, fp, fn, tn = (int(getattr(counts, kind)[0, c - 1]) for kind in ("tp", "fp", "fn", "tn"))
                assert cells == [[tp, fn], [fp, tn]]
                now = trained.copy()
                now[:, c - 1] = prob[:, c - 1].astype(float) >= (0.5 if threshold is None else threshold)
            own = c - 1 if single else 0
            shares = page.evaluate("([cells, own]) => measuresOf(oneAgainstRest(cells, own))", [cells, own])
            true, said_so = labels[:, c - 1] == 1, now[:, c - 1] == 1
            assert shares["recall"] == [int((true & said_so).sum()), int(true.sum())]
            assert shares["precision"] == [int((true & said_so).sum()), int(said_so.sum())]
            assert shares["specificity"] == [int((~true & ~said_so).sum()), int((~true).sum())]
            columns = slice(None) if single else slice(c - 1, c)
            was_right = (trained[:, columns] == labels[:, columns]).all(1)
            is_right = (now[:, columns] == labels[:, columns]).all(1)
            changed = page.evaluate("t => changesAt(side, t, 1000)", threshold)
            moved = (trained[:, columns] != now[:, columns]).any(1)
            assert sorted(changed["fixed"]["at"]) == np.flatnonzero(~was_right & is_right).tolist()
            assert sorted(changed["broken"]["at"]) == np.flatnonzero(was_right & ~is_right).tolist()
            assert changed["other"]["n"] == int((moved & ~was_right & ~is_right).sum())
            few = page.evaluate("t => changesAt(side, t, 2)", threshold)
            for kind in ("fixed", "broken", "other"):
                assert few[kind] == {"n": changed[kind]["n"], "at": changed[kind]["at"][:2]}
        among = choices(prob[:, c - 1], labels[:, c - 1])
        for ratio in (0.02, 0.2, 1, 3, 100):
            lists = {"t": among.thresholds.tolist(), "fp": among.fp.tolist(), "fn": among.fn.tolist()}
            assert page.evaluate("([a, r]) => cheapestOf(a, r)", [lists, ratio]) == cheapest(among, ratio)
    page.close()


def test_a_threshold_is_dragged_saved_and_frozen_on_test(tab: Tab, finished: Run) -> None:
    page = open_thresholds(tab, finished)
    expect_matrix(page, ruled(finished, "val", 0, None)[1])
    tab.idle()
    sent = tab.frames
    for value in (0.6, 0.35, 0.2):
        drag(page, value)
        page.locator(f".thresholds[data-drawn^='{value} ']").wait_for()
        expect_matrix(page, ruled(finished, "val", 0, value)[1])
    assert tab.frames == sent  # all of it in the browser
    said, _ = ruled(finished, "val", 0, 0.2)
    before, _ = ruled(finished, "val", 0, None)
    flipped = int((said.argmax(1) != before.argmax(1)).sum())
    assert flipped > 0
    expect(page.locator(".st-key-thresholds .tiles li")).to_have_count(flipped)
    let_go(page)
    expect(page).to_have_url(re.compile(r"k=covid19&t=0\.2"))
    page.get_by_role("button", name="Save threshold").click()
    expect(page.get_by_text("Threshold saved with the run")).to_be_visible()
    expect(page.get_by_role("button", name="Saved", exact=True)).to_be_disabled()
    assert read_thresholds(finished.dir)["covid19"].value == 0.2

    page.locator(".st-key-split").get_by_text("Test").click()
    expect(page.locator(".st-key-thresholds .frozen")).to_contain_text("Chosen on the validation images and saved")
    expect(page.locator(SLIDER)).to_be_disabled()
    expect_matrix(page, ruled(finished, "test", 0, 0.2)[1])

    page = open_thresholds(tab, finished)  # a new visit, without the threshold in the link
    expect_matrix(page, ruled(finished, "val", 0, 0.2)[1])
    page.get_by_role("button", name="As trained").click()
    page.get_by_role("button", name="Forget the saved one").click()
    expect(page.get_by_text("The saved threshold is forgotten")).to_be_visible()
    assert read_thresholds(finished.dir) == {}


def test_a_cost_chooses_the_cheapest_threshold(tab: Tab, finished: Run) -> None:
    page = open_thresholds(tab, finished)
    cost = page.get_by_role("slider", name="A miss costs")
    cost.focus()
    for _ in range(3):  # from 1 to 5
        page.keyboard.press("ArrowRight")
    expect(page.locator(".st-key-thresholds .ratio")).to_have_text("5 false alarms")
    found = results(finished)
    assert found is not None
    rows = found.frame[found.frame["split"] == "val"]
    among = choices(prob_of(rows, found.classes)[:, 0].astype(np.float32), labels_of(rows, found.classes)[:, 0])
    expected = float(among.thresholds[cheapest(among, 5)])
    expect(page).to_have_url(re.compile(rf"t={re.escape(repr(expected))}&cost=5\.0"))
    expect_matrix(page, ruled(finished, "val", 0, expected)[1])
    number = page.get_by_role("spinbutton", name="Threshold, as a number")
    number.fill("7")  # no threshold: nothing moves
    expect_matrix(page, ruled(finished, "val", 0, expected)[1])
    number.fill("0.4")
    number.press("Tab")
    expect(page).not_to_have_url(re.compile("cost="))
    expect_matrix(page, ruled(finished, "val", 0, 0.4)[1])
    page.locator(".st-key-threshold_class").get_by_text("normal", exact=True).click()
    rule = page.locator(".st-key-thresholds .rule")
    expect(rule).to_contain_text("As trained")
    assert not tab.overflows()
    tab.idle()
    page.locator(".st-key-threshold_class").get_by_text("covid19", exact=True).click()
    expect(rule).to_contain_text("at least 0.4")  # what was chosen before
    expect(page).to_have_url(re.compile(r"t=0\.4"))
    page.go_back()
    expect(rule).to_contain_text("As trained")
    page.go_back()
    expect(rule).to_contain_text("at least 0.4")


def test_an_image_that_changed_side_is_opened(tab: Tab, finished: Run) -> None:
    page = open_thresholds(tab, finished, k="covid19", t="0.1")
    tile = page.locator(".st-key-thresholds button.tile").first
    sample = tile.get_attribute("data-id")
    tile.click()
    expect(page).to_have_url(re.compile(f"/images.*img={sample}"))
