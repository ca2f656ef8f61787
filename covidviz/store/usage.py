"""How much disk runs and caches take, and giving it back. Standard library only.

Links are never followed, neither when counting nor when deleting, and nothing outside the given folders is touched.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from covidviz.errors import StoreError
from covidviz.store import layout
from covidviz.store.cache import KINDS
from covidviz.store.files import saving
from covidviz.store.locks import Lock
from covidviz.store.runs import list_run_dirs
from covidviz.store.status import read_status

__all__ = [
    "RunUsage", "Usage", "drop_last", "empty_picture_cache", "empty_trash", "folder_bytes", "measure", "picture_cache",
    "run_usage",
]  # fmt: skip

_BUCKET = re.compile(r"[0-9a-f]{2}")
_PICTURE = re.compile(r"[0-9a-f]{32}\.webp|tmp\w+\.part")


@dataclass(frozen=True)
class RunUsage:
    """Bytes of one run: all of it, of these last.pt, best.safetensors, heat maps, and the TensorBoard files."""

    run_id: str
    total: int
    last: int = 0
    best: int = 0
    cams: int = 0
    events: int = 0


@dataclass(frozen=True)
class Usage:
    """Bytes of everything covidviz keeps. free, capacity: of the disk the runs lie on."""

    runs: tuple[RunUsage, ...]
    trash: int
    trashed: int  # how many runs lie there
    cache: int  # pictures
    training: int  # decoded images, frozen features, the index of runs
    data: int
    free: int
    capacity: int

    @property
    def total(self) -> int:
        """Bytes of the runs, without the trash."""
        return sum(run.total for run in self.runs)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below `folder`; 0 where it is missing or a link."""
    return sum(size for _, size in _files(folder))


def run_usage(run_dir: Path) -> RunUsage:
    """What one run directory takes."""
    parts = {"last": 0, "best": 0, "cams": 0, "events": 0}
    total = 0
    for name, size in _files(run_dir):
        total += size
        if name == layout.LAST:
            parts["last"] += size
        elif name == layout.BEST:
            parts["best"] += size
        elif name.startswith(f"{layout.CAMS}/"):
            parts["cams"] += size
        elif name.startswith("events.out.tfevents."):
            parts["events"] += size
    return RunUsage(run_dir.name, total, **parts)


def measure(runs_dir: Path, cache_dir: Path, data_dir: Path) -> Usage:
    """Looks at every file once: a second for a thousand runs, longer on a network disk."""
    trashed = list_run_dirs(runs_dir / layout.TRASH)
    there = next((path for path in (runs_dir, *runs_dir.parents) if path.is_dir()), Path("/"))
    disk = shutil.disk_usage(there)
    return Usage(
        runs=tuple(run_usage(run_dir) for run_dir in list_run_dirs(runs_dir)),
        trash=folder_bytes(runs_dir / layout.TRASH),
        trashed=len(trashed),
        cache=folder_bytes(picture_cache(cache_dir)),
        training=sum(folder_bytes(cache_dir / kind) for kind in KINDS),
        data=folder_bytes(data_dir),
        free=disk.free,
        capacity=disk.total,
    )


def empty_trash(runs_dir: Path) -> int:
    """Deletes the runs in the trash for good; the bytes that became free.

    Raises:
        StoreError: one of them can't be deleted; those before it are gone.
    """
    trash = runs_dir / layout.TRASH
    freed = 0
    if trash.is_symlink():
        raise StoreError(f"{trash} is a link; only a folder of its own is emptied")
    for run_dir in list_run_dirs(trash):
        size = folder_bytes(run_dir)
        doomed = trash / f".{run_dir.name}.{secrets.token_hex(4)}"  # no run id: can't be restored half deleted
        with saving(run_dir):
            try:
                run_dir.rename(doomed)
            except FileNotFoundError:
                continue  # restored this very moment
        _remove(doomed)
        freed += size
    for rest in _left_over(trash):
        _remove(rest)
    return freed


def drop_last(runs_dir: Path, run_ids: Iterable[str]) -> int:
    """Deletes last.pt of completed runs; the bytes that became free.

    What a completed run still needs (its best weights, predictions, maps) stays; others keep theirs, since they go on
    from it. A run that is being trained, or is no completed run any more, is left alone.

    Raises:
        StoreError: a file can't be deleted.
    """
    freed = 0
    there = {path.name: path for path in list_run_dirs(runs_dir)}
    for run_id in run_ids:
        run_dir = there.get(run_id)
        if run_dir is None or read_status(run_dir).state != "completed" or (run_dir / layout.CHECKPOINTS).is_symlink():
            continue
        last = run_dir / layout.LAST
        try:
            found = os.lstat(last)
        except OSError:
            continue
        with saving(last):
            lock = Lock.take(run_dir / layout.LOCK)
            if lock is None:
                continue
            with lock:
                if stat.S_ISREG(found.st_mode) and read_status(run_dir).state == "completed":
                    last.unlink(missing_ok=True)
                    freed += found.st_size
    return freed


def picture_cache(cache_dir: Path) -> Path:
    """Where drawn pictures are kept."""
    return cache_dir / "pictures"


def empty_picture_cache(cache_dir: Path) -> int:
    """Deletes the drawn pictures, which are drawn again when they are looked at; the bytes that became free.

    Only files with the names that covidviz gives them: the folder may be one that people named.
    """
    freed = 0
    folder = picture_cache(cache_dir)
    if folder.is_symlink():
        return 0
    for bucket in _entries(folder):
        if not (_BUCKET.fullmatch(bucket.name) and bucket.is_dir(follow_symlinks=False)):
            continue
        for file in _entries(Path(bucket.path)):
            if _PICTURE.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                try:
                    size = file.stat(follow_symlinks=False).st_size
                    Path(file.path).unlink()
                    freed += size
                except OSError:
                    continue
    return freed


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """(path relative to `folder`, bytes) of every file below it."""
    if folder.is_symlink():
        return
    todo = [("", str(folder))]
    while todo:
        prefix, path = todo.pop()
        for entry in _entries(Path(path)):
            try:
                if entry.is_dir(follow_symlinks=False):
                    todo.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue  # gone meanwhile


def _left_over(trash: Path) -> list[Path]:
    """What an earlier clean-up that was interrupted has renamed, but not deleted."""
    pattern = re.compile(rf"\.{layout.RUN_ID.pattern}\.[0-9a-f]{{8}}")
    return [
        Path(entry.path)
        for entry in _entries(trash)
        if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
    ]


def _remove(folder: Path) -> None:
    with saving(folder):
        try:
            shutil.rmtree(folder)  # removes links, not what they point to
        except FileNotFoundError:
            return
