"""The runs of the lessons: made once on a server, whoever asks first, and found again by their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from covidviz.config import TrainConfig
from covidviz.lessons import pictures
from covidviz.lessons.shape import Lesson, Trial
from covidviz.store.locks import Lock
from covidviz.store.summary import RunSummary

__all__ = ["TAG", "config_of", "find", "submit_missing"]

TAG = "lesson"
# Where several runs fit, the one that tells most.
_ORDER = {"completed": 0, "running": 1, "queued": 2}


def config_of(trial: Trial, lesson: Lesson) -> TrainConfig:
    """The settings of a trial, for the dataset where it is or will be."""
    name = f"Lesson {lesson.number}: {trial.name}"
    data = str(pictures.folder(trial.dataset))
    return TrainConfig.parse({**trial.settings, "data": data, "name": name, "tags": (TAG,)})


def find(lesson: Lesson, rows: Iterable[RunSummary]) -> dict[str, RunSummary | None]:
    """The run of each trial among `rows`; None where there is none that was made for it.

    A run is the trial's where every setting is the same, whatever its name and tags are now. A completed one is taken
    before a live one, and that before one that failed; of equals the newest.
    """
    rows = list(rows)
    return {trial.key: _best(config_of(trial, lesson), rows) for trial in lesson.trials}


def _best(config: TrainConfig, rows: list[RunSummary]) -> RunSummary | None:
    wanted = _settings(config.dump())
    # By name of the dataset first: the settings of a row are read only where somebody asks for them.
    fit = [row for row in rows if row.data == config.data and _same(wanted, row.settings)]
    return min(fit, key=lambda row: (_ORDER.get(row.state, 3), -(row.created or 0.0)), default=None)


_FOR_PEOPLE = ("schema_version", "name", "tags", "recipe")
_FILLED_IN = ("classes", "critical_class", "loss", "backbone_lr")  # from the dataset, when the run was made


def _settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a run of these settings has to have."""
    left = {name: value for name, value in document.items() if name not in _FOR_PEOPLE}
    return {name: value for name, value in left.items() if value or name not in _FILLED_IN}


def _same(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(given.get(name) == value for name, value in wanted.items())


def submit_missing(lesson: Lesson, runs_dir: Path, tell: Callable[[str], None]) -> None:
    """Make the lesson's pictures, and queue those of its runs that are neither done nor on their way.

    Several who ask at the same time wait for each other, so that nothing is trained twice.

    Raises:
        CovidvizError: the pictures or the runs can't be made.
    """
    from covidviz.jobs.submit import submit
    from covidviz.store.index import RunIndex

    pictures.make(sorted({trial.dataset for trial in lesson.trials}), tell)
    folder = runs_dir / ".tasks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = None
    while lock is None:
        lock = Lock.take(folder / "lessons.lock", wait=60)
    with lock:
        there = find(lesson, RunIndex(runs_dir).refresh())
        for trial in lesson.trials:
            row = there[trial.key]
            if row is None or row.state not in _ORDER:
                submit(config_of(trial, lesson), runs_dir)
                tell(f"queued: {trial.name}")
