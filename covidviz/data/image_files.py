"""The image files that paths and folders name, for what is asked about any images, not about a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from covidviz.data.layouts import IMAGE_SUFFIXES

__all__ = ["image_files"]

SUFFIXES = IMAGE_SUFFIXES | {".gif"}


def image_files(given: Iterable[str | Path]) -> tuple[list[str], list[str]]:
    """Files as they are given, whatever they are, and of folders all images below them, sorted.

    In a folder a file is an image by its suffix, or as DICOM without one. Links to folders are not followed, names with
    a dot in front are passed over.

    Returns:
        (paths, folders without an image).
    """
    paths: list[str] = []
    empty: list[str] = []
    for one in map(str, given):
        if not Path(one).is_dir():
            paths.append(one)
            continue
        found = list(_below(one))
        paths += found
        if not found:
            empty.append(one)
    return paths, empty


def _below(folder: str) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root) / name
            if not name.startswith(".") and (path.suffix.casefold() in SUFFIXES or (not path.suffix and _dicom(path))):
                yield str(path)


def _dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
