"""A whole training of covidviz as the command line does it, with a stopwatch at its joints.

Its parts grow with the images (decoding, the frozen part, steps, validation) or do not (weights, checkpoints, logs), so
what was measured on a few images can be said of many.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import covidviz.explain.cam
import covidviz.training.dataset
import covidviz.training.engine
from benchmarks.gates.row import clock
from covidviz.config import TrainConfig
from covidviz.jobs.submit import prepare
from covidviz.store.runs import create_run
from covidviz.store.status import read_status
from covidviz.training.engine import Training
from covidviz.training.worker import work

__all__ = ["JOINTS", "Times", "train"]

# What is timed, and where: (owner, attribute).
JOINTS: dict[str, tuple[Any, str]] = {
    "images": (covidviz.training.dataset, "load_dataset"),
    "features": (Training, "_use_features"),
    "steps": (Training, "_train_epoch"),
    "evaluation": (Training, "_evaluate"),
    "metrics": (covidviz.training.engine, "classification_metrics"),
    "end of epoch": (Training, "_end_epoch"),
}
GROWING = ("images", "features", "steps", "evaluation", "metrics")  # with the number of images; the rest does not


@dataclass
class Times:
    """Seconds of one training: `total`, and what each call of a joint took, in order."""

    run_dir: Path
    total: float = 0.0
    calls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def of(self, *names: str) -> float:
        """All calls of these joints together."""
        return sum(sum(self.calls[name]) for name in names)

    @property
    def fixed(self) -> float:
        """What does not grow with the images."""
        return self.total - self.of(*GROWING)

    def epoch(self) -> float:
        """The median epoch: steps, validation, checkpoint and log."""
        taken = [a + b for a, b in zip(self.calls["steps"], self.calls["end of epoch"], strict=True)]
        return sorted(taken)[len(taken) // 2]

    def writing(self) -> float:
        """Of an epoch: what is neither steps nor validation nor metrics, on average: checkpoint and log."""
        epochs = len(self.calls["end of epoch"])
        computed = sum(self.calls["evaluation"][:epochs]) + sum(self.calls["metrics"][: 2 * epochs])
        return (sum(self.calls["end of epoch"]) - computed) / epochs


def train(data: Path, caches: Path, runs: Path, *, cams: bool = False, **settings: Any) -> Times:
    """Train with these settings in this process.

    Args:
        caches: folder of the caches; a new one means that nothing is known yet.
        cams: make the heat maps of the validation split too, which the plain script does not.

    Raises:
        RuntimeError: the training failed.
    """
    config, _ = prepare(TrainConfig.parse({"data": str(data), **settings}))
    run_dir = create_run(config, runs, state="running")
    times = Times(run_dir)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"COVIDVIZ_CACHE_DIR": str(caches)}))
        for name, (owner, attribute) in JOINTS.items():
            stack.enter_context(_timed(owner, attribute, times.calls[name]))
        if not cams:
            stack.enter_context(patch.object(covidviz.explain.cam, "log_cams", lambda *_, **__: None))
        start = clock()
        state = work(run_dir)
        times.total = clock() - start
    if state != "completed":
        raise RuntimeError(f"the training {state}: {read_status(run_dir).error}")
    return times


@contextmanager
def _timed(owner: Any, attribute: str, calls: list[float]) -> Iterator[None]:
    inner: Callable[..., Any] = getattr(owner, attribute)

    def outer(*args: Any, **kwargs: Any) -> Any:
        start = clock()
        try:
            return inner(*args, **kwargs)
        finally:
            calls.append(clock() - start)

    with patch.object(owner, attribute, outer):
        yield
