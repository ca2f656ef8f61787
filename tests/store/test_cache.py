from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from covidviz.errors import StoreError
from covidviz.store import cache

CONTEXT = multiprocessing.get_context("fork")


def make(key: str, content: bytes = b"12345678", kind: str = "things") -> tuple[Path, bool]:
    return cache.obtain(
        kind, key, needed=len(content), about={"what": key}, build=lambda folder: write(folder, content)
    )


def write(folder: Path, content: bytes) -> None:
    (folder / "data").write_bytes(content)


def test_built_once() -> None:
    path, new = make("a")
    assert new
    assert (path / "data").read_bytes() == b"12345678"
    again = make("a", b"another!")
    assert again == (path, False)
    assert (path / "data").read_bytes() == b"12345678"
    (entry,) = cache.entries()
    assert (entry.kind, entry.key, entry.bytes, entry.about) == ("things", "a", 8, {"what": "a"})


@pytest.mark.parametrize("harm", ["truncate", "remove", "meta"])
def test_what_is_not_whole_is_built_again(harm: str) -> None:
    path, _ = make("a")
    if harm == "truncate":
        os.truncate(path / "data", 3)
    elif harm == "remove":
        (path / "data").unlink()
    else:
        (path / cache.META).write_text("{")
    assert cache.entries() == []
    assert make("a") == (path, True)
    assert (path / "data").read_bytes() == b"12345678"


def test_a_failed_build_leaves_nothing() -> None:
    def fail(folder: Path) -> None:
        write(folder, b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.obtain("things", "a", needed=4, about={}, build=fail)
    assert cache.entries() == []
    assert make("a")[1]


def test_a_killed_builder_holds_nobody_up() -> None:
    def hang(folder: Path) -> None:
        write(folder, b"half")
        started.set()
        time.sleep(60)

    started = CONTEXT.Event()
    builder = CONTEXT.Process(
        target=cache.obtain, args=("things", "a"), kwargs={"needed": 8, "about": {}, "build": hang}
    )
    builder.start()
    assert started.wait(30)
    assert builder.pid is not None
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    path, new = make("a")
    assert new
    assert sorted(file.name for file in path.parent.iterdir()) == [".a.lock", "a"], "nothing half is left"


def test_two_at_once_build_once() -> None:
    def build(folder: Path) -> None:
        with built.get_lock():
            built.value += 1
        time.sleep(0.2)
        write(folder, b"12345678")

    built = CONTEXT.Value("i", 0)
    keywords = {"needed": 8, "about": {}, "build": build}
    builders = [CONTEXT.Process(target=cache.obtain, args=("things", "a"), kwargs=keywords) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0] * 4
    assert built.value == 1


def test_the_longest_unused_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", "20e-9")
    for age, key in enumerate(("new", "old", "older")):
        os.utime(make(key, b"123456")[0] / cache.META, (1000 - age, 1000 - age))
    make("older", b"123456")  # used again
    make("more", b"123456")
    assert {entry.key for entry in cache.entries()} == {"new", "older", "more"}


def test_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", "1e-6")
    assert cache.room() == 500
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", "0")
    assert cache.room() == 0
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("COVIDVIZ_CACHE_GB", wrong)
        with pytest.raises(StoreError, match="COVIDVIZ_CACHE_GB"):
            cache.limit()


def test_clear() -> None:
    make("a")
    make("b", kind="others")
    assert cache.clear("others") == 8
    assert [entry.key for entry in cache.entries()] == ["a"]
    assert cache.clear() == 8
    assert cache.entries() == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises((StoreError, OSError)):
        make("a")
