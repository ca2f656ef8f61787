"""Do a run's heat maps depend on what its network learned? The stored answer of the sanity check, and its rules.

Cascading randomisation (Adebayo et al. 2018), made by `covidviz.explain.sanity`; reading it needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.reader import Run

__all__ = ["ALIKE", "UNLIKE", "Dependence", "Step", "read", "verdict", "write"]

SANITY = "sanity.json"
UNLIKE, ALIKE = 0.3, 0.7  # rank correlations below and from which two maps count as unlike and alike


@dataclass(frozen=True)
class Step:
    """The maps once `layer` and all layers above it hold random numbers.

    similarity: median over the images of the Spearman rank correlation with the map as it was, -1..1; a map that
        became constant counts as 0.
    low, high: the quartiles.
    """

    layer: str
    similarity: float
    low: float
    high: float


@dataclass(frozen=True)
class Dependence:
    """The sanity check of one run.

    epoch: whose weights were examined.
    images: how many; `steps`: the head first, the layer that sees the image last.
    """

    method: str
    layer: str
    epoch: int
    images: int
    seed: int
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> str:
        """`yes`, `partly` or `no`."""
        return verdict([step.similarity for step in self.steps])

    @property
    def words(self) -> str:
        """One sentence that says what was found."""
        first, last = self.steps[0], self.steps[-1]
        head = f"{first.similarity:.2f} once the head is random"
        whole = f"{last.similarity:.2f} once every layer is"
        return {
            "yes": f"They change when learned weights are replaced with random ones: similarity {head}, {whole}.",
            "partly": f"Some of the picture stays when learned weights are replaced with random ones: similarity "
            f"{head}, {whole}. Read them with care.",
            "no": f"They look the same with random weights: similarity {head}, {whole}. They say nothing about what "
            "was learned.",
        }[self.verdict]


def verdict(similarity: Sequence[float]) -> str:
    """Whether the maps depend on what was learned.

    `no`: the maps stay alike (0.7 or more) to the end, where every layer is random. `yes`: they are unlike (below
    0.3) in the end, and the head alone, which each run learns, already makes them differ (below 0.7). Else `partly`.

    Args:
        similarity: of each step, the head first; not empty.
    """
    if similarity[-1] >= ALIKE:
        return "no"
    return "yes" if similarity[-1] < UNLIKE and similarity[0] < ALIKE else "partly"


def read(run: Run) -> Dependence | None:
    """The check of this run's present best epoch; None where it was not made, or of other weights."""
    raw = read_json(run.dir / SANITY) or {}
    try:
        steps = tuple(
            Step(str(step["layer"]), float(step["similarity"]), float(step["low"]), float(step["high"]))
            for step in raw["steps"]
        )
        found = Dependence(
            str(raw["method"]), str(raw["layer"]), int(raw["epoch"]), int(raw["images"]), int(raw["seed"]), steps
        )
    except (TypeError, KeyError, ValueError):
        return None
    whole = steps and all(math.isfinite(value) for step in steps for value in (step.similarity, step.low, step.high))
    return found if whole and found.epoch == run.best()[0] else None


def write(run: Run, found: Dependence) -> None:
    """Keep it as `sanity.json` of the run.

    Raises:
        StoreError: it can't be written.
    """
    document: dict[str, Any] = {"schema_version": 1, **asdict(found), "verdict": found.verdict}
    write_json_atomic(run.dir / SANITY, document)
