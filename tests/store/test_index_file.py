"""The index on disk: the same rows as from the files, whatever happened to it."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import write_synthetic_run

from covidviz.store import cache, index, index_file, layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.index import RunIndex, RunSummary
from covidviz.store.locks import Lock
from covidviz.store.runs import delete_run, edit_notes, restore_run

IDS = tuple(f"20260101-00000{i}-run-000{i}" for i in range(5))


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One run is worth keeping, and nothing is too new to be believed."""
    monkeypatch.setattr(index, "KEEP_FROM", 1)
    monkeypatch.setattr(index, "SETTLED_S", -60.0)
    return None


def from_files(runs: Path) -> list[RunSummary]:
    """What an index says for which there is nothing on disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_file, "load", lambda _: {})
        patch.setattr(index_file, "save", lambda *_: None)
        return RunIndex(runs).refresh()


def taken(rows: list[RunSummary]) -> set[str]:
    """The runs whose rows came from the disk."""
    return {row.run_id for row in rows if "rest" in vars(row)}


def the_file(runs: Path) -> Path:
    path = cache.used("index", index_file._key(runs))
    assert path is not None
    return path


@pytest.fixture
def kept(runs: Path) -> list[RunSummary]:
    """Three runs whose rows are on disk."""
    for i in range(3):
        write_synthetic_run(runs, i, ("completed", "failed", "stopped")[i])
    rows = RunIndex(runs).refresh()
    assert taken(RunIndex(runs).refresh()) == {row.run_id for row in rows}
    return rows


def test_only_runs_that_have_ended_are_taken_from_the_disk(runs: Path) -> None:
    states = ("queued", "running", "completed", "failed", "stopped", "lost")
    dirs = [write_synthetic_run(runs, i, state) for i, state in enumerate(states)]
    (dirs[2] / layout.NOTES).unlink()
    (dirs[3] / layout.METRICS).unlink()
    first = RunIndex(runs).refresh()
    again = RunIndex(runs).refresh()
    assert taken(first) == set()
    assert taken(again) == {path.name for path in dirs[2:5]}
    assert again == first == from_files(runs)
    assert repr(again) == repr(first)
    assert again[0].document() == first[0].document()
    with pytest.raises(AttributeError):
        again[2].no_such_field  # noqa: B018


TEXT = st.text(max_size=6) | st.sampled_from(["\ud800", "état \u202e", "a\nb", "\x00"])
NUMBERS = st.integers(-(10**20), 10**20) | st.floats() | st.booleans() | st.none()
PLAIN = TEXT | NUMBERS
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(TEXT, PLAIN, max_size=2)
STATUS = st.fixed_dictionaries(
    {"state": st.sampled_from([*layout.FINISHED, *layout.FINISHED, "running", "queued", "x"])},
    optional=dict.fromkeys(("epoch", "epochs", "created", "error", "device", "pid", "support", "other"), VALUES),
)
CONFIG = st.fixed_dictionaries(
    {"critical_class": st.just("a")},
    optional=dict.fromkeys(("name", "model", "lr", "focal_gamma", "tags", "monitor", "epochs", "data"), VALUES),
)
NOTES = st.fixed_dictionaries({}, optional={"name": VALUES, "tags": st.lists(VALUES), "note": VALUES})
ROW = st.fixed_dictionaries(
    {"epoch": st.integers(1, 4), "split": st.sampled_from(["val", "train"])},
    optional={"macro_f1": NUMBERS, "loss": NUMBERS, "état": NUMBERS},
)
RUN = st.tuples(STATUS, *(st.none() | one for one in (CONFIG, NOTES, st.lists(ROW, max_size=6))), st.booleans())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(RUN, min_size=1, max_size=4))
def test_rows_from_the_disk_say_what_rows_from_the_files_say(tmp_path_factory, found) -> None:
    runs = tmp_path_factory.mktemp("runs")
    for run_id, (status, config, notes, rows, junk) in zip(IDS, found, strict=False):
        run_dir = runs / run_id
        run_dir.mkdir()
        for name, document in ((layout.STATUS, status), (layout.CONFIG, config), (layout.NOTES, notes)):
            if document is not None:
                (run_dir / name).write_text(json.dumps(document))
        if rows is not None:
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (run_dir / layout.METRICS).write_text(lines + '{"epoch": 9, "split": "val", "lo' * junk)
    first = RunIndex(runs).refresh()
    again = RunIndex(runs).refresh()
    plain = from_files(runs)
    assert repr(again) == repr(first) == repr(plain)  # also types, and not-a-number
    for one, other in zip(again, plain, strict=True):
        assert one.curves == other.curves
        assert one == other or "nan" in repr(one.settings)


def test_what_json_does_not_have_is_read_anew(kept: list[RunSummary], runs: Path) -> None:
    path = runs / kept[0].run_id / layout.CONFIG
    path.write_text(path.read_text().replace('"seed": ', '"seed": NaN, "was": '))
    asked: list[int] = []
    save = index_file.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_file, "save", lambda *args: (asked.append(1), save(*args)))
        known = RunIndex(runs)
        for _ in range(3):
            known.refresh()
    assert asked == [1], "what can't be kept is not offered again and again"
    assert taken(RunIndex(runs).refresh()) == {kept[1].run_id, kept[2].run_id}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), what=st.sampled_from(["flip", "cut", "cut and told", "meta", "junk"]))
def test_a_damaged_file_is_no_obstacle(kept: list[RunSummary], runs: Path, at: float, what: str) -> None:
    path = the_file(runs)
    good, meta = path.read_bytes(), (path.parent / cache.META).read_bytes()
    if what == "meta":
        (path.parent / cache.META).write_bytes(meta[: int(at * len(meta))])
    else:
        cut = int(at * len(good))
        if what == "flip":
            bad = good[:cut] + bytes([good[cut] ^ 0x55]) + good[cut + 1 :]
        else:
            bad = good[:cut] if what.startswith("cut") else os.urandom(cut)
        path.write_bytes(bad)
        if what in ("cut and told", "junk"):
            write_json_atomic(path.parent / cache.META, {"about": {}, "files": {path.name: len(bad)}})
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index_file, "save", lambda *_: None)
            rows = RunIndex(runs).refresh()
        assert repr(rows) == repr(kept)
    finally:
        path.write_bytes(good)
        (path.parent / cache.META).write_bytes(meta)


def forge(runs: Path, column: int | None, value: object) -> None:
    """A file that fits its checksums, with `value` for one run (or instead of the whole table)."""
    path = the_file(runs)
    content = path.read_bytes()
    head, _, rest = content.partition(b"\n")
    about, n, _ = orjson.loads(head)
    table = orjson.loads(rest[:n])
    if column is None:
        table = value
    else:
        table[column][0] = value
    told = orjson.dumps(table)
    content = b"\n".join((orjson.dumps([about, len(told), zlib.crc32(told)]), told + rest[n:]))
    path.write_bytes(content)
    write_json_atomic(path.parent / cache.META, {"about": {}, "files": {path.name: len(content)}})


_RIGHT = len(index_file._FIELDS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (None, []), (None, {}), (None, 5), (None, [[]] * 60), (None, [[1]] * 60),
        (0, 5), (0, []), (0, "../../etc"), (1, None), (2, "running"), (2, []), (index_file._TAGS, "text"),
        (index_file._TAGS, [1]), (index_file._BEST, "x"), (index_file._FIELDS.index("archived"), 1),
        (_RIGHT, "x"), (_RIGHT + 4, None), (_RIGHT + 5, 1.5), (_RIGHT + 15, -1), (_RIGHT + 15, "0"),
        (_RIGHT + 16, 10**15), (_RIGHT + 16, -5), (_RIGHT + 16, 1.5), (_RIGHT + 17, 0), (_RIGHT + 17, None),
    ],
)  # fmt: skip
def test_a_forged_file_is_no_obstacle(kept: list[RunSummary], runs: Path, column: int | None, value: object) -> None:
    forge(runs, column, value)
    known = RunIndex(runs)
    assert repr(known.refresh()) == repr(kept)
    assert repr(known.refresh()) == repr(kept)


@pytest.mark.parametrize("change", [{"SCHEMA": 99}, {"__version__": "9.9"}, {"_INT": 2}, {"N_VERSIONS": 12}])
def test_a_file_of_another_version_is_not_used(kept, runs: Path, monkeypatch, change: dict[str, object]) -> None:
    for name, value in change.items():
        monkeypatch.setattr(index_file, name, value)
    assert index_file.load(runs) == {}


@pytest.mark.parametrize("name", [layout.STATUS, layout.CONFIG, layout.NOTES, layout.METRICS])
def test_any_file_changed_meanwhile_is_read(kept: list[RunSummary], runs: Path, name: str) -> None:
    path = runs / kept[1].run_id / name
    with path.open("r+b") as file:  # in place: the folder does not tell
        first = file.read(2)
        file.seek(0)
        file.write(first)
    os.utime(path, ns=(1, 1))
    rows = RunIndex(runs).refresh()
    assert taken(rows) == {kept[0].run_id, kept[2].run_id}
    assert rows == kept
    path.unlink()
    assert RunIndex(runs).refresh() == from_files(runs)


def test_a_file_replaced_is_seen_at_once_and_one_changed_in_place_a_little_later(
    kept: list[RunSummary], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.time()
    clock = [start]
    monkeypatch.setattr(index.time, "time", lambda: clock[0])
    for known in (RunIndex(runs), RunIndex(runs)):
        known.refresh()
        for i, row in enumerate(known.refresh()):
            edit_notes(runs / row.run_id, name=f"named {i} at {clock[0]}")
        rows = known.refresh()
        assert {row.name for row in rows} == {f"named {i} at {clock[0]}" for i in range(3)}
        assert [(row.curves, row.settings) for row in rows] == [(row.curves, row.settings) for row in kept]
        notes = runs / rows[0].run_id / layout.NOTES
        notes.write_text(json.dumps({**(read_json(notes) or {}), "note": f"by hand {clock[0]}"}))
        assert RunIndex(runs).refresh()[0].note == f"by hand {clock[0]}", "a further process looks at all files"
        clock[0] += index.LOOK_S
        assert known.refresh()[0].note == notes_of(runs, rows[0].run_id)
        clock[0] += 1


def notes_of(runs: Path, run_id: str) -> str:
    return str((read_json(runs / run_id / layout.NOTES) or {})["note"])


def test_what_is_not_settled_is_looked_at_file_by_file(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SETTLED_S", 3600.0)
    run_dir = write_synthetic_run(runs, 1)
    known = RunIndex(runs)
    known.refresh()
    notes = read_json(run_dir / layout.NOTES) or {}
    (run_dir / layout.NOTES).write_text(json.dumps({**notes, "note": "in place"}))
    assert known.refresh()[0].note == "in place"
    assert cache.entries("index") == []


def test_one_look_a_run_where_nothing_changed(kept, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = RunIndex(runs)
    known.refresh()
    looks: list[object] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **more: (looks.append(path), stat(path, **more))[1])
    known.refresh()
    monkeypatch.undo()
    assert sorted(map(str, looks)) == sorted(str(runs / row.run_id) for row in kept)


def test_a_resumed_run_is_read_anew(kept: list[RunSummary], runs: Path) -> None:
    run_dir = runs / next(row.run_id for row in kept if row.state == "stopped")
    known = RunIndex(runs)
    assert len(taken(known.refresh())) == 3
    lines = (run_dir / layout.METRICS).read_bytes().splitlines(keepends=True)
    os.truncate(run_dir / layout.METRICS, len(b"".join(lines[:4])))
    status = read_json(run_dir / layout.STATUS) or {}
    write_json_atomic(run_dir / layout.STATUS, {**status, "state": "running", "pid": 1, "host": "other", "epoch": 2,
                                                "heartbeat": time.time()})  # fmt: skip
    row = next(row for row in known.refresh() if row.run_id == run_dir.name)
    assert (row.state, list(row.curves.epochs)) == ("running", [1, 2])
    with (run_dir / layout.METRICS).open("ab") as file:
        file.write(lines[5])
    write_json_atomic(run_dir / layout.STATUS, {**status, "epoch": 3})
    rows = known.refresh()
    assert rows == from_files(runs)
    assert list(next(row for row in rows if row.run_id == run_dir.name).curves.epochs) == [1, 2, 3]


def test_deleted_and_restored(kept: list[RunSummary], runs: Path) -> None:
    known = RunIndex(runs)
    known.refresh()
    delete_run(runs / kept[0].run_id)
    assert known.refresh() == kept[1:] == RunIndex(runs).refresh()
    restore_run(runs, kept[0].run_id)
    assert known.refresh() == kept == RunIndex(runs).refresh()


def test_folders_do_not_mix(kept: list[RunSummary], runs: Path, tmp_path: Path) -> None:
    assert index_file.load(tmp_path / "others") == {}
    (tmp_path / "link").symlink_to(runs)
    assert RunIndex(tmp_path / "link").refresh() == kept
    assert taken(RunIndex(tmp_path / "link").refresh()) == {row.run_id for row in kept}


def test_few_runs_are_not_worth_it(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "KEEP_FROM", 3)
    known = RunIndex(runs)
    for i in range(2):
        write_synthetic_run(runs, i)
    known.refresh()
    assert cache.entries("index") == []
    write_synthetic_run(runs, 2)
    known.refresh()
    [entry] = cache.entries("index")
    assert entry.about == {"runs": str(runs), "n": 3}
    assert entry.bytes == the_file(runs).stat().st_size


def test_it_is_cleared_with_the_other_caches(kept: list[RunSummary], runs: Path) -> None:
    rows = RunIndex(runs).refresh()
    assert cache.clear() > 0
    assert cache.entries() == []
    assert rows == kept, "what is open stays readable"
    assert RunIndex(runs).refresh() == kept
    assert len(cache.entries("index")) == 1


@pytest.mark.parametrize("limit", ["0", "1e-9", "much"])
def test_no_room(runs: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", limit)
    write_synthetic_run(runs, 1)
    assert len(RunIndex(runs).refresh()) == 1
    assert cache.entries("index") == []


def test_a_folder_that_can_not_be_written(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path / "file"))
    write_synthetic_run(runs, 1)
    assert len(RunIndex(runs).refresh()) == 1


def test_a_disk_that_fills_up_leaves_the_earlier_file(kept: list[RunSummary], runs: Path, folders: Path) -> None:
    write_synthetic_run(runs, 9)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        assert len(RunIndex(runs).refresh()) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    [entry] = cache.entries("index")
    assert entry.about["n"] == 3
    assert {path.name for path in entry.path.iterdir()} == {cache.META, the_file(runs).name}


def test_another_process_that_writes_is_let_alone(runs: Path, folders: Path) -> None:
    write_synthetic_run(runs, 1)
    (folders / "cache/index").mkdir(parents=True)
    lock = Lock.take(folders / f"cache/index/.{index_file._key(runs)}.lock")
    assert lock is not None
    with lock:
        assert len(RunIndex(runs).refresh()) == 1
    assert cache.entries("index") == []


def test_many_at_once(kept: list[RunSummary], runs: Path) -> None:
    found: list[list[RunSummary]] = []
    cache.clear()

    def look() -> None:
        for _ in range(5):
            found.append(RunIndex(runs).refresh())
            cache.clear("index")

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(rows == kept for rows in found)
