"""The pictures of a run: where each sample's file is, thumbnails, full images, heat maps. No streamlit.

Everything is looked up: a run by its allow-listed id, a sample by its row in samples.parquet, a file below the dataset
folder of the run. What was drawn is kept in the cache folder under a key of the file's content.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covidviz.data.images import read_image
from covidviz.explain.overlay import cam_image, common_scale
from covidviz.paths import cache_dir, runs_dir
from covidviz.store import layout
from covidviz.store.reader import Run

__all__ = [
    "HEAT_SIDE",
    "SIDES",
    "dataset_root",
    "file_key",
    "find",
    "heat_ids",
    "heat_map",
    "picture",
    "sample_file",
    "version_key",
]

SIDES = {"t": 160, "f": 1024}  # longest side of a thumbnail and of a full picture, pixels
HEAT_SIDE = {"t": 160, "f": 512}  # heat maps are square; the browser stretches them over the picture

Version = tuple[int, int]  # size and mtime of a file, (0, 0) where it is missing


@dataclass(frozen=True)
class Heat:
    """The logged maps of one split: `maps` [N, C, h, w] in 0..1, `scale` [N, C], row of each sample id."""

    rows: dict[str, int]
    maps: NDArray[np.float16]
    scale: NDArray[np.float32]


def find(run_id: str) -> Run | None:
    """The run of this id in the current runs folder; None for anything else, paths included."""
    if not layout.is_run_id(run_id):
        return None
    folder = runs_dir() / run_id
    return Run(folder) if folder.is_dir() else None


def dataset_root(data: str) -> Path:
    """The dataset folder of a config's `data`, which may name the folder or its labels.csv."""
    given = Path(data).expanduser()
    return (given.parent if given.suffix.lower() == ".csv" else given).resolve()


@lru_cache(maxsize=16)
def _files(folder: str, samples: Version, config: Version) -> tuple[Path | None, dict[str, tuple[str, str]]]:  # noqa: ARG001
    run = Run(Path(folder))
    settings, frame = run.config(), run.samples()
    root = None if settings is None else dataset_root(settings.data)
    if frame is None or not {"sample_id", "path", "split"} <= set(frame.columns):
        return root, {}
    rows = zip(frame["sample_id"].astype(str), frame["path"].astype(str), frame["split"].astype(str), strict=True)
    return root, {sample_id: (path, split) for sample_id, path, split in rows}


def _sample(run: Run, sample_id: str) -> tuple[Path | None, str | None, str | None]:
    root, files = _files(str(run.dir), run.version(layout.SAMPLES), run.version(layout.CONFIG))
    path, split = files.get(sample_id, (None, None))
    return root, path, split


def sample_file(run: Run, sample_id: str) -> Path | None:
    """The image file of a sample, links resolved; None where there is none, or it lies outside the dataset folder."""
    root, path, _ = _sample(run, sample_id)
    if root is None or path is None:
        return None
    try:
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):
        return None


def version_key(version: Version) -> str:
    """A short text that changes whenever the file's size or time does."""
    return hashlib.blake2s(repr(version).encode(), digest_size=6).hexdigest()


def file_key(run: Run, sample_id: str) -> str | None:
    """The content key of a sample's picture, for its address; None where the image is missing.

    Quick, for a page of many; whether the file may be shown is checked when it is asked for.
    """
    root, path, _ = _sample(run, sample_id)
    if root is None or path is None:
        return None
    try:
        stat = os.stat(f"{root}{os.sep}{path}")  # noqa: PTH116  (a fifth of the time of Path.stat)
    except (OSError, ValueError):
        return None
    return version_key((stat.st_size, stat.st_mtime_ns))


def picture(run: Run, sample_id: str, kind: str) -> bytes | None:
    """A sample's image as grey WebP: kind `t` thumbnail, `f` full, lossless, at most 1024 pixels.

    Returns:
        None where the sample or its file is missing.

    Raises:
        DataError: the file is no readable image.
    """
    file = sample_file(run, sample_id)
    if file is None:
        return None
    stat = file.stat()
    name = f"1|{file}|{stat.st_size}|{stat.st_mtime_ns}|{sample_id}|{kind}"
    key = hashlib.blake2s(os.fsencode(name), digest_size=16).hexdigest()
    cached = cache_dir() / "pictures" / key[:2] / f"{key}.webp"
    try:
        return cached.read_bytes()
    except OSError:
        pass
    image = read_image(file)
    image.thumbnail((SIDES[kind], SIDES[kind]), Image.Resampling.LANCZOS, reducing_gap=3.0)
    drawn = _webp(image.convert("RGB"), lossless=kind == "f")
    _keep(cached, drawn)
    return drawn


@lru_cache(maxsize=8)
def _heat(folder: str, split: str, version: Version) -> Heat | None:  # noqa: ARG001  version is the cache key
    cams = Run(Path(folder)).cams(split)
    if cams is None:
        return None
    return Heat({str(name): row for row, name in enumerate(cams.sample_id)}, cams.maps, cams.scale)


def _cams(run: Run, split: str) -> Heat | None:
    return _heat(str(run.dir), split, run.version(f"{layout.CAMS}/{split}.npz"))


def heat_ids(run: Run, split: str) -> frozenset[str]:
    """The samples of this split with a logged heat map."""
    heat = _cams(run, split) if split in layout.SPLITS else None
    return frozenset() if heat is None else frozenset(heat.rows)


def heat_map(run: Run, sample_id: str, class_index: int, kind: str, *, per_image: bool = False) -> bytes | None:
    """A sample's logged heat map for one class as RGBA WebP, square.

    Args:
        per_image: its own scale instead of the one that all maps of the run share.

    Returns:
        None where no such map was logged.
    """
    _, _, split = _sample(run, sample_id)
    if split not in layout.SPLITS:
        return None
    heat = _cams(run, split)
    if heat is None or sample_id not in heat.rows or class_index >= heat.scale.shape[1]:
        return None
    every = [other for name in layout.SPLITS if (other := _cams(run, name)) is not None]
    side = HEAT_SIDE[kind]
    return _webp(
        cam_image(
            heat.maps,
            heat.scale,
            heat.rows[sample_id],
            class_index,
            (side, side),
            per_image=per_image,
            run_scale=common_scale(*(other.scale for other in every)),
        ),
        lossless=False,
    )


def _webp(image: Image.Image, *, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    if lossless:  # lossy WebP keeps 220 of the 256 grey levels, which matters where people judge an X-ray
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0)
    else:
        image.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def _keep(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(temporary).replace(file)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError:
        return  # a full or read-only cache costs time, not the picture
