"""Decoded images on disk: made once per content and size, shared by all runs and processes, read as a memory map."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from covidviz.data.images import decode
from covidviz.errors import StoreError
from covidviz.paths import cache_dir
from covidviz.store import cache
from covidviz.store.files import read_json, write_json_atomic
from covidviz.training.batches import slices
from covidviz.training.mapped import Mapped

__all__ = ["Progress", "content_key", "decoded"]

Progress = Callable[[int, int], None]

VERSION = 1  # of what `decode` gives for the same file; another one makes every entry another
PIXELS = "pixels.u8"
STAMPS = 256  # files whose size and time are looked up in one go
PART = 512  # images held in memory while an entry is built


def decoded(
    root: Path, paths: Sequence[str], size: int, *, on_progress: Progress | None = None
) -> tuple[Mapped, list[tuple[int, str]], bool]:
    """What `covidviz.data.images.decode` gives, bit for bit, without decoding what was decoded before.

    Args:
        on_progress: called with (images done, all); what it raises stops the work.

    Returns:
        uint8 [N, size, size]; (index, error) of each file that can't be read; whether it was decoded now.

    Raises:
        StoreError: there is no room on the disk or within the limit of the cache.
    """
    tell = on_progress or (lambda done, total: None)  # noqa: ARG005
    n, needed = len(paths), len(paths) * size * size
    if needed > cache.room():
        raise StoreError(f"{n} decoded images need {needed / 1e9:.1f} GB, more than the cache may take")
    key = content_key(root, paths, size)
    bad: dict[int, str] = {}

    def build(folder: Path) -> None:
        with (folder / PIXELS).open("wb") as file:
            for part in slices(n, PART):
                images, errors = decode(root, paths[part], size, on_progress=partial(_further, tell, part.start, n))
                file.write(images.data)  # numpy's tofile would not say that the disk is full
                bad.update({part.start + row: error for row, error in errors})
        write_json_atomic(folder / "bad.json", {"rows": sorted(bad)})

    about = {"folder": str(root), "images": n, "size": size}
    path, new = cache.obtain("images", key, needed=needed, about=about, build=build, waiting=lambda: tell(0, n))
    if not new:
        rows = (read_json(path / "bad.json") or {}).get("rows", [])
        again = decode(root, [paths[row] for row in rows], size)[1]  # for the sentences, which name the files
        bad = {rows[i]: error for i, error in again}
    return Mapped(path / PIXELS, np.uint8, (n, size, size)), sorted(bad.items()), new


def _further(tell: Progress, before: int, total: int, done: int, _: int) -> None:
    tell(before + done, total)


def content_key(root: Path, paths: Sequence[str], size: int) -> str:
    """A name for these images at this size: equal when the content of the files and their order are."""
    total = hashlib.blake2b(f"{VERSION} {size}\n".encode(), digest_size=16)
    for digest in _digests(root, paths):
        total.update(digest.encode() + b"\n")
    return total.hexdigest()


def _digests(root: Path, paths: Sequence[str]) -> list[str]:
    """The content of each file in short. Read again only where size or time changed; empty where it can't be read."""
    known_at = cache_dir() / "digests" / f"{hashlib.blake2b(str(root).encode(), digest_size=12).hexdigest()}.json"
    known = (read_json(known_at) or {}).get("files", {})

    def stamp(path: str) -> list[int]:
        try:
            found = (root / path).stat()
        except OSError:
            return []
        return [found.st_size, found.st_mtime_ns, found.st_ino]

    def stamps_of(part: slice) -> list[list[int]]:
        return [stamp(path) for path in paths[part]]

    with ThreadPoolExecutor(8) as pool:
        # Many to a task: on a local disk a task costs more than a look at a file.
        found = chain.from_iterable(pool.map(stamps_of, slices(len(paths), STAMPS)))
        stamps = dict(zip(paths, found, strict=True))
        new = [path for path in paths if not _known(known, path, stamps[path])]
        for path, digest in zip(new, pool.map(lambda path: _digest(root / path), new), strict=True):
            known[path] = [*stamps[path], digest]
    if new:
        try:
            known_at.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(known_at, {"root": str(root), "files": known})
        except (OSError, StoreError):
            pass  # only slower the next time
    return [str(known[path][-1]) for path in paths]


def _known(known: dict[str, list[object]], path: str, stamp: list[int]) -> bool:
    return bool(stamp) and known.get(path, [])[:-1] == stamp


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return ""
