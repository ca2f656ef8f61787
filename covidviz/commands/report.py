"""The command that writes reports of finished runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covidviz.commands.parts import Answer, add, add_runs_dir, runs_dir, tell

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `report`."""
    one = add(commands, "report", _report, "a report of completed runs, or a model card of one, as a file")
    one.add_argument("runs", nargs="+", metavar="RUN", help="ids of completed runs, or the beginnings of some")
    one.add_argument(
        "--out", required=True, type=Path, metavar="FILE",
        help="FILE.html: one self-contained file; FILE.md: Markdown with a folder of PNGs; FILE.zip: that in one file",
    )  # fmt: skip
    one.add_argument("--card", action="store_true", help="a model card (Mitchell et al. 2019) of one run instead")
    one.add_argument("--title", default="", metavar="TEXT", help="default: from the runs")
    one.add_argument("--patient-ids", action="store_true", help="name patients and image files; off by default")
    add_runs_dir(one)


def _report(args: argparse.Namespace) -> Answer:
    from covidviz.report.facts import asked_runs
    from covidviz.report.make import make_report
    from covidviz.report.options import Options

    run_dirs = asked_runs(runs_dir(args), args.runs)
    options = Options(args.title.strip(), args.patient_ids, args.card)
    watched = tell if sys.stderr.isatty() else lambda _: None
    document = make_report(run_dirs, args.out.expanduser(), options, tell=watched)
    lines = [document["summary"], "", *document["files"][:1], f"{document['bytes'] / 1e6:.1f} MB"]
    if len(document["files"]) > 1:
        lines[2:3] = [document["files"][0], f"{len(document['files']) - 1} pictures in {document['out'][:-3]}_files"]
    return Answer(document, "\n".join(lines))
