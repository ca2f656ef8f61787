"""Commands that train: here and now, or in the queue; the demo; and the queue's process."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covidviz.commands.parts import Answer, add, add_runs_dir, add_settings, runs_dir, settings, shown, tell, work_here

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `demo`, `train`, `submit`, `scheduler`. The flags of all settings are made only where they are asked for."""
    add_runs_dir(add(commands, "demo", _demo, "built-in data and three finished runs, ready to explore"))
    for name, run, help in (
        ("train", _train, "train here and now"),
        ("submit", _submit, "queue a training for the scheduler"),
    ):
        one = add(commands, name, run, help)
        one.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="settings as JSON, such as a run's config.json; flags win; --recipe NAME takes those of a recipe",
        )
        add_runs_dir(one)
        if words[:1] == [name]:
            add_settings(one)
    one = add(commands, "scheduler", _scheduler, "the queue's process, in the foreground")
    add_runs_dir(one)
    one.add_argument("--worker", help=argparse.SUPPRESS)  # another training command, for tests
    one.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # inherited from who starts it in the background


def _demo(args: argparse.Namespace) -> Answer:
    from covidviz.demo import make_demo

    demo = make_demo(runs_dir(args), wait=True, on_progress=tell)
    failed = [run["run_id"] for run in demo["runs"] if run["state"] != "completed"]
    lines = [f"{run['state']:<10} {run['run_id']}" for run in demo["runs"]]
    text = "\n".join([demo["weights"], *lines, "look at them with: streamlit run streamlit_app.py"])
    return Answer(demo, text, failed=f"not completed: {', '.join(failed)}" if failed else None)


def _train(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.submit import prepare
    from covidviz.store.runs import create_run

    config, _ = prepare(settings(args))
    # Before the run says running: importing torch can take longer than a heartbeat may.
    from covidviz.training.worker import work

    return work_here(work, create_run(config, runs_dir(args), state="running"))


def _submit(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.submit import submit

    return shown(submit(settings(args), runs_dir(args)))


def _scheduler(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.scheduler import WORKER, run_scheduler

    command = shlex.split(args.worker) if args.worker else WORKER
    run_scheduler(runs_dir(args), command=command, inherited=args.lock)
    return Answer(None, "")
