"""One look at every image: file, pixels in short, a small grey picture. Each file is decoded once and remembered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from covidviz.data.images import check_readable, read_image
from covidviz.errors import DataError, StoreError
from covidviz.store import cache

__all__ = ["SIDE", "Looks", "look_at"]

VERSION = 1  # of what is noted about a file
SIDE = 64
PART = 1024  # images in memory while they are written
BORDER = 3  # pixels of SIDE: the outer 5 %

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Looks:
    """What was seen, row by row as the samples.

    thumbs: uint8 [N, SIDE, SIDE], squashed; black where a file can't be read. May be a memory map.
    files: `bytes`, `digest` of the file, `pixels` (a digest of what it shows), `width`, `height`, `format`, `mode`,
        `error` (empty where it could be read).
    """

    thumbs: np.ndarray
    files: pd.DataFrame

    @property
    def readable(self) -> np.ndarray:
        """bool [N]."""
        return (self.files["error"] == "").to_numpy()


def look_at(root: Path, paths: Sequence[str], key: str, *, on_progress: Progress | None = None) -> Looks:
    """Look at all images, or remember it.

    Args:
        key: of paths and content; another one when a file changed.
        on_progress: called with (done, all); what it raises stops the work.

    Raises:
        DataError: none of the images can be read.
    """
    n = len(paths)
    tell = on_progress or (lambda done, total: None)  # noqa: ARG005

    def build(folder: Path) -> None:
        seen: list[dict[str, Any]] = []
        with (folder / "thumbs.u8").open("wb") as file:
            for images, rows in _parts(root, paths, tell):
                file.write(images.data)
                seen += rows
        (folder / "files.json").write_text(json.dumps(seen), encoding="utf-8")

    try:
        if n * SIDE * SIDE > cache.room():
            raise StoreError("no room")
        about = {"folder": str(root), "images": n, "size": SIDE}
        needed = n * (SIDE * SIDE + 300)
        folder, _ = cache.obtain("doctor", f"{VERSION}-{key}", needed=needed, about=about, build=build)
        rows = json.loads((folder / "files.json").read_text(encoding="utf-8"))
        thumbs: np.ndarray = np.memmap(folder / "thumbs.u8", np.uint8, "r", shape=(n, SIDE, SIDE))
    except (StoreError, OSError, ValueError):  # nowhere to keep it: in memory
        parts = list(_parts(root, paths, tell))
        thumbs, rows = np.concatenate([images for images, _ in parts]), [row for _, part in parts for row in part]
    looks = Looks(thumbs, pd.DataFrame(rows))
    unreadable = [(path, error) for path, error in zip(paths, looks.files["error"], strict=True) if error]
    if len(unreadable) == n:
        check_readable(n, unreadable)
    return looks


def _parts(root: Path, paths: Sequence[str], tell: Progress) -> Any:
    n = len(paths)
    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        for start in range(0, n, PART):
            part = paths[start : start + PART]
            images, rows = np.zeros((len(part), SIDE, SIDE), np.uint8), []
            for i, (row, image) in enumerate(pool.map(lambda path: _look(root / path), part)):
                rows.append(row)
                if image is not None:
                    images[i] = image
                tell(start + i + 1, n)
            yield images, rows


def _look(path: Path) -> tuple[dict[str, Any], np.ndarray | None]:
    row: dict[str, Any] = {
        "bytes": 0, "digest": "", "pixels": "", "width": 0, "height": 0, "format": "", "mode": "", "error": ""
    }  # fmt: skip
    try:
        with path.open("rb") as file:
            row["digest"] = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            row["bytes"] = file.tell()
        row["format"], row["mode"] = _kind(path)
        grey = read_image(path)
    except (DataError, OSError) as error:
        return {**row, "error": str(error)}, None
    row["width"], row["height"] = grey.size
    shown = hashlib.blake2b(repr(grey.size).encode(), digest_size=16)
    shown.update(np.asarray(grey).tobytes())
    row["pixels"] = shown.hexdigest()
    return row, np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _kind(path: Path) -> tuple[str, str]:
    """Format and colour mode as the file says."""
    try:
        with Image.open(path) as image:
            return image.format or "", image.mode
    except Exception:  # not Pillow's: DICOM, or broken, which read_image tells
        return "DICOM" if path.suffix.casefold() in (".dcm", ".dicom") else "other", ""
