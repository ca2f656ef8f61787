"""Heat maps that were made after a run, when somebody asked for them: where they are kept. numpy, no torch.

They lie in the picture cache, not in the run directory: a finished run is left as it is, and they can be made again.
`<cache>/pictures/explained/<run id>/<version of the weights>/cams/<split>.npz` has the fields of a run's own
`cams/<split>.npz`; the maps of another method than Grad-CAM lie in a folder of its name beside `cams`.
"""

from __future__ import annotations

from pathlib import Path

from covidviz.paths import cache_dir
from covidviz.store import layout
from covidviz.store.reader import Cams, Run

__all__ = ["explained", "folder", "place", "version"]


def folder(run: Run) -> Path:
    """Where the maps of this run's present best epoch are kept; another place once it has a new one."""
    size, mtime = run.version(layout.BEST)
    return cache_dir() / "pictures" / "explained" / run.id / f"{size:x}-{mtime:x}"


def explained(run: Run, split: str, method: str = "grad-cam") -> Cams | None:
    """The maps of `split` made so far; None where there are none."""
    return Run(place(run, method)).cams(split)


def place(run: Run, method: str) -> Path:
    """The folder that holds `cams/<split>.npz` of one of `covidviz.catalog.CAM_METHODS`."""
    return folder(run) if method == "grad-cam" else folder(run) / method


def version(run: Run, split: str) -> tuple[int, int]:
    """(size, mtime in ns) of their file, (0, 0) where there is none."""
    return Run(folder(run)).version(f"{layout.CAMS}/{split}.npz")
