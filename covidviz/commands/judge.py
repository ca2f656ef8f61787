"""Commands that ask what a run is worth: evaluate, predict, compare."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covidviz.commands.parts import Answer, add, add_run, add_runs_dir, asked_run, counter, runs_dir, tell
from covidviz.errors import InputError
from covidviz.store import layout

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `evaluate`, `predict`, `compare`."""
    one = add(commands, "evaluate", _evaluate, "metrics and confusion of a run's best epoch on any dataset")
    add_run(one)
    one.add_argument("--data", required=True, metavar="PATH", help="folder of the dataset, or a labels.csv")
    one.add_argument("--split", choices=(*layout.SPLITS, "all"), default="test", help="all: every sample; default test")
    one = add(commands, "predict", _predict, "what a run's best epoch says about images")
    add_run(one)
    one.add_argument("images", nargs="+", metavar="IMAGE", help="image files, and folders of them with all below")
    one.add_argument("--cam", type=Path, metavar="DIR", help="also write each image with its Grad-CAM there")
    one = add(commands, "compare", _compare, "paired verdict on two runs: what B does with A's images")
    one.add_argument("a", metavar="RUN_A", help="id of the baseline, or the beginning of one")
    one.add_argument("b", metavar="RUN_B", help="id of the run to judge, or the beginning of one")
    one.add_argument("--split", choices=layout.SPLITS, help="default: test where both have it, else val")
    add_runs_dir(one)


def _evaluate(args: argparse.Namespace) -> Answer:
    run_dir = asked_run(args)
    from covidviz.training.inference import evaluate_run

    with counter("images") as count:
        document = evaluate_run(run_dir, args.data, args.split, on_progress=count)
    lines = [f"{document['n']} images, split {document['split']}"]
    lines += [f"{name:<24}{value:.4f}" for name, value in document["metrics"].items() if value is not None]
    return Answer(document, "\n".join(lines))


def _predict(args: argparse.Namespace) -> Answer:
    run_dir = asked_run(args)
    from covidviz.data.image_files import image_files

    paths, empty = image_files(args.images)
    for folder in empty:
        tell(f"covidviz: {folder} holds no image")
    if not paths:
        raise InputError(f"{args.images[0]} holds no image, accepted: PNG, JPEG, WebP, BMP, TIFF, GIF, DICOM")
    from covidviz.training.inference import predict_images

    rows: list[dict[str, Any]] = []
    read = 0
    # Lines for people come as the images are done, so nothing of them is kept; on a terminal they are the counter.
    with counter("images") if args.json or not args.stdout.isatty() else contextlib.nullcontext() as count:
        for row in predict_images(run_dir, paths, args.cam, on_progress=count):
            read += row["error"] is None
            if args.json:
                rows.append(row)
                continue
            said = row["error"] or "  ".join(f"{name} {p:.3f}" for name, p in row["prob"].items())
            print(f"{row['path']}: {said}", file=args.stdout, flush=True)
    return Answer(rows, "", failed=None if read else "none of the images can be read")


def _compare(args: argparse.Namespace) -> Answer:
    from covidviz.store.runs import find_run

    dirs = [find_run(runs_dir(args), given) for given in (args.a, args.b)]
    from covidviz.evaluation.judged_runs import judgement, split_of
    from covidviz.evaluation.matched import match
    from covidviz.evaluation.paired import compare
    from covidviz.evaluation.verdict import verdict
    from covidviz.store.reader import Run

    (one, critical), (other, _) = (judgement(Run(run_dir), name) for run_dir, name in zip(dirs, "AB", strict=True))
    split = args.split or split_of([one, other])
    found = match([one], [other], split)
    paired = compare(found.truth, found.a, found.b, found.classes, found.task, clusters=found.patients)
    said = verdict(paired, critical=critical)
    notes = [*found.notes, *said.cautions]
    document = {
        "a": dirs[0].name, "b": dirs[1].name, "split": split, **paired.document(), "verdict": said.text,
        "evidence": said.kind, "notes": notes,
    }  # fmt: skip
    unit = "patients" if found.patients else "images"
    lines = [
        f"A  {dirs[0].name}", f"B  {dirs[1].name}", f"{paired.n} images of {split}, {paired.units} {unit}", "",
        said.text, *notes, "",
        f"{'metric':<24}{'A':>8}{'B':>8}{'B - A':>9}   95 % interval",
    ]  # fmt: skip
    for name, row in paired.metrics.items():
        lines.append(f"{name:<24}{row.a:>8.4f}{row.b:>8.4f}{row.diff:>+9.4f}   {row.low:+.4f} to {row.high:+.4f}")
    return Answer(document, "\n".join(lines))
