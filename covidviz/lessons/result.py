"""What a lesson needs to know of a finished run, as a few counts. Its images are judged by the run's best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidviz import layers
from covidviz.errors import StoreError
from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import judged, labels_of, prob_of
from covidviz.explain.measures import measure
from covidviz.store.reader import Run

__all__ = ["Count", "Result", "result_of"]

CRITICAL = "covid19"


@dataclass(frozen=True)
class Count:
    """`k` of `n`."""

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.k <= self.n:
            raise ValueError(f"{self.k} of {self.n} given, accepted: 0 <= k <= n")

    @property
    def share(self) -> float:
        """0..1; 0 of none."""
        return self.k / self.n if self.n else 0.0

    @property
    def percent(self) -> int:
        return round(100 * self.share)

    def __str__(self) -> str:
        return f"{self.k} of {self.n}"


@dataclass(frozen=True)
class Result:
    """Counts of one run, of the validation split unless said otherwise.

    right, trained: images with every label right, of validation and of training.
    labels: yes-or-no decisions that are right, of all.
    found: covid-19 images called covid-19. alarms: other images called so; alarms_of: by true class.
    said: images by the class that was said (the likeliest; with several labels each that was said).
    support: images of each class.
    kinds: right images by the column `kind` of the dataset, of all splits but train. called: those called covid-19.
    hits: for each validation image (by its path) whether it is right; finds: the same for covid-19 images.
    corners: share of the heat (Grad-CAM of covid-19 on covid-19 images) in the four corners, where maps were logged.
    seconds: from start to end. learnt: numbers that learn, where known.
    """

    right: Count
    trained: Count
    labels: Count
    found: Count
    alarms: Count
    alarms_of: Mapping[str, Count] = field(default_factory=dict)
    said: Mapping[str, int] = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, Count] = field(default_factory=dict)
    called: Mapping[str, Count] = field(default_factory=dict)
    hits: Mapping[str, bool] = field(default_factory=dict)
    finds: Mapping[str, bool] = field(default_factory=dict)
    corners: float | None = None
    seconds: float | None = None
    learnt: int | None = None

    @property
    def commonest(self) -> str:
        """The class with the most images, the first of equals."""
        return max(self.support, key=lambda name: self.support[name])

    @property
    def constant(self) -> Count:
        """Images that are right when the commonest class is said for each."""
        return Count(self.support[self.commonest], self.right.n)

    @property
    def constant_labels(self) -> Count:
        """Yes-or-no decisions that are right then."""
        n = self.right.n
        wrong = sum(k for name, k in self.support.items() if name != self.commonest) + n - self.support[self.commonest]
        return Count(self.labels.n - wrong, self.labels.n)


def result_of(run: Run) -> Result:
    """Count what a completed run decided.

    Raises:
        StoreError: its settings, samples or predictions can't be read.
    """
    config = run.config()
    said = run.predictions()
    if config is None or not len(said):
        raise StoreError(f"run {run.id} has no predictions that can be read")
    try:
        frame = judged(run.samples(), said, config.classes, config.task)
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"samples and predictions of run {run.id} do not fit together: {error}") from error
    classes = config.classes
    here = (frame["split"] == "val").to_numpy()
    val, train = frame[here], frame[frame["split"] == "train"]
    if not len(val) or CRITICAL not in classes:
        raise StoreError(f"run {run.id} has no validation image, or no class {CRITICAL}")
    truth = labels_of(val, classes).astype(bool)
    decided = predicted(prob_of(val, classes), config.task).astype(bool)
    at = classes.index(CRITICAL)
    ill, called = truth[:, at], decided[:, at]
    paths = val["path"].astype(str).tolist()
    right = val["right"].to_numpy(dtype=bool)
    status = run.status()
    times = [float(one) for one in (status.started, status.finished) if isinstance(one, int | float)]
    return Result(
        right=_count(right), trained=_count(train["right"].to_numpy(dtype=bool)), labels=_count(truth == decided),
        found=_count(called[ill]), alarms=_count(called[~ill]),
        alarms_of={
            name: _count(called[truth[:, i] & ~ill]) for i, name in enumerate(classes) if name != CRITICAL
        },
        said={name: int(decided[:, i].sum()) for i, name in enumerate(classes)},
        support={name: int(truth[:, i].sum()) for i, name in enumerate(classes)},
        kinds=_kinds(frame, frame["right"].to_numpy(dtype=bool)),
        called=_kinds(frame, predicted(prob_of(frame, classes), config.task).astype(bool)[:, at]),
        hits=dict(zip(paths, right.tolist(), strict=True)),
        finds={path: bool(yes) for path, yes, has in zip(paths, called, ill, strict=True) if has},
        corners=_corners(run, val["sample_id"].astype(str).to_numpy()[ill], at),
        seconds=times[1] - times[0] if len(times) == 2 else None,
        learnt=_learnt(run),
    )  # fmt: skip


def _count(right: NDArray[np.bool_]) -> Count:
    return Count(int(right.sum()), int(right.size))


def _kinds(frame: pd.DataFrame, yes: NDArray[np.bool_]) -> dict[str, Count]:
    if "kind" not in frame:
        return {}
    known = ((frame["split"] != "train") & frame["kind"].notna()).to_numpy()
    kinds = frame["kind"].astype(str).to_numpy()
    return {str(kind): _count(yes[known & (kinds == kind)]) for kind in sorted(set(kinds[known]))}


def _corners(run: Run, ill: NDArray[np.object_], at: int) -> float | None:
    cams = run.cams("val")
    if cams is None or cams.maps.shape[1] <= at:
        return None
    shares = measure(cams.maps[np.isin(cams.sample_id.astype(str), ill.astype(str)), at : at + 1], None, None).corners
    return float(np.nanmean(shares)) if np.isfinite(shares).any() else None


def _learnt(run: Run) -> int | None:
    config = run.config()
    if config is None:
        return None
    network = layers.network(config.model)
    head = layers.head_parameters(network.features, config.head, len(config.classes))
    return head + sum(layers.learning(config).values())
