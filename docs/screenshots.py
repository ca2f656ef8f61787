"""Make docs/gallery.md and its pictures on phantoms, in a real browser: `python docs/screenshots.py`.

Takes some minutes: draws the small phantoms, trains the three demo runs from scratch through the command line, starts
the app and photographs each page in light and dark at the size of a projector, and at the width of a phone.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

DOCS = Path(__file__).resolve().parent
GALLERY = DOCS / "gallery"
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests/browser")]

from chromium import find_chromium
from driver import IDLE, Server
from PIL import Image
from playwright.sync_api import Page, sync_playwright

SETTINGS = ["--weights", "none", "--trainable", "all", "--image-size", "64", "--epochs", "8", "--schedule", "cosine"]
RUNS = {"Learning rate 0.02": "0.02", "Learning rate 0.0001, too small": "0.0001", "Learning rate 1, too large": "1"}
LOOKS = {  # suffix: what the browser is
    "": {"viewport": {"width": 1280, "height": 720}, "color_scheme": "light"},
    "-dark": {"viewport": {"width": 1280, "height": 720}, "color_scheme": "dark"},
    "-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "has_touch": True},
}
DRAWN = ".lab[aria-busy=false]:not(.opening) .matrix[data-drawn]"
KNOWN = Path(os.environ.get("COVIDVIZ_TEST_DATA", "")) / "weights/resnet18_in1k_approx.pth"
LAB = {"weights": str(KNOWN) if KNOWN.is_file() else "none", "image_size": 128}
SAID = {
    "empty": "The start page before there is a run.",
    "runs": "All runs.",
    "new_run": "A new run: data, network, training.",
    "run": "One run: curves, the confusion matrix and the images of one of its cells.",
    "images": "The worst images, one of them large, with its heat maps.",
    "lab": "The live lab: the head is trained anew at each move of a slider.",
    "compare": "Three runs that differ in one setting: a paired verdict first.",
    "predict": "What a run says about images it has not seen.",
    "data": "The data doctor on phantoms with planted duplicates.",
    "lessons": "A lesson: guess first.",
    "recipes": "What a report claimed, and what its numbers are worth.",
    "focal": "What focal loss does to each class.",
    "system": "Devices, queue, disk and versions.",
}


def prepare(server: Server) -> list[str]:
    """Phantoms and the finished runs; returns their ids, oldest first."""
    environment = {**os.environ, "COVIDVIZ_RUNS_DIR": str(server.runs), "COVIDVIZ_CACHE_DIR": str(server.cache)}
    data = server.data / "phantoms-small"

    def covidviz(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "covidviz", *arguments], cwd=DOCS.parent, env=environment, check=True)

    covidviz("data", "phantoms", str(data), "--size", "small")
    flawed = str(server.data / "phantoms-flawed")
    covidviz("data", "phantoms", flawed, "--size", "tiny", "--duplicates", "3")
    covidviz("data", "doctor", flawed)
    for name, rate in RUNS.items():
        covidviz("train", "--data", str(data), *SETTINGS, "--lr", rate, "--name", name, "--tags", "demo")
    return sorted(path.name for path in server.runs.iterdir() if (path / "config.json").exists())


def photograph(page: Page, url: str, name: str) -> None:
    """One page, when it has come to rest."""
    page.goto(url)
    page.wait_for_function(IDLE)
    if name.startswith("lab"):
        page.locator(DRAWN).wait_for(timeout=300_000)  # computes its features first
    if name.startswith("predict"):
        page.get_by_role("button", name="Try some of its images").click()
        page.locator(".predict .card .one").first.wait_for(timeout=300_000)  # compared with training
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # the curves and the lazily loaded pictures
    page.screenshot(path=GALLERY / f"{name}.png")


def record(page: Page, url: str) -> None:
    """lab.webp: the lab while its learning rate and its threshold are dragged, a picture per answer."""
    page.goto(url)
    shown = page.locator(DRAWN)
    shown.wait_for()
    moves = [("lr", place / 4) for place in range(-14, 0, 2)] + [("threshold", place) for place in (40, 30, 20, 10)]
    frames = []
    for name, place in moves:
        slider = page.locator(f"#lab-{name}")
        if not slider.count():
            continue
        before = page.locator(".lab").get_attribute("data-answers")
        slider.evaluate(
            """(slider, place) => {
              slider.value = place;
              for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, { bubbles: true }));
            }""",
            place,
        )
        if name != "threshold":  # which asks nobody
            page.locator(f".lab:not([data-answers='{before}'])").wait_for()
        shown.wait_for()
        page.wait_for_timeout(400)
        picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
        frames.append(picture.resize((960, 540), Image.Resampling.LANCZOS))
    frames[0].save(GALLERY / "lab.webp", save_all=True, append_images=frames[1:], duration=900, loop=0, quality=80)


def main() -> None:
    GALLERY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        empty, server = Server(Path(folder) / "empty"), Server(Path(folder) / "app")
        runs = prepare(server)
        empty.start()
        server.start()
        paths = {
            "runs": "/",
            "new_run": f"/new_run?clone={runs[0]}",
            "run": f"/run?run={runs[0]}&split=val&cell=0-1",
            "images": f"/images?run={runs[0]}&split=val&order=worst",
            "lab": f"/lab?s={quote(json.dumps({**LAB, 'data': str(server.data / 'phantoms-small')}))}",
            "compare": f"/compare?runs={','.join(runs)}",
            "predict": f"/predict?run={runs[0]}",
            "data": f"/data?data={quote(str(server.data / 'phantoms-flawed'))}",
            "lessons": "/lessons?lesson=1",
            "recipes": "/recipes",
            "focal": "/focal",
            "system": "/system",
        }
        browser = playwright.chromium.launch(executable_path=find_chromium())
        for suffix, look in LOOKS.items():
            page = browser.new_context(**look).new_page()
            photograph(page, empty.url, f"empty{suffix}")
            for name, path in paths.items():
                photograph(page, server.url + path, name + suffix)
        page = browser.new_context(**LOOKS[""]).new_page()
        record(page, server.url + paths["lab"])
        browser.close()
        empty.end()
        server.end()
    lines = ["# Gallery", "", "Made by `python docs/screenshots.py`, on phantoms."]
    for name, said in SAID.items():
        lines += ["", f"## {said}", "", f"![{said}](gallery/{name}.png)", "",
                  f"![{said} Dark.](gallery/{name}-dark.png)", "",
                  f'<img src="gallery/{name}-phone.png" width="260" alt="{said} On a phone.">']  # fmt: skip
        if name == "lab":
            lines += ["", "![The learning rate is dragged.](gallery/lab.webp)"]
    (DOCS / "gallery.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
