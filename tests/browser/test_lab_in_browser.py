"""The Live lab in a real browser with the real compute worker, against the same heads trained here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from driver import Server, Tab
from playwright.sync_api import expect

from covidviz.config import TrainConfig
from covidviz.data.manifest import load_manifest
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.metrics import classification_metrics, confusion
from covidviz.store.runs import list_run_dirs
from covidviz.ui import components

# With these, three learning rates give three different matrices.
START = {"weights": "none", "image_size": 64, "head": [], "dropout": 0.0}
MATHS = "lab_maths.js"


@dataclass
class Oracle:
    """What the lab has to show: the same heads, trained in this process on the same caches."""

    data: str

    def __post_init__(self) -> None:
        self.features: Any = None

    def prob(self, **settings: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """Probabilities and 0/1 labels of the validation images, and the config."""
        from covidviz.training import lab

        config = TrainConfig.parse({"data": self.data, **START, **settings})
        config = config.resolve(load_manifest(self.data).classes)
        if self.features is None:
            self.features = lab.open_lab(config, lambda *_: None)
        epochs = [epoch for epoch in lab.train(self.features, config) if epoch is not None]
        best = [epoch for epoch in epochs if epoch.best][-1]
        return best.prob, self.features.splits["val"].labels, config

    def matrix(self, **settings: Any) -> list[list[int]]:
        prob, labels, config = self.prob(**settings)
        return confusion(prob, labels, config.classes, config.task)["matrix"]


@pytest.fixture(scope="module")
def oracle(server: Server, tiny_phantoms: Path) -> Oracle:
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(server.cache))
        oracle = Oracle(str(data))
        oracle.prob()
    return oracle


def opened(tab: Tab, oracle: Oracle, **settings: Any) -> Any:
    """The page with these settings, when its first answer is drawn."""
    tab.open(f"/lab?s={quote(json.dumps({'data': oracle.data, **START, **settings}))}")
    shows(tab, oracle.matrix(**{k: v for k, v in settings.items() if k != "threshold"}))
    return tab.page


def counts(tab: Tab) -> list[list[int]]:
    rows = tab.page.locator(".matrix tbody tr")
    return [[int(text) for text in row.locator("td b").all_inner_texts()] for row in rows.all()]


def changes(tab: Tab) -> list[list[int]]:
    rows = [row.locator(".change").all_inner_texts() for row in tab.page.locator(".matrix tbody tr").all()]
    return [[int(text.replace("−", "-")) if text else 0 for text in row] for row in rows]


def shows(tab: Tab, matrix: list[list[int]]) -> None:
    """Wait until this matrix is drawn and nothing more is on its way."""
    cells = tab.page.locator(".lab[aria-busy=false]:not(.opening) .matrix tbody td b")
    expect(cells).to_have_text([str(n) for row in matrix for n in row])


def in_link(tab: Tab, name: str, value: Any) -> None:
    tab.page.wait_for_function(
        "([name, value]) => { const s = JSON.parse(new URLSearchParams(location.search).get('s'));"
        " return JSON.stringify(s[name] ?? null) === JSON.stringify(value); }",
        arg=[name, value],
    )


def slide(tab: Tab, name: str, *positions: float) -> None:
    """What a drag over these positions tells the page, let go at the last one."""
    tab.page.locator(f"#lab-{name}").evaluate(
        """async (slider, positions) => {
          const tell = (kind) => slider.dispatchEvent(new Event(kind, { bubbles: true }));
          for (const position of positions) {
            slider.value = position;
            tell("input");
            await new Promise(requestAnimationFrame);
          }
          tell("change");
        }""",
        list(positions),
    )


def questions(tab: Tab) -> list[str]:
    """The kinds that the page asks for from now on, as they come."""
    asked: list[str] = []
    tab.page.on("request", lambda r: asked.append(json.loads(r.post_data)["kind"]) if r.method == "POST" else None)
    return asked


def difference(one: list[list[int]], other: list[list[int]]) -> list[list[int]]:
    return (np.array(one) - np.array(other)).tolist()


def test_a_slider_retrains_and_shows_what_changed(tab: Tab, oracle: Oracle) -> None:
    page, before, after = opened(tab, oracle), oracle.matrix(), oracle.matrix(lr=1e-3)
    assert before != after
    assert page.locator(".matrix .change:not(:empty)").count() == 0
    slide(tab, "lr", -2.5, -3)
    shows(tab, after)
    assert changes(tab) == difference(after, before)
    prob, labels, config = oracle.prob(lr=1e-3)
    values = classification_metrics(prob, labels, config.classes, config.task)
    expect(page.locator(".score b")).to_have_text(
        [f"{values[k]:.3f}" for k in ("accuracy", "macro_f1", "recall_covid19")]
    )
    n = int(labels[:, 0].sum())
    low, high = wilson(round(values["recall_covid19"] * n), n)
    expect(page.locator(".score.critical small")).to_have_text(f"95 %: {low:.2f} to {high:.2f}, n = {n}")
    old = oracle.prob()[0].argmax(1)
    new, truth = prob.argmax(1), labels.argmax(1)
    fixed, broken = int(((old != truth) & (new == truth)).sum()), int(((old == truth) & (new != truth)).sum())
    expect(page.locator(".flips-head .fixed")).to_have_text(f"✓ {fixed} fixed")
    expect(page.locator(".flips-head .broken")).to_have_text(f"✕ {broken} broken")
    expect(page.locator(".tile")).to_have_count(int((old != new).sum()))
    page.wait_for_function(
        "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.tiles')).find(Boolean)"
        "?.querySelectorAll('img').values().every((i) => i.complete && i.naturalWidth > 0)"
    )
    expect(page.locator(".against")).to_have_text("Compared with: Learning rate 0.01")
    in_link(tab, "lr", 0.001)


def test_the_threshold_needs_no_request(tab: Tab, oracle: Oracle) -> None:
    opened(tab, oracle)
    prob, labels, _ = oracle.prob()
    threshold = round(float(np.quantile(prob[:, 0], 0.25)), 2)
    others = prob.copy()
    others[:, 0] = -1
    said = np.where(prob[:, 0] >= threshold, 0, others.argmax(1))
    expected = (labels.T @ np.eye(3, dtype=int)[said]).tolist()
    assert expected != oracle.matrix()
    asked = questions(tab)
    tab.page.get_by_label("Threshold, typed").fill(f"{threshold}")
    tab.page.get_by_label("Threshold, typed").press("Enter")
    shows(tab, expected)
    assert changes(tab) == difference(expected, oracle.matrix())
    in_link(tab, "threshold", threshold)
    assert asked == []
    tab.page.get_by_label("Threshold, typed").fill("off")
    tab.page.get_by_label("Threshold, typed").press("Enter")
    shows(tab, oracle.matrix())


def test_a_pinned_setting_is_what_all_is_compared_with(tab: Tab, oracle: Oracle) -> None:
    page, pinned, second, third = opened(tab, oracle), oracle.matrix(), oracle.matrix(lr=1e-3), oracle.matrix(lr=1e-5)
    page.get_by_role("button", name="Pin", exact=True).click()
    slide(tab, "lr", -3)
    shows(tab, second)
    slide(tab, "lr", -5)
    shows(tab, third)
    assert changes(tab) == difference(third, pinned)
    expect(page.locator(".against")).to_contain_text("Pinned: Learning rate 0.01")
    page.locator(".unpin").click()
    expect(page.locator(".against")).to_have_text("Compared with: Learning rate 0.001")
    assert changes(tab) == difference(third, second)


def test_a_setting_that_diverges_keeps_the_last_good_state(tab: Tab, oracle: Oracle) -> None:
    page = opened(tab, oracle)

    def diverge(route: Any) -> None:
        body = json.loads(route.request.post_data)
        if body["kind"] != "lab" or body["config"]["lr"] < 10:
            route.continue_()
            return
        events = [{"event": "queued"}, {"event": "error", "message": "the loss became NaN at step 2", "diverged": True}]
        route.fulfill(body="".join(json.dumps(event) + "\n" for event in events), content_type="application/x-ndjson")

    page.route("**/lab", diverge)
    asked = questions(tab)
    slide(tab, "lr", 1)
    expect(page.get_by_role("alert")).to_contain_text("The loss became NaN at step 2. Diverged: below is the last good")
    expect(page.locator(".lab")).to_have_class(re.compile("failed"))
    assert counts(tab) == oracle.matrix()
    in_link(tab, "lr", 10)
    tab.idle()
    assert asked == ["lab"]  # the page's script does not have it tried again
    slide(tab, "lr", -3)
    shows(tab, oracle.matrix(lr=1e-3))
    expect(page.locator(".message")).to_be_empty()
    assert changes(tab) == difference(oracle.matrix(lr=1e-3), oracle.matrix())


def test_after_an_error_it_goes_on(tab: Tab, oracle: Oracle) -> None:
    page = opened(tab, oracle)
    line = json.dumps({"event": "error", "message": "<b>the worker died</b>"}) + "\n"
    page.route("**/lab", lambda route: route.fulfill(body=line), times=1)
    slide(tab, "lr", -3)
    expect(page.get_by_role("alert")).to_contain_text("<b>the worker died</b>")  # as text
    assert counts(tab) == oracle.matrix()
    page.get_by_role("button", name="Try again").click()
    shows(tab, oracle.matrix(lr=1e-3))
    page.route("**/lab", lambda route: route.fulfill(body='{"event": "queued"}\n'), times=1)
    slide(tab, "lr", -5)
    expect(page.get_by_role("alert")).to_contain_text("cut off")
    slide(tab, "lr", -2)
    shows(tab, oracle.matrix())


def test_dragging_fast_leaves_the_last_setting(tab: Tab, oracle: Oracle) -> None:
    opened(tab, oracle)
    path = [*np.linspace(-2, 0, 41), *np.linspace(0, -5, 101)]
    slide(tab, "lr", *(round(float(position), 2) for position in path))
    shows(tab, oracle.matrix(lr=1e-5))
    assert changes(tab) == difference(oracle.matrix(lr=1e-5), oracle.matrix())  # against where the drag began
    in_link(tab, "lr", 1e-5)


def test_keys_move_a_slider_and_the_link_survives_a_reload(tab: Tab, oracle: Oracle) -> None:
    page = opened(tab, oracle)
    page.get_by_label("Learning rate", exact=True).focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    shows(tab, oracle.matrix(lr=1e-3))
    in_link(tab, "lr", 0.001)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.ariaLabel") == "Momentum, typed"
    page.reload()
    tab.idle()
    shows(tab, oracle.matrix(lr=1e-3))
    expect(page.get_by_label("Learning rate, typed")).to_have_value("0.001")
    page.go_back()
    shows(tab, oracle.matrix())
    expect(page.get_by_label("Learning rate, typed")).to_have_value("0.01")


def test_what_is_typed_is_checked(tab: Tab, oracle: Oracle) -> None:
    page = opened(tab, oracle)
    box = page.get_by_label("Learning rate, typed")
    for wrong in ("0", "-1", "11", "x"):
        box.fill(wrong)
        box.press("Enter")
        assert not box.evaluate("box => box.checkValidity()")
    box.fill("1e-3")
    box.press("Enter")
    shows(tab, oracle.matrix(lr=1e-3))
    page.locator("#lab-loss").select_option("focal")
    expect(page.get_by_label("Focal gamma", exact=True)).to_be_visible()
    expect(page.get_by_label("Weight rare labels up")).to_be_disabled()
    shows(tab, oracle.matrix(lr=1e-3, loss="focal"))
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_label("Focal gamma", exact=True)).to_be_hidden()
    expect(box).to_have_value("0.01")


def test_a_sweep_along_a_slider(tab: Tab, oracle: Oracle) -> None:
    page = opened(tab, oracle)
    page.get_by_label("What if: which slider").select_option("lr")
    points = page.locator(".points .point:visible")
    expect(points).to_have_count(16)
    prob, labels, config = oracle.prob(lr=1e-3)
    value = classification_metrics(prob, labels, config.classes, config.task)["macro_f1"]
    point = page.get_by_role("button", name=f"Learning rate 0.001: macro F1 {value:.3f}")
    point.click()
    shows(tab, oracle.matrix(lr=1e-3))
    expect(page.get_by_label("Learning rate, typed")).to_have_value("0.001")
    expect(points).to_have_count(16)  # its own slider does not start it again
    asked = questions(tab)
    page.get_by_label("What if: which slider").select_option("threshold")
    expect(points).to_have_count(24)
    assert asked == []


def test_stop_and_go_on(open_tab: Callable[..., Tab], oracle: Oracle) -> None:
    tab = open_tab()
    page = tab.page
    page.route("**/lab", lambda route: None if route.request.method == "POST" else route.continue_())  # never answered
    tab.open(f"/lab?s={quote(json.dumps({'data': oracle.data, **START}))}")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").filter(has_text="Stopped")).to_be_visible()
    page.unroute("**/lab")
    page.get_by_role("button", name="Compute them").click()
    shows(tab, oracle.matrix())


def test_make_it_a_run_and_open_in_new_run(tab: Tab, oracle: Oracle, server: Server) -> None:
    page = opened(tab, oracle, lr=1e-3, threshold=0.9)
    page.get_by_role("button", name="Make it a run").dblclick()
    toast = page.get_by_test_id("stToast").get_by_role("link", name="Look at it")
    expect(toast).to_be_visible()
    (run_dir,) = list_run_dirs(server.runs)
    assert (toast.get_attribute("href") or "").endswith(f"run?run={run_dir.name}")
    config = json.loads((run_dir / "config.json").read_text())
    assert {name: config[name] for name in START} == START
    assert (config["data"], config["lr"], config["model"]) == (oracle.data, 1e-3, "resnet18")
    page.get_by_role("button", name="Open in New run").click()
    page.wait_for_url("**/new_run?**")
    given = json.loads(tab.query()["s"])
    assert given == {"data": oracle.data, **START, "lr": 1e-3}


def test_it_fits_on_a_projector_and_a_phone(open_tab: Callable[..., Tab], oracle: Oracle) -> None:
    tab = open_tab()
    page = opened(tab, oracle)
    slide(tab, "lr", -3)
    shows(tab, oracle.matrix(lr=1e-3))
    for part in (".matrix", ".curves", ".flips", ".sweep", ".controls"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 720, part
    phone = open_tab(viewport={"width": 390, "height": 844})
    opened(phone, oracle)
    assert not phone.overflows()


def test_the_numbers_are_those_of_the_evaluation(chromium: Any) -> None:
    page = chromium.new_page()
    page.evaluate(f"{components.text(MATHS)}; Object.assign(window, {{ verdictsOf, confusionOf, scoresOf, wilsonOf }})")
    rng = np.random.default_rng(0)
    for classes in (2, 3, 5):
        prob = rng.dirichlet(np.ones(classes), 50).round(1)  # with equals
        labels = np.eye(classes, dtype=int)[rng.integers(0, classes, 50)]
        names = [f"c{i}" for i in range(classes)]
        cells = page.evaluate(
            "([prob, truth, n]) => confusionOf(truth, verdictsOf(prob, 0, null), n)",
            [prob.tolist(), labels.argmax(1).tolist(), classes],
        )
        assert cells == confusion(prob, labels, names, "single-label")["matrix"]
        scores = page.evaluate("(cells) => scoresOf(cells)", cells)
        values = classification_metrics(prob, labels, names, "single-label")
        found = [scores["accuracy"], scores["macro_f1"], *scores["recall"]]
        assert found == pytest.approx([values[k] for k in ("accuracy", "macro_f1", *(f"recall_{n}" for n in names))])
    for hits, n in ((0, 0), (0, 7), (3, 7), (7, 7), (90, 91)):
        assert page.evaluate("([k, n]) => wilsonOf(k, n)", [hits, n]) == pytest.approx(wilson(hits, n))
    page.close()
