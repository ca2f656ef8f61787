"""Something to look at on a fresh machine: phantoms, and three runs that differ in one setting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from covidviz.paths import data_dir

__all__ = ["make_demo"]

MODEL = "resnet18"
TAG = "demo"
# The learning rate is the setting whose effect is seen best: right, far too small, far too large.
FROM_SCRATCH = {"weights": "none", "trainable": "all", "image_size": 64, "epochs": 8, "schedule": "cosine"}
FROM_IMAGENET = {"weights": "imagenet", "trainable": "head", "image_size": 128, "epochs": 8, "schedule": "cosine"}
LEARNING_RATES = (
    ("Learning rate 0.02", 2e-2),
    ("Learning rate 0.0001, too small", 1e-4),
    ("Learning rate 1, too large", 1.0),
)


def make_demo(runs_dir: Path, *, wait: bool, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Makes the small phantoms and queues three trainings on them, unless they are there already.

    Args:
        wait: return when the three runs are no longer queued or running, instead of at once.
        on_progress: called with lines for people.

    Returns:
        `data` (the dataset folder), `weights` (which starting weights and why, in a sentence), and `runs`
        [{`run_id`, `state`}].

    Raises:
        CovidvizError: the phantoms or the runs can't be made.
    """
    from covidviz.config import TrainConfig
    from covidviz.jobs.scheduler import ensure_scheduler
    from covidviz.jobs.submit import submit
    from covidviz.store.status import read_status

    data = _phantoms(on_progress)
    settings, sentence = _weights()
    on_progress(sentence)
    there = _existing(runs_dir)
    run_dirs = []
    for name, lr in LEARNING_RATES:
        run_dir = there.get(name)
        if run_dir is None:
            values = {**settings, "data": str(data), "model": MODEL, "lr": lr, "name": name, "tags": [TAG]}
            run_dir = submit(TrainConfig.parse(values), runs_dir)
            on_progress(f"queued: {name}")
        run_dirs.append(run_dir)
    said: dict[Path, tuple[str, int]] = {}
    while wait and any(read_status(run_dir).live for run_dir in run_dirs):
        ensure_scheduler(runs_dir)
        for (name, _), run_dir in zip(LEARNING_RATES, run_dirs, strict=True):
            status = read_status(run_dir)
            if said.get(run_dir) != (status.state, status.epoch) and status.state != "queued":
                said[run_dir] = (status.state, status.epoch)
                on_progress(f"{name}: {status.state}, epoch {status.epoch} of {status.epochs}")
        time.sleep(0.5)
    runs = [{"run_id": run_dir.name, "state": read_status(run_dir).state} for run_dir in run_dirs]
    return {"data": str(data), "weights": sentence, "runs": runs}


def _phantoms(on_progress: Callable[[str], None]) -> Path:
    from covidviz.data.phantoms import PhantomOptions, make_phantoms

    folder = data_dir() / "phantoms-small"
    if (folder / "labels.csv").exists():
        return folder
    told = -1

    def count(done: int, n: int) -> None:
        nonlocal told
        if (percent := 100 * done // n // 10 * 10) > told:
            told = percent
            on_progress(f"drawing phantoms: {percent} %")

    folder.parent.mkdir(parents=True, exist_ok=True)
    return make_phantoms(folder, PhantomOptions(size="small"), on_progress=count)


def _weights() -> tuple[dict[str, Any], str]:
    from covidviz.weights_cache import can_fetch, is_cached

    if is_cached(MODEL):
        return FROM_IMAGENET, "starting from ImageNet weights, which are on this machine"
    if can_fetch(MODEL):
        return FROM_IMAGENET, "starting from ImageNet weights, which are downloaded first"
    return FROM_SCRATCH, "starting from scratch: ImageNet weights are neither on this machine nor to be had from here"


def _existing(runs_dir: Path) -> dict[str, Path]:
    """Demo runs made before that are finished or on their way, by name."""
    from covidviz.store.index import RunIndex

    rows = RunIndex(runs_dir).refresh()
    good = [row for row in rows if TAG in row.tags and row.state in ("queued", "running", "completed")]
    return {row.name: runs_dir / row.run_id for row in good}
