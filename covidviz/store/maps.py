"""Where the images of a run lie in two dimensions: kept in the cache, read by pages. numpy, no torch.

In the picture cache as heat maps made on demand are, not in the run directory: a finished run is left as it is, and a
map can be made again. `<cache>/pictures/maps/<run id>/<version of the weights>/<split>.npz` has `sample_id` [N],
`place` float32 [N, 2] in 0..1, `method` and `of` (how many images the split has).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covidviz.errors import StoreError
from covidviz.paths import cache_dir
from covidviz.store import layout
from covidviz.store.files import replacing, saving
from covidviz.store.reader import Run

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PlaceMap", "forget", "path", "read", "version", "write"]


@dataclass(frozen=True)
class PlaceMap:
    """`place` float32 [N, 2] in 0..1 for `sample_id` [N]; `of` images in the split; `method` in words."""

    sample_id: list[str]
    place: np.ndarray
    method: str
    of: int


def path(run: Run, split: str) -> Path:
    """Where the map of this run's present best epoch is kept; another place once it has a new one."""
    size, mtime = run.version(layout.BEST)
    return cache_dir() / "pictures" / "maps" / run.id / f"{size:x}-{mtime:x}" / f"{split}.npz"


def version(run: Run, split: str) -> tuple[int, int]:
    """(size, mtime in ns) of its file, (0, 0) where there is none."""
    file = path(run, split)
    return Run(file.parent).version(file.name)


def read(run: Run, split: str) -> PlaceMap | None:
    """The map of a split; None where there is none that can be read."""
    import zipfile

    import numpy as np

    file = path(run, split)
    try:
        with np.load(file, allow_pickle=False) as kept:
            ids, place, method, of = (kept[name] for name in ("sample_id", "place", "method", "of"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if place.shape != (ids.size, 2) or not np.isfinite(place).all():
        return None
    return PlaceMap([str(name) for name in ids], place.astype(np.float32), str(method), int(of))


def write(run: Run, split: str, sample_id: Sequence[str], place: np.ndarray, method: str, of: int) -> None:
    """Keep a map; a reader sees the one before or this one.

    Raises:
        StoreError: the run is gone, or the cache can't be written.
    """
    import numpy as np

    if not run.dir.is_dir():
        raise StoreError(f"{run.dir} is gone")
    file = path(run, split)
    with saving(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, temporary.open("wb") as out:
        np.savez(
            out, allow_pickle=False, sample_id=np.asarray(sample_id, dtype=np.str_), place=place.astype(np.float32),
            method=np.array(method), of=np.array(of),
        )  # fmt: skip


def forget(run: Run, split: str) -> None:
    """Have it made again when it is asked for."""
    path(run, split).unlink(missing_ok=True)
