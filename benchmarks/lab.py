"""How long the live lab takes from a slider to the new matrix, in a real browser.

    python -m benchmarks.lab

6,200 training and 628 validation images (64 px, of random noise: only their number matters), features of ResNet-18,
10 epochs in batches of 32. Wanted on two cores: the matrix within 1 s, of which less than 100 ms are not training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.table import machine, markdown
from covidviz.paths import PROJECT

sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests/browser")]

from chromium import find_chromium
from driver import Server, Tab

TRAIN, VAL, SIDE = 6200, 628, 64
FIND = """const lab = window.lab ??= [...document.querySelectorAll("*")]
  .map((e) => e.shadowRoot?.querySelector(".lab")).find(Boolean);"""
# Keeps the seconds of training that the worker says in the last answer.
LISTEN = """const ask = window.fetch;
window.fetch = async (...given) => {
  window.answered = null;
  const reply = await ask(...given);
  const last = (text) => { window.answered = JSON.parse(text.trim().split("\\n").at(-1)).seconds; };
  reply.clone().text().then(last, () => {});
  return reply;
};"""
# Milliseconds in the page from the slider's event until the matrix is drawn and the browser has painted it.
SLIDE = f"""async (position) => {{
  {FIND}
  const slider = lab.querySelector('#lab-lr'), before = lab.dataset.answers;
  const begin = performance.now();
  slider.value = position;
  slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
  slider.dispatchEvent(new Event('change', {{ bubbles: true }}));
  while (lab.dataset.answers === before) {{
    if (performance.now() - begin > 60000) throw new Error('no matrix came');
    await new Promise(requestAnimationFrame);
  }}
  await new Promise(requestAnimationFrame);
  return performance.now() - begin;
}}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "app")
        data = make_noise(server.data / "noise")
        server.start()
        browser = playwright.chromium.launch(executable_path=find_chromium())
        try:
            rows = measure(Tab(browser.new_page(viewport={"width": 1280, "height": 720}), server), data, args.repeats)
        finally:
            browser.close()
            server.end()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n")
    print(markdown(("what", "median", "largest"), rows))


def make_noise(folder: Path) -> Path:
    """As many small images as the gate asks for."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    lines = ["path,label,split"]
    for i in range(TRAIN + VAL):
        label, split = ("covid19", "normal", "pneumonia")[i % 3], "train" if i < TRAIN else "val"
        grey = rng.integers(0, 200, (SIDE, SIDE), dtype=np.uint8)
        grey[20 * (i % 3) :, :] += 40  # something to learn
        Image.fromarray(grey).save(folder / f"{i}.png", compress_level=1)
        lines.append(f"{i}.png,{label},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def measure(tab: Tab, data: Path, repeats: int) -> list[tuple[str, str, str]]:
    settings = {"data": str(data), "weights": "none", "image_size": SIDE}
    page = tab.page
    page.add_init_script(LISTEN)
    tab.open(f"/lab?s={quote(json.dumps(settings))}")
    page.locator(".matrix[data-drawn]").wait_for(timeout=1_200_000)
    whole, training = [], []
    for k in range(repeats):
        page.wait_for_timeout(1500)  # the link is written; nothing runs
        whole.append(page.evaluate(SLIDE, (-2.2, -2.4, -2.6)[k % 3]))
        page.wait_for_function("window.answered")
        training.append(1000 * page.evaluate("window.answered"))
    rest = [a - b for a, b in zip(whole, training, strict=True)]
    return [
        line("slider to matrix, ResNet-18 features of 6,200 images, 10 epochs, batch 32", whole),
        line("... of it training", training),
        line("... of it everything else: request, turns, answer, drawing", rest),
    ]


def line(what: str, values: list[float]) -> tuple[str, str, str]:
    return what, f"{statistics.median(values):.0f} ms", f"{max(values):.0f} ms"


if __name__ == "__main__":
    main()
