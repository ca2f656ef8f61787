"""Which images of a run are asked for, as a link and the app's own addresses say it: checked, and answered.

No streamlit state: pages and routes use it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from covidviz.evaluation.ranking import ORDERS, cells, label_of, select
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui.results import Results, results

__all__ = ["Query", "query_of", "rows_of", "sources"]

Version = tuple[int, int]
SEEDS = 1_000_000


@dataclass(frozen=True)
class Query:
    """Arguments of `covidviz.evaluation.ranking.select`, all of them possible in this run."""

    split: str
    order: str
    cls: str | None = None
    pred: str | None = None
    cell: str | None = None
    source: str | None = None
    seed: int = 1

    @property
    def params(self) -> dict[str, str | None]:
        """As the link has it; None: not in it. Both classes of a single-label run are one cell of the matrix."""
        seed = str(self.seed) if self.order == "random" else None
        named = {"cls": self.cls, "pred": self.pred, "cell": self.cell, "source": self.source}
        return {"split": self.split, "order": self.order, "seed": seed, **named}

    @property
    def filtered(self) -> bool:
        """Whether it asks for less than the whole split."""
        return any((self.cls, self.pred, self.cell, self.source))

    def judged(self, found: Results) -> str | None:
        """Multi-label: the one class that `right`, the captions and the heat maps mean; else None."""
        if found.task == "single-label":
            return None
        return label_of(found.classes, cls=self.cls, pred=self.pred, cell=self.cell)


def query_of(get: Callable[[str], str | None], found: Results) -> Query:
    """What `get(key)` of a link or address says, without what this run does not have."""

    def one(key: str, accepted: Sequence[str]) -> str | None:
        value = get(key)
        return value if value in accepted else None

    cell = one("cell", cells(found.classes, found.task))
    cls = None if cell else one("cls", found.classes)
    pred = None if cell else one("pred", found.classes)
    if cls and pred and found.task == "single-label":
        cell = f"{found.classes.index(cls)}-{found.classes.index(pred)}"
        cls = pred = None
    seed = get("seed") or ""
    return Query(
        split=one("split", list(found.splits)) or next(iter(found.splits)),
        order=one("order", ORDERS) or ("all" if cell else "worst"),
        cls=cls,
        pred=pred,
        cell=cell,
        source=one("source", sources(found)),
        seed=int(seed) % SEEDS if seed.isascii() and seed.isdigit() and len(seed) < 10 else 1,
    )


def sources(found: Results) -> list[str]:
    """Where the images come from, sorted; empty where that is not known."""
    if "source" not in found.frame:
        return []
    return sorted({str(name) for name in found.frame["source"].unique() if name is not None and name == name and name})


def rows_of(run: Run, query: Query) -> pd.DataFrame:
    """The rows of `results(run)` that the query asks for, in its order. Shared: leave them as they are."""
    versions = tuple(run.version(name) for name in (layout.CONFIG, layout.SAMPLES, layout.PREDICTIONS))
    return _rows(str(run.dir), versions, query)


@lru_cache(maxsize=24)
def _rows(folder: str, versions: tuple[Version, ...], query: Query) -> pd.DataFrame:  # noqa: ARG001  the cache key
    found = results(Run(Path(folder)))
    if found is None:
        raise KeyError(folder)
    return select(
        found.frame, found.classes, found.task, split=query.split, order=query.order, cls=query.cls, pred=query.pred,
        cell=query.cell, source=query.source, seed=query.seed,
    )  # fmt: skip
