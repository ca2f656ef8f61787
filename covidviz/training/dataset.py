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
from covidviz.errors import DataError
from covidviz.store.layout import SPLITS
from covidviz.training.batches import Images, slices

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
    keep, note = _keeps(config, len(frame))
    decoded, bad = _read_all(manifest.root, frame["path"].tolist(), config.image_size, keep, on_progress)
    unreadable = tuple((str(frame["path"].iloc[row]), error) for row, error in bad)
    check_readable(len(frame), unreadable)
    if resumed and unreadable:
        raise DataError(f"an image this run was started with can't be read any more: {unreadable[0][1]}")
    if bad:
        rows = [row for row, _ in bad]
        frame = frame.drop(index=frame.index[rows]).reset_index(drop=True)
        decoded = None if decoded is None else np.delete(decoded, rows, axis=0)
    where = frame["split"].to_numpy()
    labels = frame[[f"label_{name}" for name in config.classes]].to_numpy(np.int8)
    resident = _fits_gpu(device, decoded)
    splits = {}
    for name in SPLITS:
        rows_of = np.flatnonzero(where == name)
        part = frame.iloc[rows_of]
        images = Images(
            manifest.root,
            part["path"].tolist(),
            config.image_size,
            decoded=None if decoded is None else decoded[rows_of],
            device=device,
            resident=resident,
        )
        splits[name] = Split(name, part["sample_id"].tolist(), labels[rows_of], images)
    for name in ("train", "val"):
        if not len(splits[name]):
            raise DataError(f"{manifest.root} has no readable image in {name}, accepted: train and val with images")
    notes = (*manifest.notes, *([note] if note else []))
    return Dataset(config.classes, frame, splits, manifest.fingerprint(), unreadable, notes)


def _read_all(
    root: Path, paths: Sequence[str], size: int, keep: bool, on_progress: Progress | None
) -> tuple[NDArray[np.uint8] | None, list[tuple[int, str]]]:
    """uint8 [N, size, size] (None if not kept) and (row, error) of what can't be read."""
    if keep:
        return decode(root, paths, size, on_progress=on_progress)
    bad: list[tuple[int, str]] = []
    for part in slices(len(paths), 256):
        _, broken = decode(root, paths[part], size)
        bad += [(part.start + row, error) for row, error in broken]
        if on_progress is not None:
            on_progress(part.stop, len(paths))
    return None, bad


def _keeps(config: TrainConfig, n: int) -> tuple[bool, str | None]:
    """Whether decoded images stay in memory; with `auto` only where they leave half of it free."""
    if config.cache != "auto":
        return config.cache == "exact", None
    # twice: while they are sorted into splits there are two copies
    needed, free = 2 * n * config.image_size**2, psutil.virtual_memory().available
    if needed <= free // 2:
        return True, None
    return False, f"{n} images need {needed / 2e9:.1f} GB decoded, so they are decoded again in each epoch."


def _fits_gpu(device: torch.device | None, decoded: NDArray[np.uint8] | None) -> bool:
    if device is None or device.type != "cuda" or decoded is None:
        return False
    return bool(decoded.nbytes < torch.cuda.mem_get_info(device)[0] // 4)
