"""What pages start as processes of their own: `python -m covidviz.ui.background COMMAND ARGUMENT...`.

Commands: `demo RUNS_DIR`, `phantoms OUT SIZE`, `explain RUN_DIR SPLIT SAMPLE...`.
Each prints how far it is, line by line, for `covidviz.ui.tasks` to follow; an error is its last line.
"""

from __future__ import annotations

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
            case _:
                accepted = "demo RUNS_DIR, phantoms OUT SIZE, explain RUN_DIR SPLIT SAMPLE..."
                _tell(f"{' '.join(arguments)!r} given, accepted: {accepted}")
                return 2
    except CovidvizError as error:
        _tell(str(error))
        return error.exit_code
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _count(done: int, n: int) -> None:
    if done == n or done % 20 == 0:
        _tell(f"drawing phantoms: {100 * done // n} %")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
