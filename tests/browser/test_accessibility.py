"""axe-core on every page in both themes, and the keyboard's way through them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from driver import Server, Tab
from playwright.sync_api import expect
from synthetic import write_synthetic_run

from covidviz.store.reader import Run

PATHS = {
    "runs": "/",
    "run": "/run?run={run}&split=val&cell=0-0",
    "thresholds": "/run?run={run}&view=thresholds&t=0.3",
    "calibration": "/run?run={run}&view=calibration",
    "images": "/images?run={run}&split=val",
    "new run": "/new_run",
    "lab": "/lab?s={settings}",
    "lesson": "/lessons?lesson=4&step=reveal",
    "compare": "/compare?runs={run}",
    "focal": "/focal",
    "mistakes": "/focal?view=mistakes&run={run}",
    "recipes": "/recipes?report=msds19043",
    "system": "/system",
}
IN_DARK = """() => getComputedStyle(document.querySelector('[data-testid="stApp"]')).colorScheme === 'dark'"""


@pytest.fixture(scope="module")
def run(server: Server, tiny_phantoms: Path) -> Run:
    """A finished run on phantoms, beside a running and a failed one."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    finished = Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data))
    for i, state in ((2, "failed"), (3, "stopped")):
        write_synthetic_run(server.runs, i, state=state)
    return finished


@pytest.mark.parametrize("page", PATHS)
def test_no_serious_violation(tab: Tab, run: Run, page: str) -> None:
    fast = tab.page.context.new_cdp_session(tab.page)
    fast.send("Animation.enable")
    fast.send("Animation.setPlaybackRate", {"playbackRate": 1000})  # no colours between two themes
    config = run.config()
    assert config is not None
    settings = quote(json.dumps({"data": config.data, "weights": "none", "image_size": 64}))
    tab.page.emulate_media(color_scheme="light")
    tab.open(PATHS[page].format(run=run.id, settings=settings))
    tab.page.wait_for_load_state("networkidle")
    assert tab.severe() == []
    tab.page.emulate_media(color_scheme="dark")
    tab.page.wait_for_function(IN_DARK)
    tab.idle()
    assert tab.severe("color-contrast") == []  # all else is the same in both


def test_what_is_chosen_is_readable_under_the_mouse(tab: Tab, run: Run) -> None:
    tab.open(f"/images?run={run.id}&split=val")
    chosen = tab.page.locator("[role=radio][data-selected=true]").first
    chosen.hover()
    expect(chosen).to_have_attribute("data-hovered", "true")
    expect(chosen).to_have_css("background-color", re.compile(r"0\.2\)$"))
    assert tab.severe("color-contrast") == []
