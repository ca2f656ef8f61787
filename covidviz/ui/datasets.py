"""Datasets for the form: what is offered, what a typed path means, and the manifest, read once per folder version."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import streamlit as st

from covidviz.config import TrainConfig
from covidviz.data.datasets import datasets, resolve_dataset
from covidviz.data.manifest import Manifest, load_manifest
from covidviz.ui import queries

__all__ = ["as_it_is", "find", "folder_version", "of_config", "offered", "title"]

_RECENT = 20  # runs looked at for recently used datasets


def offered() -> list[str]:
    """Paths to choose from: the datasets of the data roots, then those of the latest runs that still exist."""
    paths = {str(path): None for path in datasets()}
    for summary in queries.index().snapshot(max_age=5).runs[:_RECENT]:
        if summary.data and summary.data not in paths and Path(summary.data).exists():
            paths[summary.data] = None
    return list(paths)


def title(path: str) -> str:
    """A dataset's name with the folder that holds it: `phantoms-small (data)`. Plain text."""
    place = Path(path)
    place = place.parent if place.name == "labels.csv" else place
    return f"{place.name} ({place.parent.name})" if place.parent.name else str(place)


def find(text: str) -> Path:
    """The dataset a person chose or typed.

    Raises:
        DataError: nothing there, or not accepted on a server that others can reach.
    """
    if text in offered():
        return Path(text)
    return resolve_dataset(text, anywhere=_loopback_only())


def _loopback_only() -> bool:
    address = st.get_option("server.address")
    if not address:
        return False  # Streamlit's own default listens everywhere
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def folder_version(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when files are added or labels.csv is written: size and time of it and of the folders two deep."""
    seen = []
    root = path if path.is_dir() else path.parent
    for place in (path, root / "labels.csv", root, *_folders(root), *(s for f in _folders(root) for s in _folders(f))):
        try:
            stat = place.stat()
        except OSError:
            continue
        seen.append((str(place), stat.st_size, stat.st_mtime_ns))
    return tuple(seen)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())[:100]
    except OSError:
        return []


def of_config(config: TrainConfig) -> Manifest:
    """The dataset as a run with these settings would use it. Shared by all sessions: leave it as it is.

    Raises:
        DataError: one sentence for the person.
    """
    path = find(config.data)
    settings = (config.split_column, config.classes, config.task, config.label_rule, config.seed)
    return _manifest(str(path), folder_version(path), *settings)


def as_it_is(path: Path, split_column: str) -> Manifest:
    """The dataset whatever its classes and splits, several labels per image allowed. Shared by all sessions too.

    Raises:
        DataError: it can't be understood at all.
    """
    return _plain_manifest(str(path), folder_version(path), split_column)


@st.cache_resource(show_spinner="Reading the dataset", max_entries=8)
def _plain_manifest(path: str, version: tuple[tuple[str, int, int], ...], split_column: str) -> Manifest:  # noqa: ARG001
    return load_manifest(path, split_column=split_column, task="multi-label", strict=False)


@st.cache_resource(show_spinner="Reading the dataset", max_entries=8)
def _manifest(
    path: str,
    version: tuple[tuple[str, int, int], ...],  # noqa: ARG001  part of the cache key
    split_column: str,
    classes: tuple[str, ...],
    task: str,
    label_rule: str | None,
    seed: int,
) -> Manifest:
    return load_manifest(path, split_column=split_column, classes=classes, task=task, label_rule=label_rule, seed=seed)
