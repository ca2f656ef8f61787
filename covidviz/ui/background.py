"""What pages start as processes of their own: `python -m covidviz.ui.background COMMAND ARGUMENT...`.

Commands: `demo RUNS_DIR`, `phantoms OUT SIZE`, `explain RUN_DIR SPLIT SAMPLE...`, `map RUN_DIR`,
`explain-otherwise RUN_DIR SPLIT SAMPLE METHOD...`, `masks RUN_DIR SPLIT`, `sanity RUN_DIR`,
`doctor DATASET SPLIT_COLUMN`, `report FILE report|card ids|no-ids TITLE RUN_DIR...`.
Each prints how far it is, line by line, for `covidviz.ui.tasks` to follow; an error is its last line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from covidviz.errors import CovidvizError


def main(arguments: list[str]) -> int:
    """Do it; the exit code."""
    try:
        match arguments:
            case ["demo", runs_dir]:
                from covidviz.demo import make_demo

                make_demo(Path(runs_dir), wait=False, on_progress=_tell)
            case ["phantoms", out, size]:
                from covidviz.data.phantoms import PhantomOptions, make_phantoms

                make_phantoms(out, PhantomOptions(size=size), on_progress=_count)
            case ["explain", run_dir, split, *samples] if samples:
                _tell("loading the network")
                from covidviz.explain.on_demand import explain_samples

                explain_samples(Path(run_dir), split, samples, lambda done, n: _tell(f"{100 * done // n} %"))
            case ["explain-otherwise", run_dir, split, sample, *methods] if methods:
                _tell("loading the network")
                from covidviz.explain.on_demand import explain_otherwise

                explain_otherwise(
                    Path(run_dir), split, sample, methods, lambda name, done, n: _tell(f"{name}: {100 * done // n} %")
                )
            case ["masks", run_dir, split]:
                from covidviz.explain.masks import find_masks
                from covidviz.store.reader import Run

                find_masks(Run(Path(run_dir)), split, lambda done, n: _tell(f"{100 * done // n} %"))
            case ["sanity", run_dir]:
                _tell("loading the network")
                from covidviz.explain.sanity import check_run

                check_run(Path(run_dir), lambda done, n: _tell(f"{100 * done // n} %"))
            case ["map", run_dir]:
                _tell("loading the network")
                from covidviz.training.embedding import make_map

                make_map(Path(run_dir), tell=lambda what, done, n: _tell(f"{what}: {100 * done // max(1, n)} %"))
            case ["doctor", data, split_column]:
                _doctor(data, split_column)
            case ["lesson", number, runs_dir]:
                from covidviz.lessons import LESSONS
                from covidviz.lessons.runs import submit_missing

                submit_missing(LESSONS[int(number)], Path(runs_dir), _tell)
            case ["report", out, ("report" | "card") as what, ("ids" | "no-ids") as ids, title, *run_dirs] if run_dirs:
                _tell("reading the runs")
                from covidviz.report.make import make_report
                from covidviz.report.options import Options

                options = Options(title, ids == "ids", what == "card")
                make_report([Path(one) for one in run_dirs], Path(out), options, tell=_tell)
            case _:
                accepted = (
                    "demo RUNS_DIR, phantoms OUT SIZE, explain RUN_DIR SPLIT SAMPLE..., map RUN_DIR, "
                    "explain-otherwise RUN_DIR SPLIT SAMPLE METHOD..., masks RUN_DIR SPLIT, sanity RUN_DIR, "
                    "doctor DATASET SPLIT_COLUMN, report FILE report|card ids|no-ids TITLE RUN_DIR..."
                )
                _tell(f"{' '.join(arguments)!r} given, accepted: {accepted}")
                return 2
    except CovidvizError as error:
        _tell(str(error))
        return error.exit_code
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _doctor(data: str, split_column: str) -> None:
    """One dataset at a time, and nobody waits for it: trainings and pages come first."""
    from covidviz.data.doctor import diagnose, known
    from covidviz.paths import cache_dir
    from covidviz.store.locks import Lock

    if hasattr(os, "nice"):
        os.nice(10)
    before = known(data, split_column)
    folder = cache_dir() / "doctor"
    folder.mkdir(parents=True, exist_ok=True)
    if (lock := Lock.take(folder / "lock")) is None:
        _tell("waiting for the check of another dataset")
        while lock is None:
            lock = Lock.take(folder / "lock", wait=3600)
    with lock:
        if known(data, split_column) in (None, before):  # unless somebody checked this one meanwhile
            diagnose(data, split_column, tell=lambda share, what: _tell(f"{what}: {100 * share:.0f} %"))


def _count(done: int, n: int) -> None:
    if done == n or done % 20 == 0:
        _tell(f"drawing phantoms: {100 * done // n} %")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
