"""How fast the explorer is in a real browser, with 1,000 runs beside one on phantoms.

    python -m benchmarks.explorer

Wanted on two cores: first content under 3 s from `streamlit run`, a page switch under 300 ms, a matrix cell to its
images under 150 ms, the opacity slider without a message to the server, *Runs* under 1 s and a filter under 200 ms at
1,000 runs, 20 sessions watching one live run under 25 % of a core, the server under 300 MB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.table import machine, markdown
from covidviz.data.phantoms import PhantomOptions, make_phantoms
from covidviz.paths import PROJECT
from covidviz.store.reader import Run

sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests/browser")]

from chromium import find_chromium
from driver import IDLE, Server, Tab
from synthetic import write_synthetic_run

PAGES = ("New run", "Runs", "Images", "Compare", "System", "Run")
# Milliseconds from a click until something is true, measured in the page: no time on the way to the test is counted.
CLICK = """async ([selector, done]) => {
  const all = window.all = (root, what) => [...root.querySelectorAll(what), ...[...root.querySelectorAll('*')]
    .filter(e => e.shadowRoot).flatMap(e => all(e.shadowRoot, what))];
  const begin = performance.now(), ready = new Function('return ' + done);
  all(document, selector)[0].click();
  while (!ready()) {
    if (performance.now() - begin > 20000) throw new Error('nothing came of the click on ' + selector);
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - begin }"""
HEADING = "[...document.querySelectorAll('h1')].filter(h => h.offsetParent).map(h => h.innerText).join()"
QUIET = "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
DRAWN = "document.querySelector('.st-key-loss_plot .plot')?.data?.length > 0"
BUSY_THEN_QUIET = f"(window.wasBusy ||= !({QUIET})) && {QUIET}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "app")
        data = make_phantoms(server.data / "phantoms", PhantomOptions(size="small"))
        for i in range(args.runs):
            write_synthetic_run(server.runs, i + 10, ("completed", "failed", "stopped")[i % 3], epochs=20)
        run = Run(write_synthetic_run(server.runs, 1, artefacts=True, data=data))
        browser = playwright.chromium.launch(executable_path=find_chromium())
        try:
            rows = [
                *first_content(browser, server, args.repeats),
                *interactions(browser, server, run, args.repeats),
                *sessions(browser, server, args.sessions),
            ]
        finally:
            browser.close()
            server.end()
    print(f"{machine()}; {args.runs} runs\n")
    print(markdown(("what", "median", "largest"), rows))


def line(what: str, values: list[float], unit: str = "ms") -> tuple[str, str, str]:
    return what, f"{statistics.median(values):.0f} {unit}", f"{max(values):.0f} {unit}"


def first_content(browser: Any, server: Server, repeats: int) -> list[tuple[str, str, str]]:
    """From the start of the process to the heading and to the table of *Runs*, in a browser that is open already."""
    headings, tables = [], []
    for k in range(repeats):
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        begin = time.perf_counter()
        server.start()
        page.goto(server.url)
        page.get_by_role("heading", name="Runs").wait_for()
        headings.append(1000 * (time.perf_counter() - begin))
        page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
        tables.append(1000 * (time.perf_counter() - begin))
        page.close()
        if k < repeats - 1:
            server.stop()
    return [line("`streamlit run` to the first content", headings), line("... to the table of all runs", tables)]


def interactions(browser: Any, server: Server, run: Run, repeats: int) -> list[tuple[str, str, str]]:
    """Pages, a filter, a cell, the opacity slider."""
    tab = Tab(browser.new_page(viewport={"width": 1280, "height": 720}), server)
    page = tab.page
    tab.open(f"/run?run={run.id}")
    rows = []
    times: dict[str, list[float]] = {title: [] for title in PAGES}
    for _ in range(repeats):
        for title in PAGES:
            times[title].append(switch(page, title))
    rows += [line(f"to the page *{title}*", values) for title, values in times.items()]

    tab.open("/")
    pill = ".st-key-runs_filters [data-testid=stButtonGroup] button"
    rows.append(line("a filter over all runs", [busy(page, pill) for _ in range(2 * repeats)]))

    tab.open(f"/run?run={run.id}&split=val")
    page.locator(".st-key-matrix button[data-cell]").first.wait_for()
    to_images = []
    for cell in ["0-0", "1-1", "2-2"] * repeats:
        page.locator(".st-key-run_gallery img").evaluate_all("images => images.forEach(i => i.dataset.old = 1)")
        fresh = (
            "all(document, 'img').some(i => i.src.includes('/img/') && !i.dataset.old && i.complete && i.naturalWidth)"
        )
        to_images.append(page.evaluate(CLICK, [f"button[data-cell='{cell}']", fresh]))
        tab.idle()
    rows.append(line("a matrix cell to its first image", to_images))
    page.close()
    return rows


def switch(page: Page, title: str) -> float:
    """Milliseconds from the click in the navigation until the page's heading is there."""
    page.evaluate("title => { for (const a of document.querySelectorAll('[data-testid=stSidebarNavLink]'))"
                  " a.toggleAttribute('data-next', a.innerText.trim().endsWith(title)) }", title)  # fmt: skip
    page.evaluate(f"window.heading = {HEADING}")
    done = f"({HEADING}) && ({HEADING}) !== window.heading"
    took = float(page.evaluate(CLICK, ["[data-next]", done]))
    page.wait_for_function(IDLE)
    return took


def busy(page: Page, selector: str) -> float:
    """Milliseconds from a click until the script has run."""
    page.evaluate("window.wasBusy = false")
    took = float(page.evaluate(CLICK, [selector, BUSY_THEN_QUIET]))
    page.wait_for_timeout(300)
    return took


def sessions(browser: Any, server: Server, n: int) -> list[tuple[str, str, str]]:
    """Processor time and memory of the server while `n` tabs watch a run that writes an epoch every two seconds."""
    assert server.process is not None
    live = Run(write_synthetic_run(server.runs, 2, state="running", epochs=100))
    done = threading.Event()

    def train() -> None:
        from covidviz.store.writer import RunWriter

        with RunWriter(live.dir) as writer:
            epoch = 50
            while not done.wait(2):
                epoch += 1
                for split in ("train", "val"):
                    writer.metrics(epoch, split, {"loss": 1 / epoch, "macro_f1": 1 - 1 / epoch, "accuracy": 0.5})
                writer.status(state="running", epoch=epoch, progress=epoch / 100)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        pages = []
        for _ in range(n):
            page = browser.new_page(viewport={"width": 800, "height": 500})
            page.goto(f"{server.url}/run?run={live.id}")
            pages.append(page)
        for page in pages:
            page.wait_for_function(
                "document.querySelector('.st-key-loss_plot .plot')?.data?.length > 0", timeout=120_000
            )
        process = psutil.Process(server.process.pid)
        before, begin = process.cpu_times(), time.perf_counter()
        pages[0].wait_for_timeout(20_000)
        after, seconds = process.cpu_times(), time.perf_counter() - begin
        used = after.user + after.system - before.user - before.system
        memory = process.memory_info().rss / 2**20
    finally:
        done.set()
        trainer.join()
    return [
        (f"{n} sessions watching one live run", f"{100 * used / seconds:.0f} % of a core", ""),
        ("memory of the server then", f"{memory:.0f} MB", ""),
    ]


if __name__ == "__main__":
    main()
