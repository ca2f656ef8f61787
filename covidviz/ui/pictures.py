"""The pictures of a run: where each sample's file is, thumbnails, full images, heat maps. No streamlit.

Everything is looked up: a run by its allow-listed id, a sample by its row in samples.parquet, a file below the dataset
folder of the run. What was drawn is kept in the cache folder under a key of the file's content.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covidviz.data.images import read_image
from covidviz.explain import explained
from covidviz.explain.overlay import common_scale
from covidviz.paths import cache_dir, dataset_root, runs_dir
from covidviz.store import layout
from covidviz.store.reader import Run

__all__ = [
    "SIDES",
    "Heat",
    "file_key",
    "find",
    "full_colour",
    "heat_ids",
    "heat_key",
    "heat_maps",
    "heat_of",
    "picture",
    "sample_file",
    "split_heat",
    "split_of",
    "version_key",
]

SIDES = {"t": 160, "f": 1024}  # longest side of a thumbnail and of a full picture, pixels

Version = tuple[int, int]  # size and mtime of a file, (0, 0) where it is missing


@dataclass(frozen=True)
class Heat:
    """All maps of one split: `maps` [N, C, h, w] in 0..1, `scale` [N, C], row of each sample id."""

    rows: dict[str, int]
    maps: NDArray[np.float16]
    scale: NDArray[np.float32]


def find(run_id: str) -> Run | None:
    """The run of this id in the current runs folder; None for anything else, paths included."""
    if not layout.is_run_id(run_id):
        return None
    folder = runs_dir() / run_id
    return Run(folder) if folder.is_dir() else None


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


def split_of(run: Run, sample_id: str) -> str | None:
    """The split of a sample; None for one that the run does not have."""
    return _sample(run, sample_id)[2]


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
def _heat(folder: str, split: str, logged: Version, made: Version) -> Heat | None:  # noqa: ARG001  the cache key
    run = Run(Path(folder))
    rows: dict[str, int] = {}
    maps: list[NDArray[np.float16]] = []
    scale: list[NDArray[np.float32]] = []
    for cams in (run.cams(split), explained.explained(run, split)):
        if cams is not None and (not maps or cams.maps.shape[1:] == maps[0].shape[1:]):
            rows = {str(name): len(rows) + k for k, name in enumerate(cams.sample_id)} | rows
            maps.append(cams.maps)
            scale.append(cams.scale)
    return Heat(rows, np.concatenate(maps), np.concatenate(scale)) if maps else None


def _versions(run: Run, split: str) -> tuple[Version, Version]:
    return run.version(f"{layout.CAMS}/{split}.npz"), explained.version(run, split)


def _cams(run: Run, split: str) -> Heat | None:
    return _heat(str(run.dir), split, *_versions(run, split)) if split in layout.SPLITS else None


@lru_cache(maxsize=32)
def _full(folder: str, versions: tuple[Version, ...]) -> float:  # noqa: ARG001  the cache key
    run = Run(Path(folder))
    # What the run logged says what is much; maps made on demand only where there is nothing else.
    logged = [cams.scale for split in layout.SPLITS if (cams := run.cams(split)) is not None]
    made = [cams.scale for split in layout.SPLITS if (cams := explained.explained(run, split)) is not None]
    return common_scale(*(logged or made))


def full_colour(run: Run) -> float:
    """The raw value of a heat map that gets full colour where all maps of the run share one scale."""
    return _full(str(run.dir), tuple(version for split in layout.SPLITS for version in _versions(run, split)))


def split_heat(run: Run, split: str) -> Heat | None:
    """All maps of a split, logged by the run and made on demand; None where there are none. Shared: leave as it is."""
    return _cams(run, split)


def heat_ids(run: Run, split: str) -> frozenset[str]:
    """The samples of this split with a heat map, logged by the run or made on demand."""
    heat = _cams(run, split)
    return frozenset() if heat is None else frozenset(heat.rows)


def heat_key(run: Run, split: str) -> str:
    """A short text that changes whenever the heat maps of a split do."""
    return hashlib.blake2s(repr(_versions(run, split)).encode(), digest_size=6).hexdigest()


def heat_of(run: Run, sample_id: str) -> tuple[NDArray[np.float16], NDArray[np.float32]] | None:
    """The map of each class, [C, h, w] in 0..1, and its raw maximum [C]; None where there is no map."""
    _, _, split = _sample(run, sample_id)
    heat = None if split is None else _cams(run, split)
    if heat is None or sample_id not in heat.rows:
        return None
    row = heat.rows[sample_id]
    return heat.maps[row], heat.scale[row]


def heat_maps(run: Run, sample_ids: Sequence[str]) -> bytes | None:
    """Heat maps of many samples for the browser, which colours them itself.

    Returns:
        Little endian: uint32 n, C, h, w; float32 [n, C], the raw maximum of each map as a share of `full_colour`, not
        a number where there is no map; uint8 [n, C, h, w], each map in 0..255 of its own maximum. None where none of
        the samples has a map.
    """
    found = [heat_of(run, name) for name in sample_ids]
    shape = next((one[0].shape for one in found if one is not None), None)
    if shape is None:
        return None
    maps = np.zeros((len(found), *shape), dtype=np.uint8)
    scale = np.full((len(found), shape[0]), np.nan, dtype="<f4")
    full = full_colour(run)
    for k, one in enumerate(found):
        if one is not None and one[0].shape == shape:
            values = np.nan_to_num(one[0].astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
            maps[k] = (values.clip(0, 1) * 255).round()
            scale[k] = np.nan_to_num(one[1] / full, nan=0.0, posinf=0.0, neginf=0.0)
    return np.array([len(found), *shape], dtype="<u4").tobytes() + scale.tobytes() + maps.tobytes()


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
