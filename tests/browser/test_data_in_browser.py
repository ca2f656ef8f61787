"""The Data page in a real browser: lines that open, pairs side by side and larger, a check that ends by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from driver import Server, Tab
from explored import finished_run, make_dataset
from playwright.sync_api import expect
from reported import report

from covidviz.data.doctor import Check
from covidviz.data.doctor.keep import load


@pytest.fixture(scope="module")
def data(server: Server) -> str:
    return str(make_dataset(server.data / "noise", n=36))


@pytest.fixture
def told(server: Server, data: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The dataset with a stored report: pairs, singles, a shortcut."""
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(server.cache))
    paths = load(data).samples["path"].tolist()
    pairs = [[a, b] for a, b in zip(paths[:12], paths[12:24], strict=True)]
    report(
        Path(data), "split",
        Check("near-duplicates", "bad", "12 pairs show the same radiograph.", "Scores on these say little.",
              "Keep one of each pair.", 12, list(pairs), {"rows": [{"correlation": 0.97}] * 12, "compared": 630}),
        Check("file-traits", "warn", "The size tells the class.",
              details={"auc": 0.86, "low": 0.84, "high": 0.88, "per_class": {"covid19": 0.95}, "model": None}),
        Check("odd-images", "note", "Four are dark.", n=4, samples=list(paths[30:34])),
        same=pairs,
    )  # fmt: skip
    return data


def lines(tab: Tab) -> Any:
    return tab.page.locator(".st-key-data_checks .line")


def head(tab: Tab, name: str) -> Any:
    return tab.page.locator(".st-key-data_checks").get_by_role("button", name=re.compile(name))


def in_link(tab: Tab, check: str | None) -> None:
    tab.page.wait_for_function("want => new URLSearchParams(location.search).get('check') === want", arg=check)


def test_a_line_opens_and_the_link_follows(tab: Tab, told: str) -> None:
    tab.open(f"/data?data={quote(told)}")
    expect(lines(tab)).to_have_count(12)
    first = head(tab, "The same radiograph in two versions")
    expect(first).to_have_attribute("aria-expanded", "false")
    expect(first).to_contain_text("problem")
    first.focus()
    tab.page.keyboard.press("Enter")
    expect(first).to_have_attribute("aria-expanded", "true")
    in_link(tab, "near-duplicates")
    tab.idle()
    expect(lines(tab).first.get_by_text("Keep one of each pair.")).to_be_visible()
    head(tab, "Class told by the file alone").click()
    in_link(tab, "file-traits")
    expect(first).to_have_attribute("aria-expanded", "false")
    expect(lines(tab).nth(1).locator(".bars .value").first).to_have_text("0.86 (0.84 to 0.88)")
    tab.idle()
    tab.page.go_back()
    in_link(tab, "near-duplicates")
    expect(first).to_have_attribute("aria-expanded", "true")
    first.click()
    in_link(tab, None)
    expect(lines(tab).locator(".panel")).to_have_count(0)


def test_pairs_side_by_side_more_of_them_and_larger(tab: Tab, told: str) -> None:
    tab.open(f"/data?data={quote(told)}&check=near-duplicates")
    groups = tab.page.locator(".st-key-data_checks .group")
    expect(groups).to_have_count(8)
    expect(groups.first.locator("img")).to_have_count(2)
    tab.page.wait_for_function(
        "() => { const host = document.querySelector('.st-key-data_checks'); const all = [];"
        " const look = (n) => { n.querySelectorAll('*').forEach((c) => { if (c.tagName === 'IMG') all.push(c);"
        " if (c.shadowRoot) look(c.shadowRoot); }); }; look(host);"
        " return all.length >= 16 && all.slice(0, 4).every((i) => i.naturalWidth > 0); }"
    )
    tab.page.get_by_role("button", name="Show 4 more").click()
    expect(groups).to_have_count(12)
    pair = groups.nth(1).get_by_role("button")
    pair.click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.locator("img")).to_have_count(2)
    tab.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(pair).to_be_focused()


def test_a_phone_has_room_for_it(open_tab: Any, told: str) -> None:
    tab = open_tab(viewport={"width": 390, "height": 844})
    tab.open(f"/data?data={quote(told)}&check=near-duplicates")
    expect(lines(tab)).to_have_count(12)
    assert not tab.overflows()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_violation(open_tab: Any, told: str, scheme: str) -> None:
    tab = open_tab(color_scheme=scheme)
    tab.open(f"/data?data={quote(told)}&check=near-duplicates")
    for name in ("The same radiograph in two versions", "Class told by the file alone"):
        if head(tab, name).get_attribute("aria-expanded") == "false":
            head(tab, name).click()
        expect(head(tab, name)).to_have_attribute("aria-expanded", "true")
        tab.page.wait_for_load_state("networkidle")
        assert tab.severe() == []


def test_new_run_links_to_what_was_found(tab: Tab, told: str) -> None:
    tab.open(f"/new_run?s={quote(json.dumps({'data': told}))}")
    tab.page.get_by_role("link", name="Leaks between splits").click()
    expect(tab.page.get_by_role("heading", name="What the data doctor says")).to_be_visible()
    tab.idle()
    assert tab.query()["data"] == told


def test_a_run_is_scored_again_with_one_click(tab: Tab, server: Server, told: str) -> None:
    run = finished_run(server.runs, Path(told))
    tab.open(f"/run?run={run.id}&split=test")
    part = tab.page.locator(".st-key-run_leaks")
    frame = pd.read_parquet(run.dir / "samples.parquet")
    split = dict(zip(frame["path"], frame["split"], strict=True))
    paths = load(told).samples["path"].tolist()
    pairs = zip(paths[:12], paths[12:24], strict=True)
    n = len({p for pair in pairs for p in pair if split[p] == "test" and "train" in {split[q] for q in pair}})
    assert 0 < n < 12
    expect(part).to_contain_text(f"{n} of 12 test images")
    part.get_by_text("Score without them").click()
    expect(part.get_by_role("columnheader", name=f"without them {12 - n}")).to_be_visible()
    expect(part.get_by_role("row", name=re.compile("^Accuracy"))).to_be_visible()


def test_a_check_runs_beside_and_shows_its_results_by_itself(tab: Tab, server: Server) -> None:
    fresh = make_dataset(server.data / "fresh", n=36)
    table = pd.read_csv(fresh / "labels.csv")
    test, train = (table.index[table["split"] == name] for name in ("test", "train"))
    table.loc[test[:3], "patient_id"] = table.loc[train[:3], "patient_id"].to_numpy()
    table.to_csv(fresh / "labels.csv", index=False)
    tab.open(f"/new_run?s={quote(json.dumps({'data': str(fresh)}))}")
    expect(tab.button("new_train")).to_be_enabled()
    light = tab.page.get_by_role("link", name="Leaks between splits")
    expect(light).to_be_visible()
    light.click()
    expect(head(tab, "Patients in more than one split")).to_contain_text("problem")
    tab.button("data_again").click()
    expect(tab.page.locator(".st-key-data_checks .line")).to_have_count(12)
    expect(tab.button("data_again")).to_be_visible()
