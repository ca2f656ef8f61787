"""The index of a runs folder on disk, so that a new process looks at each run instead of reading it.

It is an entry of the cache: one file with a line about itself, a line with all rows as JSON, and per run a block with
what may be looked at later: the settings as JSON, then the curves as they lie in memory. Only rows of
runs that have ended and come back equal are kept, beside the versions of the files they were read from. Whatever is
wrong with it, of another version or damaged, counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import weakref
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from covidviz import __version__
from covidviz.errors import StoreError
from covidviz.store import cache, layout
from covidviz.store.files import read_json, read_lines
from covidviz.store.summary import LATER, Curves, RunSummary

__all__ = ["Kept", "load", "save"]

KIND = "index"
SCHEMA = 1  # to be raised with every change of what a row says of the same files
N_VERSIONS = 15  # integers of a run: its folder and four files, three each
N_PLACES = 3  # integers of a block: offset, bytes, crc32

_FIELDS = tuple(f.name for f in fields(RunSummary) if f.name not in LATER)
_IN_JSON: dict[str, set[type]] = {
    "str": {str}, "bool": {bool}, "int": {int}, "float": {float, int}, "None": {type(None)}, "tuple[str, ...]": {list},
}  # fmt: skip
_TYPES = [
    set().union(*(_IN_JSON[part] for part in str(f.type).split(" | "))) for f in fields(RunSummary) if f.name in _FIELDS
]
_RUN_ID, _STATE, _TAGS, _BEST = (_FIELDS.index(name) for name in ("run_id", "state", "tags", "best_epoch"))
_INT = array("i").itemsize
_FLOAT = array("d").itemsize


# A row, and the versions of what it was read from, as they were given to `save`.
Kept = tuple[RunSummary, tuple[int, ...]]


def load(runs_dir: Path) -> dict[str, Kept]:
    """What is kept of the runs in this folder, by run id. Never raises."""
    try:
        path = cache.used(KIND, _key(runs_dir))
        return {} if path is None else _read(_File(path), runs_dir)
    except (OSError, ValueError, TypeError, LookupError):
        return {}


def save(runs_dir: Path, rows: Iterable[Kept]) -> None:
    """Keeps these rows in place of the earlier ones, if that is possible. Never raises."""
    table, blocks, at = [], [], 0
    for row, versions in rows:
        try:
            values, block = _values(row), _block(row)
        except (OSError, ValueError, TypeError):
            continue  # damaged, or holds something that JSON does not, such as not-a-number in config.json
        table.append([*values, *versions, at, len(block), zlib.crc32(block)])
        blocks.append(block)
        at += len(block)
    with contextlib.suppress(StoreError, OSError, TypeError):  # it is only a cache (TypeError: inodes of 128 bits)
        columns = orjson.dumps(list(zip(*table, strict=True)))
        head = orjson.dumps([_about(runs_dir), len(columns), zlib.crc32(columns)], option=orjson.OPT_APPEND_NEWLINE)
        about = {"runs": _folder(runs_dir), "n": len(blocks)}
        cache.renew(KIND, _key(runs_dir), [head, columns, *blocks], about)


def _folder(runs_dir: Path) -> str:
    return os.path.realpath(runs_dir)  # Path.resolve raises where links go round in circles


def _key(runs_dir: Path) -> str:
    return hashlib.sha256(os.fsencode(_folder(runs_dir))).hexdigest()[:32]


def _about(runs_dir: Path) -> list[Any]:
    """What has to be the same for a file to be understood."""
    return [SCHEMA, __version__, sys.byteorder, _INT, _FLOAT, list(_FIELDS), _key(runs_dir)]


class _File:
    """The file, open as long as a row may want something of it; another one may take its place meanwhile."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, os.close, handle)
        self.size = os.fstat(handle).st_size
        # Not mapped into memory: a file that somebody cuts meanwhile would end the process.
        self._handle, self._all = handle, None if hasattr(os, "pread") else path.read_bytes()

    def read(self, at: int, n: int) -> bytes:
        """Raises: OSError; ValueError where they are not there."""
        if type(at) is not int or type(n) is not int or not 0 <= at <= at + n <= self.size:
            raise ValueError("outside the file")
        return os.pread(self._handle, n, at) if self._all is None else self._all[at : at + n]

    def checked(self, at: int, n: int, crc: int) -> bytes:
        found = self.read(at, n)
        if zlib.crc32(found) != crc:
            raise ValueError("damaged")
        return found


