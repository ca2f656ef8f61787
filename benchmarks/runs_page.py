"""How fast the explorer is over many runs: the index, and the script of the Runs page.

    python -m benchmarks.runs_page --runs 1000

Wanted for 1,000 runs: the page's script under 1 s, an unchanged refresh of the index under 50 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.table import machine, markdown, median_seconds
from covidviz.paths import PROJECT
from covidviz.store import cache
from covidviz.store.index import SETTLED_S, RunIndex
from covidviz.store.runs import edit_notes
from tests.synthetic import write_synthetic_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVIDVIZ_CACHE_DIR"] = f"{folder}/cache"
        runs = Path(folder) / "runs"
        runs.mkdir()
        for i in range(args.runs):
            write_synthetic_run(runs, i, epochs=args.epochs)
        rows = [*index(runs, args.repeats), *page(runs, args.repeats)]
    print(f"{machine()}; {args.runs} runs of {args.epochs} epochs\n")
    print(markdown(("what", "median"), [(what, f"{1000 * seconds:.1f} ms") for what, seconds in rows]))


def index(runs: Path, repeats: int) -> list[tuple[str, float]]:
    """Reading all runs for the first time and in a further process, again without a change, and after ten changed."""
    time.sleep(SETTLED_S)  # what changed a moment ago is not kept on disk
    found = [RunIndex(runs)]

    def opened(kept: bool) -> float:
        if not kept:
            cache.clear("index")
        found[0] = RunIndex(runs)
        return median_seconds(found[0].refresh, 1)

    first = statistics.median(opened(False) for _ in range(repeats))
    again = statistics.median(opened(True) for _ in range(repeats))
    known = found[0]
    unchanged = median_seconds(known.refresh, 4 * repeats)
    changed = []
    for i in range(repeats):
        for run_dir in sorted(runs.iterdir())[:10]:
            edit_notes(run_dir, note=f"{i}")
        changed.append(median_seconds(known.refresh, 1))
    return [
        ("index, first time", first),
        ("index, in a further process", again),
        ("index, nothing changed", unchanged),
        ("index, 10 runs changed", statistics.median(changed)),
    ]


def page(runs: Path, repeats: int) -> list[tuple[str, float]]:
    """The script of the Runs page through the app's own main script, in Streamlit's test runner."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    def first(folder: Path) -> tuple[AppTest, float]:
        os.environ["COVIDVIZ_RUNS_DIR"] = str(folder)
        app = AppTest.from_file(str(PROJECT / "covidviz/ui/main.py"), default_timeout=60)
        start = time.perf_counter()
        app.run()
        if app.exception:
            raise SystemExit(f"the page failed: {app.exception[0].value}")
        return app, time.perf_counter() - start

    with tempfile.TemporaryDirectory() as empty:
        imports = first(Path(empty))[1]
    cache.clear("index")
    _, cold = first(runs)
    st.cache_resource.clear()
    app, kept = first(runs)
    return [
        ("Runs page of an empty folder, first script run of the server (imports)", imports),
        ("Runs page, first script run of the server, no index on disk", cold),
        ("Runs page, first script run of the server", kept),
        ("Runs page, rerun", median_seconds(app.run, repeats)),
    ]


if __name__ == "__main__":
    main()
