"""What can be made again, kept in the cache folder: each entry a folder that is whole or not there.

An entry is built beside its place and moved there when it is done, under a lock that the operating system releases
with its holder. So several processes may want the same entry at once, and a killed one leaves nothing that is trusted.
Above the size limit the entries that were used longest ago go first. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covidviz.errors import StoreError
from covidviz.paths import cache_dir
from covidviz.store.files import read_json, saving, write_json_atomic
from covidviz.store.locks import Lock

__all__ = ["KINDS", "Entry", "about_of", "clear", "entries", "limit", "obtain", "renew", "room", "used"]

KINDS = ("images", "features", "index", "masks")
META = "meta.json"
DEFAULT_GB = 20.0
RESERVE = 1 << 30  # bytes of the disk that are never filled


@dataclass(frozen=True)
class Entry:
    """One entry: its `kind` (a folder of the cache), `bytes` on disk, `used` (seconds since 1970), what it is about."""

    kind: str
    key: str
    path: Path
    bytes: int
    used: float
    about: dict[str, Any]


def limit() -> int:
    """Bytes that all entries may take: `COVIDVIZ_CACHE_GB` (default 20; 0 keeps nothing).

    Raises:
        StoreError: that is no number from 0 up.
    """
    given = os.environ.get("COVIDVIZ_CACHE_GB", "")
    try:
        size = float(given) if given.strip() else DEFAULT_GB
        if not 0 <= size < 1e9:
            raise ValueError
    except ValueError:
        raise StoreError(f"COVIDVIZ_CACHE_GB: {given!r} given, accepted: a number of gigabytes from 0 up") from None
    return int(size * 1e9)


def room() -> int:
    """Bytes that one entry may have: half the limit, and what the disk has left over after what would be evicted."""
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    kept = sum(entry.bytes for entry in entries())
    return max(0, min(limit() // 2, shutil.disk_usage(folder).free + kept - RESERVE))


def entries(kind: str | None = None) -> list[Entry]:
    """All whole entries, longest unused first."""
    found = []
    with contextlib.suppress(OSError):
        for meta in cache_dir().glob(f"{kind or '*'}/*/{META}"):
            document = _whole(meta.parent)
            if document is not None:
                with contextlib.suppress(OSError):
                    used = meta.stat().st_mtime
                    size = sum(document["files"].values())
                    folder = meta.parent
                    found.append(Entry(folder.parent.name, folder.name, folder, size, used, document["about"]))
    return sorted(found, key=lambda entry: entry.used)


def clear(kind: str | None = None) -> int:
    """Remove every entry (of one kind). A process that uses one keeps what it has open. Returns the bytes freed."""
    gone = 0
    for entry in entries(kind):
        gone += entry.bytes
        _remove(entry.path)
    with contextlib.suppress(OSError):
        for left in cache_dir().glob(f"{kind or '*'}/.*.tmp"):
            if time.time() - left.stat().st_mtime > 3600:  # of a builder that was killed, not of one that builds
                shutil.rmtree(left, ignore_errors=True)
    return gone


def obtain(
    kind: str,
    key: str,
    *,
    needed: int,
    about: dict[str, Any],
    build: Callable[[Path], None],
    waiting: Callable[[], None] = lambda: None,
) -> tuple[Path, bool]:
    """The folder of an entry, built now if it is not there, and whether it was built now.

    Args:
        needed: bytes it will take, so that others make room for it first.
        about: what it holds, for people; `build` may add to it.
        build: fills the given empty folder with files. What it raises goes on, and nothing is left.
        waiting: called twice a second while another process builds the same; what it raises ends the waiting.

    Raises:
        StoreError: the disk is full or the cache folder can't be written.
    """
    path = cache_dir() / kind / key
    if _use(path):
        return path, False
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while (lock := Lock.take(path.parent / f".{key}.lock", wait=0.5)) is None:
            waiting()
    with lock:
        if _use(path):
            return path, False
        _remove(path)  # not whole, or of another version
        for left in path.parent.glob(f".{key}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        _evict(limit() - needed)
        temporary = path.parent / f".{key}.{secrets.token_hex(4)}.tmp"
        try:
            with saving(path):
                temporary.mkdir()
                build(temporary)
                files = {file.name: file.stat().st_size for file in temporary.iterdir()}
                write_json_atomic(temporary / META, {"about": about, "files": files})
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return path, True


def used(kind: str, key: str) -> Path | None:
    """The file of an entry that `renew` made, which counts as used now; None where there is none."""
    path = cache_dir() / kind / key
    document = _whole(path)
    if document is None or len(document["files"]) != 1:
        return None
    with contextlib.suppress(OSError):
        os.utime(path / META)
    return path / next(iter(document["files"]))


def renew(kind: str, key: str, content: Sequence[bytes], about: dict[str, Any]) -> None:
    """Puts an entry of one file in the place of an earlier one; a reader has the old content or the new.

    Nothing is done when it may not have that much room, or when another process does the same at this moment.

    Raises:
        StoreError: the disk is full or the cache folder can't be written.
    """
    path, size = cache_dir() / kind / key, sum(map(len, content))
    if size > room():
        return
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = Lock.take(path.parent / f".{key}.lock")
    if lock is None:
        return
    with lock:
        _evict(limit() - size)
        new = path / secrets.token_hex(8)
        try:
            with saving(new):
                path.mkdir(exist_ok=True)
                with new.open("wb") as file:
                    file.writelines(content)
            write_json_atomic(path / META, {"about": about, "files": {new.name: size}})  # from here on it is the one
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        for old in path.iterdir():
            if old.name not in (new.name, META):
                with contextlib.suppress(OSError):  # open in another process, on Windows
                    old.unlink()


def about_of(path: Path) -> dict[str, Any]:
    """What the entry in this folder says about itself; empty where it is gone."""
    document = _whole(path)
    return dict(document["about"]) if document is not None else {}


def _use(path: Path) -> bool:
    if _whole(path) is None:
        return False
    with contextlib.suppress(OSError):  # a cache that may only be read is used too
        os.utime(path / META)
    return True


def _whole(path: Path) -> dict[str, Any] | None:
    """Its meta.json, if every file has the size that it had when it was made."""
    document = read_json(path / META)
    if document is None or not isinstance(document.get("files"), dict) or not isinstance(document.get("about"), dict):
        return None
    for name, size in document["files"].items():
        try:
            if (path / name).stat().st_size != size:
                return None
        except OSError:
            return None
    return document


def _evict(keep: int) -> None:
    found = entries()
    total = sum(entry.bytes for entry in found)
    for entry in found:
        if total <= max(0, keep):
            return
        _remove(entry.path)
        total -= entry.bytes


def _remove(path: Path) -> None:
    """First out of the way in one step, so that nobody opens half of it."""
    away = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with contextlib.suppress(OSError):
        path.replace(away)
        shutil.rmtree(away, ignore_errors=True)
