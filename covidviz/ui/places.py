"""Where the images of a run lie on its map (see `training.embedding`): for the page, its link and the route."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.store import maps
from covidviz.store.maps import PlaceMap
from covidviz.store.reader import Run
from covidviz.ui import pictures, replays

__all__ = ["CORNERS", "Area", "area_of", "area_text", "chosen", "inside", "key", "place_map", "points"]

Area = tuple[tuple[float, float], ...]
CORNERS = 64  # of an outline in a link


def place_map(run: Run) -> PlaceMap | None:
    """The map of the validation images; None where it was not made for the run's present weights."""
    return _read(str(run.dir), str(maps.path(run, replays.SPLIT)), maps.version(run, replays.SPLIT))


@lru_cache(maxsize=8)
def _read(folder: str, file: str, version: tuple[int, int]) -> PlaceMap | None:  # noqa: ARG001  the cache key
    return None if version == (0, 0) else maps.read(Run(Path(folder)), replays.SPLIT)


def area_of(text: str | None) -> Area | None:
    """The outline that a link names, `x,y` in thousandths of the map joined by `~`; None for anything else."""
    if not text or len(text) > 12 * CORNERS:
        return None
    corners = []
    for corner in text.split("~"):
        x, _, y = corner.partition(",")
        try:
            at = int(x) / 1000, int(y) / 1000
        except ValueError:
            return None
        if not all(-10 <= value <= 10 for value in at):
            return None
        corners.append(at)
    return tuple(corners) if 3 <= len(corners) <= CORNERS else None


def area_text(area: Area) -> str:
    """What `area_of` reads."""
    return "~".join(f"{round(1000 * x)},{round(1000 * y)}" for x, y in area)


def inside(area: Area, place: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the places [N, 2] lie in an outline (even-odd rule), bool [N]."""
    x, y = place[:, 0].astype(np.float64), place[:, 1].astype(np.float64)
    found = np.zeros(len(place), dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(area, (*area[1:], area[0]), strict=True):
        if y1 != y2:
            crosses = ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
            found ^= crosses
    return found


def chosen(run: Run, area: Area) -> set[str]:
    """The samples inside an outline; none without a map."""
    known = place_map(run)
    if known is None:
        return set()
    return {known.sample_id[k] for k in np.flatnonzero(inside(area, known.place.round(4)))}  # as the browser has them


def key(run: Run, epoch: int | None) -> str:
    """A short text that changes whenever what `points` gives does."""
    versions = (maps.version(run, replays.SPLIT), replays.version(run), replays.predicted_version(run), epoch)
    return hashlib.blake2s(repr(versions).encode(), digest_size=6).hexdigest()


def points(run: Run, epoch: int | None) -> bytes | None:
    """Every image on the map, as JSON: per image `ids`, `v` (key of its picture), `x`, `y` in 0..1, `true` and `said`
    (names), `group` (index into `groups`, the true classes), `right`, `loss`, `source` (index into `sources`).

    None without a map, or where the run says nothing of these images.
    """
    known, found = place_map(run), replays.found_at(run, epoch)
    if known is None or found is None:
        return None
    place = dict(zip(known.sample_id, known.place.tolist(), strict=True))
    frame = found.frame[found.frame["sample_id"].astype(str).isin(place)]
    ids = frame["sample_id"].astype(str).tolist()
    labels = labels_of(frame, found.classes)
    decided = predicted(prob_of(frame, found.classes), found.task) if len(frame) else labels
    true, said = _names(labels, found.classes), _names(decided, found.classes)
    groups = sorted(set(true), key=lambda name: (name not in found.classes, _order(name, found.classes), name))
    where = frame["source"].astype(str).tolist() if "source" in frame else [""] * len(ids)
    sources = sorted(set(where))
    return json.dumps({
        "ids": ids,
        "v": [pictures.file_key(run, name) for name in ids],
        "x": [round(place[name][0], 4) for name in ids],
        "y": [round(place[name][1], 4) for name in ids],
        "true": true,
        "said": said,
        "group": [groups.index(name) for name in true],
        "groups": groups,
        "right": [int(yes) for yes in frame["right"]],
        "loss": [round(float(value), 4) if math.isfinite(value) else None for value in frame["loss"]],
        "source": [sources.index(name) for name in where],
        "sources": sources if any(sources) else [],
    }).encode()  # fmt: skip


def _names(rows: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    named = {}
    for row in map(tuple, rows.tolist()):
        if row not in named:
            named[row] = ", ".join(name for name, yes in zip(classes, row, strict=True) if yes) or "none"
    return [named[tuple(row)] for row in rows.tolist()]


def _order(name: str, classes: Sequence[str]) -> int:
    return list(classes).index(name) if name in classes else len(classes)
