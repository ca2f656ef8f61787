"""axe-core on every page in both themes, and the keyboard's way through them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from driver import Server, Tab
from synthetic import write_synthetic_run

from covidviz.store.reader import Run

IN_DARK = """() => getComputedStyle(document.querySelector('[data-testid="stApp"]')).colorScheme === 'dark'"""


@pytest.fixture(scope="module")
def run(server: Server, tiny_phantoms: Path) -> Run:
    """A finished run on phantoms, beside a running and a failed one."""
    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    finished = Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data))
    for i, state in ((2, "failed"), (3, "stopped")):
        write_synthetic_run(server.runs, i, state=state)
    return finished


def run_data(run: Run) -> str:
    config = run.config()
    assert config is not None
    return config.data


def paths(run: Run) -> dict[str, str]:
    return {
        "runs": "/",
        "run": f"/run?run={run.id}&split=val&cell=0-0",
        "thresholds": f"/run?run={run.id}&view=thresholds&t=0.3",
        "calibration": f"/run?run={run.id}&view=calibration",
        "images": f"/images?run={run.id}&split=val",
        "new run": "/new_run",
        "lab": f"/lab?s={quote(json.dumps({'data': run_data(run), 'weights': 'none', 'image_size': 64}))}",
        "lesson": "/lessons?lesson=4&step=reveal",
        "compare": f"/compare?runs={run.id}",
        "focal": "/focal",
        "mistakes": f"/focal?view=mistakes&run={run.id}",
        "recipes": "/recipes?report=msds19043",
        "system": "/system",
    }


def test_no_serious_violation(tab: Tab, run: Run) -> None:
    fast = tab.page.context.new_cdp_session(tab.page)
    fast.send("Animation.enable")
    fast.send("Animation.setPlaybackRate", {"playbackRate": 1000})  # no colours between two themes
    found = []
    for name, path in paths(run).items():
        tab.page.emulate_media(color_scheme="light")
        tab.open(path)
        tab.page.wait_for_load_state("networkidle")
        found += [f"{name}: {said}" for said in tab.severe()]
        tab.page.emulate_media(color_scheme="dark")
        tab.page.wait_for_function(IN_DARK)
        tab.idle()
        found += [f"{name}, dark: {said}" for said in tab.severe("color-contrast")]  # all else is the same in both
    assert not found, "\n".join(found)
