"""Which datasets the app offers, and which typed paths it accepts."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from covidviz.data.layouts import IMAGE_SUFFIXES, split_name
from covidviz.errors import DataError
from covidviz.paths import data_roots

__all__ = ["datasets", "resolve_dataset"]


def datasets() -> list[Path]:
    """The datasets to offer: each data root that is one itself, else those of its folders that are.

    A look at names only: labels.csv, a train folder, or at least two folders with images. Nothing is decoded.
    """
    found: dict[Path, None] = {}
    for root in data_roots():
        for folder in [root] if _is_dataset(root) else _folders(root):
            if _is_dataset(folder):
                found[folder.resolve()] = None
    return list(found)


def resolve_dataset(text: str, *, anywhere: bool) -> Path:
    """The dataset a person typed: an absolute path, or one relative to a data root or the working directory.

    Args:
        anywhere: accept every path the server's user may read (it listens on loopback only); else only paths under
            a data root.

    Raises:
        DataError: nothing there, or outside the data roots.
    """
    if not text.strip():
        raise DataError("no dataset given, accepted: a folder or a labels.csv")
    if "\0" in text:
        raise DataError("the dataset's path holds a character that no path may hold")
    roots = [root.resolve() for root in data_roots()]
    given = Path(text.strip()).expanduser()
    for path in ((base / given).resolve() for base in (*roots, Path.cwd())):
        # Whether something exists outside the roots is nobody's business, so the place is checked first.
        if (anywhere or any(path.is_relative_to(root) for root in roots)) and path.exists():
            return path
    if anywhere:
        raise DataError(f"dataset {text!r} does not exist")
    raise DataError(
        f"dataset {text!r} is not below a data folder of this server, accepted below: {', '.join(map(str, roots))}"
    )


def _is_dataset(folder: Path) -> bool:
    if (folder / "labels.csv").is_file():
        return True
    folders = _folders(folder)
    if any(split_name(sub.name) == "train" for sub in folders):
        return True
    return sum(_has_image(sub) for sub in folders[:50]) >= 2


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []


def _has_image(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(Path(e.name).suffix.casefold() in IMAGE_SUFFIXES for e in islice(entries, 50))
    except OSError:
        return False
