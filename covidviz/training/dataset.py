"""The images of a run: found, read once before training starts, and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from numpy.typing import NDArray

from covidviz.config import TrainConfig
from covidviz.data.images import check_readable, decode
from covidviz.data.manifest import load_manifest
from covidviz.errors import DataError, StoreError
from covidviz.store.layout import SPLITS
from covidviz.training.batches import Images, slices
from covidviz.training.image_cache import decoded
from covidviz.training.mapped import Mapped

__all__ = ["Dataset", "Split", "load_dataset"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Split:
    """One split: `sample_id` of N samples, their `labels` (0/1, int8 [N, C]) and `images`."""

    name: str
    sample_id: list[str]
    labels: NDArray[np.int8]
    images: Images

    def __len__(self) -> int:
        return len(self.sample_id)


@dataclass(frozen=True)
class Dataset:
    """What a run trains on.

    samples: the contract's samples.parquet, readable images only.
    splits: train, val and test, each possibly empty but train and val.
    unreadable: (path, error) of images left out.
    notes: how the dataset was understood, in plain sentences.
    """

    classes: tuple[str, ...]
    samples: pd.DataFrame
    splits: dict[str, Split]
    fingerprint: str
    unreadable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def load_dataset(
    config: TrainConfig,
    device: torch.device | None = None,
    *,
    samples: pd.DataFrame | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Understand the dataset of a resolved config and read its images.

    Args:
        device: where batches will go; images stay there where they fit.
        samples: of a run that is resumed: exactly these, whatever was added since.
        on_progress: called with (images read, all).

    Raises:
        DataError: the dataset can't be used, more than 1 % of its images can't be read, or, for a resumed run, one of
            its images is gone.
    """
    manifest = load_manifest(
        config.data,
        split_column=config.split_column,
        classes=config.classes,
        task=config.task,
        label_rule=config.label_rule,
        seed=config.seed,
    )
    resumed = samples is not None
    frame = manifest.samples if samples is None else samples
    pixels, bad, note = _read(config, manifest.root, frame["path"].tolist(), on_progress)
    unreadable = tuple((str(frame["path"].iloc[row]), error) for row, error in bad)
    check_readable(len(frame), unreadable)
    if resumed and unreadable:
        raise DataError(f"an image this run was started with can't be read any more: {unreadable[0][1]}")
    place = np.delete(np.arange(len(frame)), [row for row, _ in bad])
    frame = frame.iloc[place].reset_index(drop=True)
    where = frame["split"].to_numpy()
    labels = frame[[f"label_{name}" for name in config.classes]].to_numpy(np.int8)
    resident = _fits_gpu(device, pixels)
    splits = {}
    for name in SPLITS:
        rows_of = np.flatnonzero(where == name)
        part = frame.iloc[rows_of]
        images = Images(
            manifest.root,
            part["path"].tolist(),
            config.image_size,
            decoded=pixels,
            rows=place[rows_of],
            device=device,
            resident=resident,
        )
        splits[name] = Split(name, part["sample_id"].tolist(), labels[rows_of], images)
    for name in ("train", "val"):
        if not len(splits[name]):
            raise DataError(f"{manifest.root} has no readable image in {name}, accepted: train and val with images")
    notes = (*manifest.notes, *([note] if note else []))
    return Dataset(config.classes, frame, splits, manifest.fingerprint(), unreadable, notes)


def _read(
    config: TrainConfig, root: Path, paths: Sequence[str], on_progress: Progress | None
) -> tuple[Mapped | NDArray[np.uint8] | None, list[tuple[int, str]], str]:
    """uint8 [N, size, size], or None where they are decoded again in each epoch; (row, error) of what can't be read;
    a sentence on it."""
    size = config.image_size
    if config.cache == "off":
        return None, _try_all(root, paths, size, on_progress), ""
    try:
        mapped, bad, new = decoded(root, paths, size, on_progress=on_progress)
    except StoreError as error:
        note = f"Decoded images are not kept on disk: {error}."
    else:
        done = "Decoded" if new else "Found decoded"
        return mapped, bad, f"{done}: {len(mapped)} images of {size} px ({mapped.nbytes / 1e6:,.0f} MB in the cache)."
    needed, free = len(paths) * size**2, psutil.virtual_memory().available
    if needed <= free // 2:
        return *decode(root, paths, size, on_progress=on_progress), note
    note += f" {len(paths)} images need {needed / 1e9:.1f} GB of memory decoded, so each epoch decodes them again."
    return None, _try_all(root, paths, size, on_progress), note


def _try_all(root: Path, paths: Sequence[str], size: int, on_progress: Progress | None) -> list[tuple[int, str]]:
    bad: list[tuple[int, str]] = []
    for part in slices(len(paths), 256):
        _, broken = decode(root, paths[part], size)
        bad += [(part.start + row, error) for row, error in broken]
        if on_progress is not None:
            on_progress(part.stop, len(paths))
    return bad


def _fits_gpu(device: torch.device | None, pixels: Mapped | NDArray[np.uint8] | None) -> bool:
    if device is None or device.type != "cuda" or pixels is None:
        return False
    return bool(pixels.nbytes < torch.cuda.mem_get_info(device)[0] // 4)