def _read(file: _File, runs_dir: Path) -> dict[str, Kept]:
    head, newline, _ = file.read(0, min(file.size, 65536)).partition(b"\n")
    about, n, crc = orjson.loads(head)
    if about != _about(runs_dir) or not newline:
        return {}
    start = len(head) + 1
    table = orjson.loads(file.checked(start, n, crc))
    # By column, so that this takes a few milliseconds for a thousand rows.
    columns, numbers = table[: len(_FIELDS)], table[len(_FIELDS) :]
    for column, allowed in zip(columns, _TYPES, strict=True):
        if not allowed.issuperset(map(type, column)):
            return {}
    if not (
        {str}.issuperset(map(type, chain.from_iterable(columns[_TAGS])))
        and set(layout.FINISHED).issuperset(columns[_STATE])
        and len(numbers) == N_VERSIONS + N_PLACES
    ):
        return {}
    columns[_TAGS] = map(tuple, columns[_TAGS])
    places = list(zip(*numbers[N_VERSIONS:], strict=True))
    blocks = _Blocks(file, start + n, places, runs_dir, columns[_RUN_ID], columns[_BEST])
    rows = [
        RunSummary.later(dict(zip(_FIELDS, values)), blocks, i)  # noqa: B905  as many, as was just checked
        for i, values in enumerate(zip(*columns, strict=True))
    ]
    return dict(zip(columns[_RUN_ID], zip(rows, zip(*numbers[:N_VERSIONS], strict=True), strict=True), strict=True))


class _Blocks:
    """The large fields of the rows, read when they are asked for."""

    def __init__(
        self,
        file: _File,
        start: int,
        places: list[tuple[int, ...]],
        runs_dir: Path,
        run_ids: list[str],
        best: list[int | None],
    ) -> None:
        self._file, self._start, self._places = file, start, places
        self._runs_dir, self._run_ids, self._best_epochs = runs_dir, run_ids, best

    def read(self, i: int) -> bytes:
        """Raises: OSError, ValueError, TypeError: it is damaged."""
        at, size, crc = self._places[i]
        return self._file.checked(self._start + at, size, crc)

    def __call__(self, i: int) -> Mapping[str, Any]:
        try:
            settings, curves = _parts(self.read(i))
        except (OSError, ValueError, TypeError):  # too late to read the whole row anew: these fields then
            run_dir = self._runs_dir / self._run_ids[i]
            settings, curves = (
                read_json(run_dir / layout.CONFIG) or {},
                Curves().grown(read_lines(run_dir / layout.METRICS)[0]),
            )
        best = self._best_epochs[i]
        metrics = {} if best is None or best not in curves.epochs else curves.at(curves.epochs.index(best))
        return {"metrics": metrics, "curves": curves, "settings": settings}


def _values(row: RunSummary) -> list[Any]:
    """The small fields.

    Raises:
        TypeError, ValueError: they would not come back as they are.
    """
    values = [getattr(row, name) for name in _FIELDS]
    again = orjson.loads(orjson.dumps(values))
    again[_TAGS] = tuple(again[_TAGS])
    if again != values:
        raise ValueError("not the same")
    return values


def _block(row: RunSummary) -> bytes:
    """The settings and curves.

    Raises:
        TypeError, ValueError: they would not come back as they are.
        OSError: they lie in a file that can't be read any more.
    """
    match row.__dict__.get("rest"):
        case (_Blocks() as blocks, int(i)):
            return blocks.read(i)
    curves = row.curves
    head = orjson.dumps([row.settings, list(curves.values), len(curves.epochs)], option=orjson.OPT_APPEND_NEWLINE)
    if orjson.loads(head)[0] != row.settings:
        raise ValueError("not the same")
    return b"".join((head, curves.epochs.tobytes(), *(curve.tobytes() for curve in curves.values.values())))


def _parts(block: bytes) -> tuple[dict[str, Any], Curves]:
    """The settings and curves in a block.

    Raises:
        TypeError, ValueError: it is none.
    """
    head, _, _ = block.partition(b"\n")
    settings, names, n = orjson.loads(head)
    numbers = memoryview(block)[len(head) + 1 :]
    if not isinstance(settings, dict) or len(numbers) != n * (_INT + _FLOAT * len(names)):
        raise ValueError("not a block")
    epochs, values = array("i"), {}
    epochs.frombytes(numbers[: n * _INT])
    for i, name in enumerate(names):
        start = n * (_INT + i * _FLOAT)
        values[name] = curve = array("d")
        curve.frombytes(numbers[start : start + n * _FLOAT])
    return settings, Curves(epochs, values)
