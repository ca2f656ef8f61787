"""Files that are whole or not there: atomic replace, appended JSON lines, tolerant reading. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covidviz.errors import StoreError

__all__ = [
    "append_jsonl", "clean", "open_jsonl", "parse_line", "read_json", "read_jsonl", "read_lines", "replacing", "saving",
    "to_json", "write_json_atomic",
]  # fmt: skip

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turns the operating system's refusal to write `path` into one clear sentence.

    Raises:
        StoreError: the disk is full, the folder is gone, or it may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(f"disk full: {path} could not be written; what was saved before is still there") from error
        if isinstance(error, FileNotFoundError):
            raise StoreError(f"{path.parent} is gone: {path.name} could not be written") from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise StoreError(f"{path} could not be written: no permission to write there") from error
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        StoreError: as `saving`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with saving(path):
            yield temporary
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def clean(value: Any) -> Any:
    """`value` as plain JSON types: not-a-number and infinity become None, arrays lists, paths text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [clean(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and torch, without importing either
        return clean(value.tolist())
    return str(value)


def to_json(value: Any, indent: int | None = None) -> str:
    """Valid JSON text of `value` (see `clean`)."""
    return _line(value).decode()[:-1] if indent is None else _tolerant(value, indent)


def _line(value: Any) -> bytes:
    """The JSON of `value` and a newline."""
    import orjson  # not above: the scheduler writes no lines, and stays small without it

    kept = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
    try:  # a tenth of the time; writes null for not-a-number and infinity
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE | kept)
    except TypeError:  # what is no plain JSON, also keys that are no text and integers of more than 64 bits
        return _tolerant(value).encode() + b"\n"


def _tolerant(value: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except (TypeError, ValueError):  # rarely: cleaning first would double the time
        return json.dumps(clean(value), allow_nan=False, indent=indent)


def write_json_atomic(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Replaces `path` by the JSON of `value`; a reader sees the old or the new document, never half of one.

    Args:
        indent: None writes one line, in a tenth of the time.

    Raises:
        StoreError: as `saving`.
    """
    text = to_json(value, indent) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, or None where there is no readable one."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def open_jsonl(path: Path) -> int:
    """A file descriptor to append lines to `path`; a half line left by a killed process is cut off first.

    Raises:
        StoreError: as `saving`.
    """
    with saving(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        end = size = os.lseek(handle, 0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            os.lseek(handle, start, os.SEEK_SET)
            newline = os.read(handle, end - start).rfind(b"\n")
            end = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if end < size:
            os.ftruncate(handle, end)
        return handle


def append_jsonl(handle: int, path: Path, *values: dict[str, Any]) -> None:
    """Appends each of `values` as a line, all in one write, so that they survive `kill -9` once this returns.

    Raises:
        StoreError: as `saving`; the file is left without half a line.
    """
    lines = b"".join(map(_line, values))
    size = os.lseek(handle, 0, os.SEEK_END)  # asked each time: a resumed run rewinds its open file
    try:
        written = os.write(handle, lines)
        while written < len(lines):
            written += os.write(handle, lines[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        with saving(path):  # not around all of it: that would take longer than the writing
            raise


def read_lines(path: Path, offset: int = 0) -> tuple[bytes, int]:
    """The whole lines in `path` from byte `offset` on, and the offset to go on from.

    A last line that is not complete yet is left for the next call.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return b"", offset
    if data and not data.endswith(b"\n"):
        start = data.rfind(b"\n") + 1
        # A strict prefix of an object never parses, so a line that does is whole without its newline.
        if parse_line(data[start:]) is None:
            data = data[:start]
    return data, offset + len(data)


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object in one line, or None where it is broken."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_jsonl(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The objects in `path` from byte `offset` on, and the offset to go on from; broken lines are skipped."""
    data, end = read_lines(path, offset)
    return [row for line in data.splitlines() if (row := parse_line(line)) is not None], end
