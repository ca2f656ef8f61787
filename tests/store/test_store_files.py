"""Atomic files and tolerant reading."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidviz.errors import StoreError
from covidviz.paths import PROJECT
from covidviz.store.files import (
    append_jsonl,
    open_jsonl,
    parse_line,
    read_json,
    read_jsonl,
    read_lines,
    replacing,
    to_json,
    write_json_atomic,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
ROWS = st.lists(st.dictionaries(st.text(max_size=8), SCALARS, max_size=4), max_size=6)


def written(path: Path, rows: list[dict]) -> bytes:
    handle = open_jsonl(path)
    for row in rows:
        append_jsonl(handle, path, row)
    os.close(handle)
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, data=st.data())
def test_a_jsonl_file_cut_anywhere_gives_its_whole_lines(tmp_path_factory, rows, data) -> None:
    path = tmp_path_factory.mktemp("cut") / "metrics.jsonl"
    content = written(path, rows)
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    read, end = read_jsonl(path)
    assert read == rows[: len(read)]
    assert len(read) >= content[:cut].count(b"\n")
    # What comes later is read from there on, nothing twice and nothing missed.
    path.write_bytes(content)
    assert read + read_jsonl(path, end)[0] == rows


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, data=st.data())
def test_a_killed_writers_half_line_is_cut_off_by_the_next(tmp_path_factory, rows, data) -> None:
    path = tmp_path_factory.mktemp("half") / "metrics.jsonl"
    content = written(path, rows)
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    whole = path.read_bytes().count(b"\n")
    written(path, [{"epoch": 1}])
    assert read_jsonl(path)[0] == [*rows[:whole], {"epoch": 1}]


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=200))
def test_any_bytes_can_be_read(tmp_path_factory, junk) -> None:
    path = tmp_path_factory.mktemp("junk") / "status.json"
    path.write_bytes(junk)
    assert read_json(path) is None or isinstance(read_json(path), dict)
    rows, end = read_jsonl(path)
    assert all(isinstance(row, dict) for row in rows)
    assert end <= len(junk)


def test_broken_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 1}\n\xff\xfe\n[1]\nnull\n{"epoch": \n' + b"[" * 100_000 + b'\n{"epoch": 2}\n{"epo')
    assert read_jsonl(path)[0] == [{"epoch": 1}, {"epoch": 2}]


def test_a_last_line_without_newline_counts_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 1}\n{"epoch": 2}')
    rows, end = read_jsonl(path)
    assert rows == [{"epoch": 1}, {"epoch": 2}]
    path.write_bytes(path.read_bytes() + b'\n{"epoch": 3}\n')
    assert read_jsonl(path, end)[0] == [{"epoch": 3}]


def test_missing_files_read_as_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "no.json") is None
    assert read_jsonl(tmp_path / "no.jsonl", 7) == ([], 7)
    assert read_lines(tmp_path) == (b"", 0)  # a folder
    assert parse_line(b"[]") is None


def test_json_is_valid_whatever_is_put_in() -> None:
    value = {"loss": math.nan, "lr": np.float32(math.inf), "n": np.int64(3), "a": np.eye(2), "p": Path("x"), "t": (1,)}
    text = to_json({**value, "name": "\ud800 lone surrogate", 5: True})
    again = json.loads(text, parse_constant=lambda _: pytest.fail("not-a-number in JSON"))
    assert again["loss"] is None
    assert again["lr"] is None
    assert again["n"] == 3
    assert again["a"] == [[1, 0], [0, 1]]
    assert again["t"] == [1]
    assert again["5"] is True
    assert text.isascii()


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_json_atomic(path, {"lr": 1})
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(f"{temporary.write_text('half') / 0}")
    assert read_json(path) == {"lr": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    write_json_atomic(path, {"state": "running"})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match=r"disk full: .*status\.json"):
        write_json_atomic(path, {"state": "completed"})
    assert read_json(path) == {"state": "running"}
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is gone"):
        write_json_atomic(tmp_path / "deleted" / "status.json", {})


def test_a_real_limit_on_file_size_leaves_whole_lines(tmp_path: Path) -> None:
    program = """
import signal, resource, sys
from pathlib import Path
from covidviz.errors import StoreError
from covidviz.store.files import append_jsonl, open_jsonl
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
handle = open_jsonl(path)
try:
    for epoch in range(1000):
        append_jsonl(handle, path, {"epoch": epoch, "loss": 0.123456789})
except StoreError as error:
    print(error)
"""
    assert resource.RLIMIT_FSIZE is not None
    path = tmp_path / "metrics.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, cwd=PROJECT, check=True, timeout=60
    )
    assert "disk full" in done.stdout
    assert path.read_bytes().endswith(b"}\n")
    assert len(read_jsonl(path)[0]) == path.read_bytes().count(b"\n") > 10
