"""Where lungs and lesions are in the images of a split: found once per dataset content, kept in the cache. No torch.

A mask that comes with the dataset (columns `lung_mask` and `lesion_mask` of labels.csv, as phantoms have them) counts
more than one that is found. Lungs are found by torchxrayvision's PSPNet where that package and its weights are
installed, else by `covidviz.data.lungs`. Lesions are never guessed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from covidviz.data.images import decode, read_image
from covidviz.data.lungs import lungs
from covidviz.errors import DataError, InputError, StoreError
from covidviz.explain import pspnet
from covidviz.paths import cache_dir, dataset_root
from covidviz.store import cache, layout
from covidviz.store.reader import Run

__all__ = ["GRID", "GUESSED", "SOURCES", "Masks", "find_masks", "known_masks"]

GRID = 80  # points of a mask each way: a tenth of the side is whole
SIDE = 256  # of the image in which lungs are looked for
PART = 64  # images in memory

# In the order of `Masks.source`.
SOURCES = ("none", "dataset", "pspnet", "classical")
GUESSED = ("pspnet", "classical")

VERSION = 1  # of what is found for the same files


@dataclass(frozen=True)
class Masks:
    """Masks of some images, on a grid over the whole image; kept packed, 8 points to a byte.

    source: uint8 [N], index into `SOURCES`: where the lung mask is from; 0 where the image can't be read.
    lesions_known: whether the dataset says where lesions are.
    """

    sample_id: NDArray[np.str_]
    source: NDArray[np.uint8]
    lesions_known: bool
    lung_bits: NDArray[np.uint8]
    lesion_bits: NDArray[np.uint8]

    def lungs(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """[len(rows), GRID, GRID]; nowhere true where `source` is 0."""
        return _unpacked(self.lung_bits[rows])

    def lesions(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """[len(rows), GRID, GRID]; nowhere true where there is none or nobody knows."""
        return _unpacked(self.lesion_bits[rows])


def known_masks(run: Run, split: str) -> Masks | None:
    """The masks of the images of a split where they were found before, else None.

    It takes some milliseconds per thousand images: a hash over name, size and time of each file says whether they are
    the same ones.
    """
    files = _files(run, split)
    if files is None or not len(files.sample_id):
        return None
    path = cache_dir() / "masks" / files.key
    try:
        with np.load(path / "masks.npz", allow_pickle=False) as loaded:
            ids, lung, lesion, source = (loaded[name] for name in ("sample_id", "lungs", "lesions", "source"))
    except (OSError, ValueError, KeyError, EOFError):
        return None
    if not cache.about_of(path) or not len(ids) == len(lung) == len(lesion) == len(source):
        return None
    return Masks(ids, source, files.lesion is not None, lung, lesion)


def find_masks(run: Run, split: str, on_progress: Callable[[int, int], None] | None = None) -> int:
    """Find the masks of every image of a split, unless they are known, and keep them.

    Args:
        on_progress: called with (images done, all); what it raises stops the work.

    Returns:
        How many images have a lung mask.

    Raises:
        InputError: there is no such split in this run.
        DataError: none of the images can be read.
        StoreError: the cache can't be written.
    """
    files = _files(run, split)
    if files is None or not len(files.sample_id):
        raise InputError(f"split: {split!r} given, which has no images in {run.id}")
    n = len(files.sample_id)
    tell = on_progress or (lambda done, total: None)  # noqa: ARG005

    def build(folder: Path) -> None:
        lung, lesion = (np.zeros((n, GRID * GRID // 8), np.uint8) for _ in range(2))
        source = np.zeros(n, np.uint8)
        done = 0
        for rows, lungs_, lesions, sources in _found(files):
            lung[rows], lesion[rows], source[rows] = _packed(lungs_), _packed(lesions), sources
            done += len(rows)
            tell(done, n)
        if not source.any():
            raise DataError(f"none of the {n} images of {split} can be read")
        with (folder / "masks.npz").open("wb") as out:
            np.savez(out, allow_pickle=False, sample_id=files.sample_id, lungs=lung, lesions=lesion, source=source)

    about = {"folder": str(files.root), "images": n, "split": split}
    needed = 2 * n * GRID * GRID // 8 + 100 * n
    cache.obtain("masks", files.key, needed=needed, about=about, build=build, waiting=lambda: tell(0, n))
    found = known_masks(run, split)
    if found is None:
        raise StoreError("the masks were found, but the cache did not keep them")
    return int((found.source > 0).sum())


@dataclass(frozen=True)
class _Files:
    """The images of a split, their masks where the dataset has some, and a key of all of it."""

    root: Path
    sample_id: NDArray[np.str_]
    paths: list[str]
    lung: list[str] | None
    lesion: list[str] | None
    key: str


def _files(run: Run, split: str) -> _Files | None:
    config, samples = run.config(), run.samples()
    if config is None or split not in layout.SPLITS:
        return None
    root = dataset_root(config.data)
    rows = samples[samples["split"] == split]
    paths = rows["path"].astype(str).tolist()
    lung, lesion = (_column(rows, name) for name in ("lung_mask", "lesion_mask"))
    total = hashlib.blake2b(f"{VERSION} {GRID} {'' if lung else pspnet.name()}\n".encode(), digest_size=16)
    for path in [*paths, *(lung or []), *(lesion or [])]:
        try:
            stat = os.stat(f"{root}{os.sep}{path}")  # noqa: PTH116  (a fifth of the time of Path.stat)
            stamp = f"{stat.st_size} {stat.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = "gone"
        total.update(f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    ids = np.asarray(rows["sample_id"].astype(str).tolist(), dtype=np.str_)
    return _Files(root, ids, paths, lung, lesion, total.hexdigest())


def _column(rows: pd.DataFrame, name: str) -> list[str] | None:
    """Paths of masks, "" where there is none; None where the dataset has no such column."""
    if name not in rows:
        return None
    return ["" if value is None or value != value else str(value) for value in rows[name]]


def _found(
    files: _Files,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.uint8]]]:
    for start in range(0, len(files.paths), PART):
        rows = np.arange(start, min(start + PART, len(files.paths)))
        lung, lesion = (np.zeros((len(rows), GRID, GRID), bool) for _ in range(2))
        source = np.zeros(len(rows), np.uint8)
        for i, row in enumerate(rows):
            if files.lung and (mask := _read_mask(files.root, files.lung[row])) is not None:
                lung[i], source[i] = mask, SOURCES.index("dataset")
            if files.lesion and (mask := _read_mask(files.root, files.lesion[row])) is not None:
                lesion[i] = mask
        if len(todo := np.flatnonzero(source == 0)):
            images, errors = decode(files.root, [files.paths[rows[i]] for i in todo], SIDE)
            bad = {row for row, _ in errors}
            good = [k for k in range(len(todo)) if k not in bad]
            how = pspnet.segment if pspnet.name() else _classical
            for k, mask in zip(good, how(images[good]), strict=True):
                lung[todo[k]] = _on_grid(mask)
                source[todo[k]] = SOURCES.index("pspnet" if pspnet.name() else "classical")
        yield rows, lung, lesion, source


def _classical(images: NDArray[np.uint8]) -> Sequence[NDArray[np.bool_]]:
    return [lungs(image) for image in images]


def _read_mask(root: Path, path: str) -> NDArray[np.bool_] | None:
    if not path:
        return None
    try:
        file = (root / path).resolve()
        return _on_grid(np.asarray(read_image(file)) > 127) if file.is_relative_to(root) else None
    except (DataError, OSError, ValueError):
        return None


def _on_grid(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    share = Image.fromarray(mask.astype(np.uint8) * 255).resize((GRID, GRID), Image.Resampling.BOX)
    on: NDArray[np.bool_] = np.asarray(share) > 127
    return on


def _packed(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def _unpacked(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, axis=1).reshape(-1, GRID, GRID).astype(bool)
