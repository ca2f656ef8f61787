"""Commands on datasets: make phantoms, inspect, doctor."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covidviz.commands.parts import Answer, add, add_runs_dir, counter, runs_dir

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `data phantoms|inspect|doctor`."""
    data = commands.add_parser("data", help="make and inspect datasets", allow_abbrev=False)
    of_data = data.add_subparsers(metavar="COMMAND", required=True)
    _phantom_options(
        add(of_data, "phantoms", _phantoms, "make a dataset of chest X-ray-like images, without any download")
    )
    for name, run, help in (
        ("inspect", _inspect, "classes, counts per split, unreadable files; opens every image"),
        ("doctor", _doctor, "leakage, duplicates, shortcuts, label problems, odd images"),
    ):
        one = add(of_data, name, run, help)
        one.add_argument("path", metavar="PATH", help="folder of the dataset, or a labels.csv")
        one.add_argument(
            "--split-column", default="split", metavar="COLUMN", help="column of labels.csv that holds the split"
        )
    one.add_argument("--run", dest="beside", metavar="RUN", help="a run on this dataset, to tell its scores beside")
    add_runs_dir(one)


def _phantom_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    parser.add_argument("--size", choices=("tiny", "small", "full"), default="small", help="60, 1,256 or 6,828 images")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same images")
    defects = parser.add_argument_group("defects to plant, for teaching")
    defects.add_argument("--duplicates", type=int, default=0, metavar="N", help="validation images copied from train")
    defects.add_argument("--shared-patients", type=int, default=0, metavar="N", help="patients in train and validation")
    defects.add_argument("--marker-class", metavar="CLASS", help="class whose images carry a text in a corner")
    defects.add_argument(
        "--label-noise", type=float, default=0.0, metavar="SHARE", help="share of wrong labels, 0 to 0.5"
    )
    defects.add_argument("--encoding", choices=("implied", "train-only"), help="the course's two label encodings")


def _phantoms(args: argparse.Namespace) -> Answer:
    from covidviz.data.phantoms import PhantomOptions, make_phantoms

    options = PhantomOptions(
        size=args.size, seed=args.seed, duplicates=args.duplicates, shared_patients=args.shared_patients,
        marker_class=args.marker_class, label_noise=args.label_noise, encoding=args.encoding,
    )  # fmt: skip
    with counter("images") as count:
        path = make_phantoms(args.out, options, on_progress=count)
    n = sum(1 for _ in (path / "images").iterdir())
    return Answer({"path": str(path), "images": n, **dataclasses.asdict(options)}, f"{n} images in {path}")


def _inspect(args: argparse.Namespace) -> Answer:
    from covidviz.data.images import inspect

    with counter("images") as count:
        document = inspect(args.path, split_column=args.split_column, on_progress=count)
    lines = [f"{'split':<8}{'images':>8}  " + "  ".join(f"{name:>12}" for name in document["classes"])]
    for split, row in document["splits"].items():
        counts = "  ".join(f"{row['per_class'].get(name, 0):>12}" for name in document["classes"])
        lines.append(f"{split:<8}{row['n']:>8}  {counts}")
    lines += [f"{document['patients']} patients"] if document.get("patients") is not None else []
    lines += document.get("notes", [])
    if document.get("unlabelled"):
        lines.append(f"{len(document['unlabelled'])} images without a label are left out")
    lines += [f"unreadable: {row['path']}: {row['error']}" for row in document["unreadable"]]
    return Answer(document, "\n".join(lines))


def _doctor(args: argparse.Namespace) -> Answer:
    from covidviz.data.doctor import diagnose, with_run
    from covidviz.store.runs import find_run

    beside = find_run(runs_dir(args), args.beside) if args.beside else None
    with counter("percent") as count:
        tell = None if count is None else lambda share, _: count(round(100 * share), 100)
        report = diagnose(args.path, args.split_column, tell=tell)
    if beside is not None:
        report = with_run(report, beside)
    lines = []
    for check in report.checks:
        lines.append(f"{check.severity:<5} {check.title}: {check.summary}")
        lines += [f"      {check.remedy}"] if check.severity in ("warn", "bad") and check.remedy else []
    return Answer(report.document(), "\n".join(lines))
