"""Which images of a run are asked for, as a link and the app's own addresses say it: checked, and answered.

No streamlit state: pages and routes use it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from covidviz.evaluation.ranking import ORDERS, cells, label_of, select
from covidviz.evaluation.replay import FATES
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import places, replays
from covidviz.ui.places import Area
from covidviz.ui.results import Results

__all__ = ["Query", "query_of", "rows_of", "sources"]

Version = tuple[int, int]
SEEDS = 1_000_000


@dataclass(frozen=True)
class Query:
    """Arguments of `covidviz.evaluation.ranking.select`, all of them possible in this run; of the validation split also

    epoch: as the run was then; None: its best epoch, or the latest of one that trains.
    fate: only images of this one of `covidviz.evaluation.replay.FATES`.
    area: only images inside this outline on the map.
    """

    split: str
    order: str
    cls: str | None = None
    pred: str | None = None
    cell: str | None = None
    source: str | None = None
    seed: int = 1
    epoch: int | None = None
    fate: str | None = None
    area: Area | None = None

    @property
    def params(self) -> dict[str, str | None]:
        """As the link has it; None: not in it. Both classes of a single-label run are one cell of the matrix."""
        seed = str(self.seed) if self.order == "random" else None
        named = {"cls": self.cls, "pred": self.pred, "cell": self.cell, "source": self.source}
        more = {
            "epoch": None if self.epoch is None else str(self.epoch),
            "fate": self.fate,
            "area": None if self.area is None else places.area_text(self.area),
        }
        return {"split": self.split, "order": self.order, "seed": seed, **named, **more}

    @property
    def filtered(self) -> bool:
        """Whether it asks for less than the whole split."""
        return any((self.cls, self.pred, self.cell, self.source, self.fate, self.area))

    def judged(self, found: Results) -> str | None:
        """Multi-label: the one class that `right`, the captions and the heat maps mean; else None."""
        if found.task == "single-label":
            return None
        return label_of(found.classes, cls=self.cls, pred=self.pred, cell=self.cell)


def query_of(get: Callable[[str], str | None], found: Results, run: Run | None = None) -> Query:
    """What `get(key)` of a link or address says, without what this run does not have.

    Args:
        run: whose results these are; without it nothing of epochs and of the map is understood.
    """

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
    split = one("split", list(found.splits)) or next(iter(found.splits))
    more: dict[str, Any] = {}
    if run is not None and split == replays.SPLIT and any(get(key) for key in ("epoch", "fate", "area")):
        known = replays.replay(run)
        epoch = get("epoch") or ""
        if known is not None:
            there = epoch.isascii() and epoch.isdigit() and len(epoch) < 8 and int(epoch) in known.epochs
            more = {"epoch": int(epoch) if there else None, "fate": one("fate", FATES)}
        if (area := places.area_of(get("area"))) and places.place_map(run) is not None:
            more["area"] = area
    return Query(
        split=split,
        order=one("order", ORDERS) or ("all" if cell else "worst"),
        cls=cls,
        pred=pred,
        cell=cell,
        source=one("source", sources(found)),
        seed=int(seed) % SEEDS if seed.isascii() and seed.isdigit() and len(seed) < 10 else 1,
        **more,
    )


def sources(found: Results) -> list[str]:
    """Where the images come from, sorted; empty where that is not known."""
    if "source" not in found.frame:
        return []
    return sorted({str(name) for name in found.frame["source"].unique() if name is not None and name == name and name})


def rows_of(run: Run, query: Query) -> pd.DataFrame:
    """The rows of `replays.found_at` that the query asks for, in its order. Shared: leave them as they are."""
    versions = (*replays.version(run), run.version(layout.PREDICTIONS))
    on_map = places.key(run, None) if query.area else ""
    return _rows(str(run.dir), versions, on_map, query)


@lru_cache(maxsize=48)
def _rows(folder: str, versions: tuple[Version, ...], on_map: str, query: Query) -> pd.DataFrame:  # noqa: ARG001  the cache key
    run = Run(Path(folder))
    found = replays.found_at(run, query.epoch)
    if found is None:
        raise KeyError(folder)
    frame = found.frame
    if query.fate is not None and (known := replays.replay(run)) is not None:
        frame = frame[frame["sample_id"].astype(str).isin(known.of_fate(query.fate))]
    if query.area is not None:
        frame = frame[frame["sample_id"].astype(str).isin(places.chosen(run, query.area))]
    return select(
        frame, found.classes, found.task, split=query.split, order=query.order, cls=query.cls, pred=query.pred,
        cell=query.cell, source=query.source, seed=query.seed,
    )  # fmt: skip
