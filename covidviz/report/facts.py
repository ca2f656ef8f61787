"""What is known of the runs of a report, read once. Whatever may be missing is named, not invented."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from covidviz.config import TrainConfig
from covidviz.data.doctor import known
from covidviz.data.doctor.report import Report
from covidviz.errors import CovidvizError, InputError, StoreError
from covidviz.evaluation.bootstrap import Interval, intervals
from covidviz.evaluation.judged_runs import judgement
from covidviz.evaluation.matched import Judgement
from covidviz.evaluation.metrics import classification_metrics, confusion, usable
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.evaluation.shares import class_rows
from covidviz.report.pictures import HeatMaps, dataset_name
from covidviz.report.say import plural
from covidviz.store import layout
from covidviz.store.index import RunIndex, RunSummary
from covidviz.store.reader import Run
from covidviz.store.runs import find_run, trashed

__all__ = ["MOST", "Facts", "Scores", "asked_runs", "gather", "refusal"]

MOST = 20  # runs: as many as the Compare page takes


@dataclass(frozen=True)
class Scores:
    """One split: `n` images, the metrics, 95 % intervals (of patients where known), the matrix, a row per class."""

    n: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    confusion: dict[str, Any]
    classes: list[dict[str, Any]]
    patients: int | None


@dataclass(frozen=True)
class Facts:
    """One completed run; `number` is what the report calls it."""

    number: int
    run: Run
    config: TrainConfig
    summary: RunSummary
    judged: Judgement
    unusable: int

    @property
    def name(self) -> str:
        return self.summary.name

    @property
    def title(self) -> str:
        return f"Run {self.number}, {self.name}"

    @property
    def label(self) -> str:
        """For a table or a legend."""
        return f"{self.number} \N{MIDDLE DOT} {self.name}"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.config.classes

    @property
    def critical(self) -> str | None:
        return self.config.critical_class

    @property
    def frame(self) -> pd.DataFrame:
        return self.judged.frame

    @property
    def dataset(self) -> str:
        return dataset_name(self.config.data)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        return self.run.metrics()

    @cached_property
    def environment(self) -> dict[str, Any]:
        return self.run.environment()

    @cached_property
    def heat(self) -> HeatMaps:
        return HeatMaps(self.run)

    @cached_property
    def samples(self) -> pd.DataFrame:
        return self.run.samples()

    @cached_property
    def doctor(self) -> Report | None:
        """The data doctor's kept report on exactly the data as it is now; None where there is none."""
        with contextlib.suppress(CovidvizError, OSError, ValueError):
            return known(self.config.data, self.config.split_column)
        return None

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with predictions, in their order."""
        there = set(self.frame["split"])
        return tuple(split for split in layout.SPLITS if split in there)

    @property
    def last(self) -> str:
        """The split that the result is told on: test, else validation, else training."""
        return self.splits[-1]

    @property
    def fingerprint(self) -> str:
        """Of the data it saw; empty where unknown."""
        data = self.environment.get("data")
        found = data.get("fingerprint") if isinstance(data, dict) else self.environment.get("data_fingerprint")
        return found if isinstance(found, str) else ""

    @property
    def seconds(self) -> float | None:
        began, ended = self.summary.started, self.summary.finished
        return None if began is None or ended is None else ended - began

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """By split."""
        return {split: _scores(self, split) for split in self.splits}

    @property
    def missing(self) -> list[str]:
        """What a report of this run can't tell, a sentence each."""
        said = []
        if not self.environment:
            said.append("environment.json is missing: versions, hardware, commit and data fingerprint are not known.")
        elif not self.fingerprint:
            said.append("The fingerprint of its data is not known.")
        if "test" not in self.splits:
            said.append("There is no test split: the result is told on images that also chose the best epoch.")
        if not self.heat.splits:
            said.append("There are no heat maps, so its images are shown without.")
        if not len(self.metrics):
            said.append("metrics.jsonl is missing: there are no curves.")
        if self.unusable:
            said.append(f"{plural(self.unusable, 'image')} with a probability that is no number are left out.")
        return said


