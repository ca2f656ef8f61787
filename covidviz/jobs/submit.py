"""From settings to a queued run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from covidviz.config import TrainConfig
from covidviz.errors import WeightsError
from covidviz.jobs.queue import enqueue, requeue
from covidviz.jobs.scheduler import ensure_scheduler
from covidviz.store.runs import create_run

if TYPE_CHECKING:
    from covidviz.data.manifest import Manifest

__all__ = ["located", "prepare", "resume", "submit"]


def prepare(config: TrainConfig) -> tuple[TrainConfig, Manifest]:
    """The config with every default filled in and its paths absolute, and the dataset it names.

    Raises:
        DataError: the dataset can't be used.
        ConfigError: a setting does not fit the dataset.
        WeightsError: there is no such weights file.
    """
    from covidviz.data.manifest import load_manifest

    config = located(config)
    manifest = load_manifest(
        config.data, split_column=config.split_column, classes=config.classes, task=config.task,
        label_rule=config.label_rule, seed=config.seed,
    )  # fmt: skip
    return config.resolve(manifest.classes), manifest


def located(config: TrainConfig) -> TrainConfig:
    """The config with its paths absolute.

    Raises:
        WeightsError: there is no such weights file.
    """
    changes = {"data": str(Path(config.data).expanduser().resolve())}
    if config.weights not in ("imagenet", "none"):
        weights = Path(config.weights).expanduser().resolve()
        if not weights.is_file():
            raise WeightsError(f"weights: {config.weights!r} is no file, accepted: imagenet, none, or a weights file")
        changes["weights"] = str(weights)
    return config.replace(**changes)


def submit(config: TrainConfig, runs_dir: Path) -> Path:
    """Checks `config` against its dataset, makes the run directory, queues it, and sees that the queue moves.

    Returns the run directory.

    Raises:
        InputError: the dataset or a setting is wrong; nothing was made.
        StoreError: the run directory can't be written.
    """
    resolved, _ = prepare(config)
    run_dir = create_run(resolved, runs_dir)
    enqueue(run_dir)
    ensure_scheduler(runs_dir)
    return run_dir


def resume(run_dir: Path) -> None:
    """Queues a stopped, failed or lost run again, and sees that the queue moves.

    Raises:
        InputError: it is in another state.
        StoreError: its process still holds it, or it can't be written.
    """
    requeue(run_dir)
    ensure_scheduler(run_dir.parent)
