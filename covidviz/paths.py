"""Where things are kept. Read from the environment at each call, so that a test or a server can move them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def runs_dir() -> Path:
    """The folder of all run directories: `COVIDVIZ_RUNS_DIR`, else `runs/` of the project."""
    return Path(os.environ.get("COVIDVIZ_RUNS_DIR") or PROJECT / "runs").expanduser().resolve()


def data_dir() -> Path:
    """Where datasets made by covidviz go (phantoms): `COVIDVIZ_DATA_DIR`, else `data/` of the project, git-ignored."""
    return Path(os.environ.get("COVIDVIZ_DATA_DIR") or PROJECT / "data").expanduser().resolve()


def data_roots() -> list[Path]:
    """Folders whose sub-folders are offered as datasets: `data/`, then `COVIDVIZ_DATA_ROOTS` (os.pathsep-joined)."""
    extra = os.environ.get("COVIDVIZ_DATA_ROOTS", "")
    return [data_dir(), *(Path(p).expanduser().resolve() for p in extra.split(os.pathsep) if p)]


def dataset_root(data: str | Path) -> Path:
    """The folder of a dataset that is named by its folder or by its labels.csv."""
    given = Path(data).expanduser()
    return (given.parent if given.suffix.lower() == ".csv" else given).resolve()


def cache_dir() -> Path:
    """Thumbnails, maps and other things that can be made again: `COVIDVIZ_CACHE_DIR`, else the user's cache folder."""
    if given := os.environ.get("COVIDVIZ_CACHE_DIR"):
        return Path(given).expanduser().resolve()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "covidviz"
