"""Commands on runs: list, show, stop, resume, clone, delete, restore, export."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covidviz.commands.parts import (
    Answer,
    add,
    add_run,
    add_runs_dir,
    add_settings,
    asked_run,
    given_settings,
    runs_dir,
    shown,
    work_here,
)
from covidviz.errors import InputError, StoreError
from covidviz.store import layout

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `runs ...`."""
    runs = commands.add_parser("runs", help="list, show and manage runs", allow_abbrev=False)
    of_runs = runs.add_subparsers(metavar="COMMAND", required=True)
    add_runs_dir(add(of_runs, "list", _runs_list, "all runs, newest first"))
    for name, run, help in (
        ("show", _runs_show, "state and best metrics of one run"),
        ("stop", _runs_stop, "stop a queued or running run; a checkpoint is kept"),
        ("resume", _runs_resume, "train on here and now, from the last checkpoint"),
        ("clone", _runs_clone, "queue a new run with the same settings; flags change some"),
        ("delete", _runs_delete, "move a run to the trash"),
        ("restore", _runs_restore, "bring a deleted run back"),
        ("export", _runs_export, "write a run's results for other programs"),
    ):
        one = add(of_runs, name, run, help)
        add_run(one)
        if name == "export":
            one.add_argument("--to", choices=("csv", "tensorboard"), required=True, help="kind of files")
            one.add_argument(
                "--out", type=Path, metavar="DIR", help="where to; default csv: ./RUN-csv, tensorboard: the run"
            )
        elif name == "clone" and words[:2] == ["runs", "clone"]:
            add_settings(one)


def _runs_list(args: argparse.Namespace) -> Answer:
    from covidviz.store.index import RunIndex

    rows = RunIndex(runs_dir(args)).refresh()
    table = [("RUN", "STATE", "NAME", "MODEL", "LOSS", "EPOCH", "BEST")]
    table += [
        (
            row.run_id, row.state, row.name[:40], row.model, row.loss, f"{row.epoch}/{row.epochs}",
            "" if row.best is None else f"{row.monitor} {row.best:.3f}",
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return Answer([row.document() for row in rows], "\n".join(lines) if rows else "no runs yet")


def _runs_show(args: argparse.Namespace) -> Answer:
    return shown(asked_run(args))


def _runs_stop(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.queue import request_stop

    run_dir = asked_run(args)
    state = request_stop(run_dir)
    said = "stopped" if state == "stopped" else "stops after the batch it is in, with a checkpoint"
    return Answer({"run_id": run_dir.name, "state": state}, f"{run_dir.name} {said}")


def _runs_resume(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.queue import check_resumable

    run_dir = asked_run(args)
    check_resumable(run_dir)
    from covidviz.training.worker import work

    return work_here(work, run_dir)


def _runs_clone(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.submit import submit
    from covidviz.store.runs import clone_config

    changes = given_settings(args)
    if "recipe" in changes:
        raise InputError("recipe: a clone has its run's settings, accepted: --recipe NAME with train or submit")
    return shown(submit(clone_config(asked_run(args), **changes), runs_dir(args)))


def _runs_delete(args: argparse.Namespace) -> Answer:
    from covidviz.store.runs import delete_run

    run_dir = asked_run(args)
    lies = delete_run(run_dir)
    return Answer(
        {"run_id": run_dir.name, "run_dir": str(lies)}, f"{run_dir.name} is in the trash; runs restore brings it back"
    )


def _runs_restore(args: argparse.Namespace) -> Answer:
    from covidviz.store.runs import restore_run

    return shown(restore_run(runs_dir(args), args.id))


def _runs_export(args: argparse.Namespace) -> Answer:
    run_dir = asked_run(args)
    if args.to == "csv":
        from covidviz.store.runs import export_csv

        out = args.out or Path(f"{run_dir.name}-csv")
        files = export_csv(run_dir, out)
    else:
        out = args.out or run_dir
        files = _export_tensorboard(run_dir, out)
    document = {
        "run_id": run_dir.name,
        "to": args.to,
        "path": str(out.resolve()),
        "files": [str(f.resolve()) for f in files],
    }
    return Answer(document, "\n".join(map(str, files)))


def _export_tensorboard(run_dir: Path, out: Path) -> list[Path]:
    """The run's event files; written from metrics.jsonl where `out` has none."""
    from covidviz.store.files import saving
    from covidviz.store.reader import Run

    if found := sorted(out.glob(layout.EVENTS)):
        return found
    run = Run(run_dir)
    config, metrics = run.config(), run.metrics()
    if config is None or metrics.empty:
        raise StoreError(f"run {run_dir.name} has nothing to export yet")
    from covidviz.training.tensorboard import Curves

    with saving(out):
        out.mkdir(parents=True, exist_ok=True)
        with Curves(out, config) as curves:
            for epoch in metrics["epoch"].unique().tolist():
                rows = metrics[metrics["epoch"] == epoch].drop(columns="epoch").to_dict("records")
                curves.epoch(epoch, {row.pop("split"): {k: v for k, v in row.items() if v == v} for row in rows})
            curves.close(completed=run.status().state == "completed")
    return sorted(out.glob(layout.EVENTS))