def asked_runs(runs_dir: Path, asked: Sequence[str]) -> list[Path]:
    """The run directories of these ids (or the beginnings of some), each once.

    Raises:
        InputError: none, too many, one that does not exist or was deleted, or one that is not completed; all that can't
            be taken are named.
    """
    found: dict[Path, None] = {}
    wrong: list[str] = []
    for text in asked:
        try:
            run_dir = find_run(runs_dir, text)
        except InputError as error:
            lying = [path.name for path in trashed(runs_dir) if text and path.name.startswith(text)]
            back = f"run {lying[0]} was deleted (runs restore {lying[0]} brings it back)" if len(lying) == 1 else ""
            wrong.append(back or str(error))
            continue
        if (why := refusal(run_dir)) is not None:
            wrong.append(why)
        else:
            found[run_dir] = None
    if wrong:
        raise InputError(f"{'; '.join(wrong)}; accepted: completed runs with their predictions")
    if not 1 <= len(found) <= MOST:
        raise InputError(f"{plural(len(found), 'run')} given, accepted: 1 to {MOST} completed runs")
    return list(found)


def refusal(run_dir: Path) -> str | None:
    """Why this run can't be in a report, without a full stop; None where it can."""
    status = Run(run_dir).status()
    if not run_dir.is_dir():
        return f"run {run_dir.name} was deleted"
    if status.state == "completed":
        there = (run_dir / layout.PREDICTIONS).is_file()
        return None if there else f"run {run_dir.name} is completed, but has no predictions"
    if status.state == "running":
        return f"run {run_dir.name} is running ({100 * status.progress:.0f} % done)"
    if status.state == "failed" and status.error:
        return f"run {run_dir.name} failed ({status.error.rstrip('.')})"
    return f"run {run_dir.name} {'failed' if status.state == 'failed' else f'is {status.state}'}"


def gather(run_dirs: Sequence[Path], tell: Callable[[str], None] = lambda _: None) -> list[Facts]:
    """The runs, numbered from 1 in the order given.

    Raises:
        InputError: one of them can't be in a report.
        StoreError: its files can't be read or don't fit together.
    """
    if refused := [why for one in run_dirs if (why := refusal(one)) is not None]:
        raise InputError(f"{'; '.join(refused)}; accepted: completed runs with their predictions")
    rows: dict[Path, RunSummary] = {}
    for folder in {one.parent for one in run_dirs}:
        rows |= {folder / row.run_id: row for row in RunIndex(folder).refresh()}
    found = []
    for number, run_dir in enumerate(run_dirs, start=1):
        tell(f"reading run {number} of {len(run_dirs)}: {30 * number // len(run_dirs)} %")
        run = Run(run_dir)
        config = run.config()
        if config is None or run_dir not in rows:
            raise StoreError(f"the settings of run {run.id} can not be read")
        judged, _ = judgement(run, f"run {number}")
        keep = usable(prob_of(judged.frame, config.classes))
        if not keep.any():
            raise StoreError(f"no probability of run {run.id} is a number: it diverged")
        whole = Judgement(
            judged.name, judged.frame[keep].reset_index(drop=True), judged.classes, judged.task, judged.thresholds,
            judged.data,
        )  # fmt: skip
        found.append(Facts(number, run, config, rows[run_dir], whole, int((~keep).sum())))
    return found


def _scores(one: Facts, split: str) -> Scores:
    frame = one.frame[one.frame["split"] == split]
    prob, labels = prob_of(frame, one.classes), labels_of(frame, one.classes)
    task = one.config.task
    known = frame.get("patient_id")
    patients = None if known is None or not (known.notna() & (known.astype(str) != "")).any() else list(known)
    drawn = intervals(prob, labels, one.classes, task, clusters=patients)
    table = confusion(prob, labels, one.classes, task)
    n_patients = None if patients is None else len({value for value in patients if value is not None})
    return Scores(
        len(frame), classification_metrics(prob, labels, one.classes, task), drawn, table,
        class_rows(table, one.classes, task, drawn, n_patients), n_patients,
    )  # fmt: skip
