"""Reports kept in the cache folder, one per content of a dataset and split column."""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import lru_cache
from pathlib import Path

import pandas as pd

from covidviz.data.doctor.report import Report
from covidviz.data.manifest import Manifest, load_manifest
from covidviz.errors import DataError, StoreError
from covidviz.paths import cache_dir
from covidviz.store.files import read_json, write_json_atomic

__all__ = ["content_key", "files_key", "keep", "key_of", "known", "load"]

VERSION = 1  # of what the checks say; another one makes every report out of date
FOLDER = "doctor"
KEPT = 200  # reports, the newest


def load(data: str | Path, split_column: str = "split") -> Manifest:
    """The dataset as it is: whatever its classes and splits, several labels per image allowed.

    Raises:
        DataError: it can't be understood at all.
    """
    return load_manifest(data, split_column=split_column, task="multi-label", strict=False)


def content_key(data: str | Path, split_column: str = "split") -> str:
    """The same as long as paths, labels, splits, other columns, and size and time of every file are the same.

    Raises:
        DataError: the dataset can't be understood.
    """
    return key_of(load(data, split_column), split_column)


def key_of(manifest: Manifest, split_column: str) -> str:
    """`content_key` of a dataset that is loaded."""
    total = hashlib.blake2b(f"{VERSION}\0{manifest.root}\0{split_column}\n".encode("utf-8", "replace"), digest_size=16)
    total.update(pd.util.hash_pandas_object(manifest.samples, index=False).to_numpy().tobytes())
    total.update("\0".join(manifest.samples.columns).encode("utf-8", "replace"))
    total.update(files_key(manifest).encode())
    return total.hexdigest()


def files_key(manifest: Manifest) -> str:
    """The same as long as the files are: their order, paths, sizes and times of change."""
    total = hashlib.blake2b(f"{manifest.root}\n".encode("utf-8", "replace"), digest_size=16)
    root = f"{manifest.root}{os.sep}"
    stamps = []
    for path in manifest.samples["path"].tolist():
        try:
            found = os.stat(root + path)  # noqa: PTH116  (a fifth of the time of Path.stat)
            stamps.append(f"{path} {found.st_size} {found.st_mtime_ns}")
        except (OSError, ValueError):
            stamps.append(path)
    total.update("\n".join(stamps).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def known(data: str | Path, split_column: str = "split") -> Report | None:
    """The report on exactly this content, if it was made before; None too where the dataset can't be understood."""
    with contextlib.suppress(DataError):
        return _read(cache_dir() / FOLDER / f"{content_key(data, split_column)}.json")
    return None


def keep(report: Report) -> None:
    """For `known`. A cache that can't be written is none."""
    file = cache_dir() / FOLDER / f"{report.key}.json"
    with contextlib.suppress(OSError, StoreError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(file, report.document(), indent=None)
        by_age = sorted(file.parent.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in by_age[:-KEPT]:
            old.unlink(missing_ok=True)
        _parsed.cache_clear()


def _read(file: Path) -> Report | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return _parsed(file, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=8)
def _parsed(file: Path, size: int, mtime: int) -> Report | None:  # noqa: ARG001  part of the cache key
    document = read_json(file)
    return None if document is None else Report.from_document(document)
