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
from covidviz.store.index import RunIndex
from tests.synthetic import write_synthetic_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        runs.mkdir()
        for i in range(args.runs):
            write_synthetic_run(runs, i, epochs=args.epochs)
        rows = [*index(runs, args.repeats), *page(runs, args.repeats)]
    print(f"{machine()}; {args.runs} runs of {args.epochs} epochs\n")
    print(markdown(("what", "median"), [(what, f"{1000 * seconds:.1f} ms") for what, seconds in rows]))


def index(runs: Path, repeats: int) -> list[tuple[str, float]]:
    """Reading all runs for the first time, again without a change, and after ten of them grew by an epoch."""
    cold = median_seconds(lambda: RunIndex(runs).refresh(), repeats)
    known = RunIndex(runs)
    known.refresh()
    unchanged = median_seconds(known.refresh, 4 * repeats)
    grown = []
    for _ in range(repeats):
        for run_dir in sorted(runs.iterdir())[:10]:
            with (run_dir / "metrics.jsonl").open("a") as file:
                file.write('{"epoch": 99, "split": "val", "macro_f1": 0.5}\n')
        grown.append(median_seconds(known.refresh, 1))
    return [
        ("index, first time", cold),
        ("index, nothing changed", unchanged),
        ("index, 10 runs changed", statistics.median(grown)),
    ]


def page(runs: Path, repeats: int) -> list[tuple[str, float]]:
    """The script of the Runs page through the app's own main script, in Streamlit's test runner."""
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
    app, cold = first(runs)
    return [
        ("Runs page of an empty folder, first script run of the server (imports)", imports),
        ("Runs page, first script run", cold),
        ("Runs page, rerun", median_seconds(app.run, repeats)),
    ]


if __name__ == "__main__":
    main()
