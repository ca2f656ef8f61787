"""Make the pictures in docs/ on phantoms, in a real browser: `python docs/screenshots.py` (some minutes).

Draws the small phantoms, trains one short run from scratch through the command line, starts the app and photographs
each page in light and dark at the size of a projector.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests/browser")]

from chromium import find_chromium
from driver import IDLE, Server
from playwright.sync_api import Page, sync_playwright

SETTINGS = [
    "--weights",
    "none",
    "--trainable",
    "all",
    "--image-size",
    "64",
    "--lr",
    "0.02",
    "--epochs",
    "8",
    "--schedule",
    "cosine",
]


def prepare(server: Server) -> str:
    """Phantoms and one finished run; returns its id."""
    environment = {**os.environ, "COVIDVIZ_RUNS_DIR": str(server.runs)}
    data = server.data / "phantoms-small"

    def covidviz(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "covidviz", *arguments], cwd=DOCS.parent, env=environment, check=True)

    covidviz("data", "phantoms", str(data), "--size", "small")
    covidviz("train", "--data", str(data), *SETTINGS)
    return next(path.name for path in server.runs.iterdir() if (path / "config.json").exists())


def photograph(page: Page, server: Server, run: str, suffix: str) -> None:
    """Each page once."""
    views = {
        "runs": "/",
        "new_run": "/new_run",
        "run": f"/run?run={run}&split=val&cell=0-2",
        "images": f"/images?run={run}&split=val&order=worst",
    }
    for name, path in views.items():
        page.goto(server.url + path)
        page.wait_for_function(IDLE)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)  # the curves and the lazily loaded pictures
        page.screenshot(path=DOCS / f"{name}{suffix}.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "app")
        run = prepare(server)
        server.start()
        browser = playwright.chromium.launch(executable_path=find_chromium())
        for scheme, suffix in (("light", ""), ("dark", "-dark")):
            context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
            photograph(context.new_page(), server, run, suffix)
        browser.close()
        server.end()


if __name__ == "__main__":
    main()
