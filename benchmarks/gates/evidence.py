"""The pages of evidence in a real browser: a threshold slider, fifty runs overlaid, a step of epochs."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright

from benchmarks.gates.row import Row, Settings
from covidviz.paths import PROJECT
from covidviz.store import layout
from tests.synthetic import CLASSES, write_synthetic_run

sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests/browser")]

from chromium import find_chromium
from driver import IDLE, Server

PREDICTIONS, REPLAYED, RUNS, EPOCHS = 100_000, 5000, 50, 1000
# From a move of the slider to the end of the frame that shows what follows from it, in ms, for each of n moves.
MOVES = """async (slider, [low, high, n]) => {
  const taken = [];
  for (let i = 0; i < n; i++) {
    slider.value = low + (high - low) * (i % 2 ? i : n - i) / n;
    const begin = performance.now();
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
    taken.push(performance.now() - begin);
  }
  return taken }"""
ZOOM = """async figure => {
  const begin = performance.now();
  await Plotly.relayout(figure, { 'xaxis.range': [100, 600] });
  return performance.now() - begin }"""


def pages(settings: Settings) -> Iterator[Row]:
    """Milliseconds that a person waits; no time on the way to this process is counted."""
    server = Server(settings.folder / "app")
    many, some = _judged(server.runs, 9000, PREDICTIONS), _judged(server.runs, 9001, REPLAYED)
    compared = [write_synthetic_run(server.runs, i, epochs=EPOCHS).name for i in range(RUNS)]
    moves = settings.size(20, 60)
    with sync_playwright() as playwright:
        server.start()
        browser = playwright.chromium.launch(executable_path=find_chromium())
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            yield from _slider(page, f"{server.url}/run?run={many.name}&view=thresholds", moves)
            yield from _replay(page, f"{server.url}/run?run={some.name}", moves)
            yield from _overlaid(page, f"{server.url}/compare?runs={','.join(compared)}")
        finally:
            browser.close()
            server.end()


def _judged(runs: Path, i: int, n: int) -> Path:
    """A run with n predictions of validation and ten epochs of them."""
    run = write_synthetic_run(runs, i, artefacts=True, loss="cross_entropy")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(CLASSES), n)
    logits = 1.6 * np.eye(len(CLASSES))[truth] + rng.normal(0, 1, (n, len(CLASSES)))
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = pd.DataFrame({"sample_id": [f"{k:016x}" for k in range(n)], "split": "val"})
    labels = {f"label_{name}": (truth == k).astype(np.int8) for k, name in enumerate(CLASSES)}
    patients = [f"p{k // 2}" for k in range(n)]
    paths = [f"{k}.png" for k in range(n)]
    ids.assign(path=paths, patient_id=patients, **labels).to_parquet(run / layout.SAMPLES, index=False)
    probs = {f"prob_{name}": prob[:, k].astype(np.float32) for k, name in enumerate(CLASSES)}
    loss = -np.log(prob[np.arange(n), truth]).astype(np.float32)
    ids.assign(**probs, loss=loss).to_parquet(run / layout.PREDICTIONS, index=False)
    # The last epoch that is kept is that of the predictions; the others are noisier.
    noise = [prob + rng.normal(0, 0.3 * (9 - k) / 9, prob.shape) for k in range(10)]
    history = np.stack([np.clip(one, 1e-3, None) / np.clip(one, 1e-3, None).sum(1, keepdims=True) for one in noise])
    np.savez(run / layout.HISTORY, sample_id=ids["sample_id"].to_numpy(dtype=str), epoch=np.arange(1, 11),
             prob=history.astype(np.float16))  # fmt: skip
    return run


def _slider(page: Page, url: str, n: int) -> Iterator[Row]:
    page.goto(url)
    page.locator(".thresholds.cv[data-drawn]").wait_for(timeout=90_000)
    page.wait_for_function(IDLE)
    taken = page.locator(".thresholds input.t").evaluate(MOVES, [0.1, 0.9, n])
    yield from _rows(f"threshold slider, {PREDICTIONS:,} predictions", taken, "threshold slider")


def _replay(page: Page, url: str, n: int) -> Iterator[Row]:
    page.goto(url)
    box = page.locator(".st-key-run_replay")
    box.wait_for(state="attached", timeout=90_000)
    box.scroll_into_view_if_needed()  # its data are asked for when it comes into sight
    slider = box.locator("input.epoch")
    slider.wait_for(timeout=90_000)
    page.wait_for_function(IDLE)
    taken = slider.evaluate(MOVES, [1, 10, n])
    yield from _rows(f"a step of epochs, {REPLAYED:,} images", taken, "")


def _overlaid(page: Page, url: str) -> Iterator[Row]:
    page.goto(url)
    figure = page.locator(".st-key-compare_plot .js-plotly-plot:has(.legend)")
    figure.wait_for(timeout=90_000)
    page.wait_for_function(IDLE, timeout=90_000)
    yield Row(f"{RUNS} runs of {2 * EPOCHS:,} points: a zoom", ours=figure.evaluate(ZOOM) / 1000)


def _rows(item: str, taken: list[float], gate: str) -> Iterator[Row]:
    median, most = statistics.median(taken) / 1000, max(taken) / 1000
    yield Row(f"{item}: median", median, ours=median, gate=gate)
    yield Row(f"{item}: longest", most if gate else None, ours=most, gate=gate)
