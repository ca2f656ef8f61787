"""What the predictions of a run directory decide, for `covidviz.evaluation.matched`."""

from __future__ import annotations

from collections.abc import Sequence

from covidviz.errors import StoreError
from covidviz.evaluation.matched import Judgement
from covidviz.evaluation.ranking import judged
from covidviz.store.reader import Run
from covidviz.store.thresholds import read_thresholds

__all__ = ["judgement", "split_of"]


def judgement(run: Run, name: str) -> tuple[Judgement, str | None]:
    """The predictions of `run`, to be called `name` in notes and errors; and its critical class.

    Raises:
        StoreError: the run has no predictions (yet), or its files can't be read or don't fit together.
    """
    config = run.config()
    if config is None:
        raise StoreError(f"the settings of run {run.id} can not be read")
    said = run.predictions()
    if not len(said):
        state = run.status().state
        raise StoreError(f"run {run.id} is {state} and has no predictions: they are written when a run completes")
    try:
        frame = judged(run.samples(), said, config.classes, config.task)
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"samples and predictions of run {run.id} do not fit together: {error}") from error
    if not len(frame):
        raise StoreError(f"samples and predictions of run {run.id} do not fit together: no image is in both")
    saved = {label: one.value for label, one in read_thresholds(run.dir).items()}
    return Judgement(name, frame, config.classes, config.task, saved, config.data), config.critical_class


def split_of(runs: Sequence[Judgement]) -> str:
    """The split to compare where nobody chose one: test where all runs have it, else val."""
    return "test" if all((one.frame["split"] == "test").any() for one in runs) else "val"
