"""The index of all runs: right, and fast because it reads only what changed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import write_synthetic_run

from covidviz.store import index, layout
from covidviz.store.files import read_json, read_jsonl, to_json, write_json_atomic
from covidviz.store.index import RunIndex
from covidviz.store.reader import Run
from covidviz.store.runs import edit_notes
from covidviz.store.summary import Curves, best_metrics, is_number


def change(run_dir: Path, **changes: object) -> None:
    write_json_atomic(run_dir / layout.STATUS, {**(read_json(run_dir / layout.STATUS) or {}), **changes})


def test_rows_say_what_the_run_says(runs: Path) -> None:
    states = ("queued", "running", "completed", "failed", "stopped", "lost")
    dirs = [write_synthetic_run(runs, i, state) for i, state in enumerate(states)]
    rows = RunIndex(runs).refresh()
    assert [row.run_id for row in rows] == [path.name for path in reversed(dirs)]
    by_id = {row.run_id: row for row in rows}
    for path, state in zip(dirs, states, strict=True):
        row, run = by_id[path.name], Run(path)
        status, config = run.status(), run.config()
        best_epoch, metrics = run.best()
        assert config is not None
        assert row.state == state == status.state
        assert (row.name, row.model, row.loss, row.lr) == (config.name, config.model, config.loss, config.lr)
        assert (row.epoch, row.epochs, row.created, row.error) == (status.epoch, 10, status.created, status.error)
        assert row.best_epoch == best_epoch
        assert row.metrics == metrics.get("val", {})
        assert row.best == metrics.get("val", {}).get("macro_f1")
    assert by_id[dirs[0].name].tags == ("course",)


def test_no_folder_no_rows(tmp_path: Path) -> None:
    assert RunIndex(tmp_path / "missing").refresh() == []


def test_odd_folders_are_left_out_and_broken_runs_shown(runs: Path) -> None:
    good = write_synthetic_run(runs, 1)
    (runs / ".trash").mkdir()
    (runs / "my notes").mkdir()
    (runs / "file").write_text("x")
    empty = runs / "20260101-000000-empty-0000"
    empty.mkdir()
    cut = write_synthetic_run(runs, 2)
    (cut / layout.CONFIG).write_text('{"model": "res')
    rows = {row.run_id: row for row in RunIndex(runs).refresh()}
    assert set(rows) == {good.name, empty.name, cut.name}
    assert rows[good.name].state == "completed"
    assert rows[empty.name].state == rows[cut.name].state == "broken"
    assert rows[empty.name].name == empty.name
    assert "config.json" in str(rows[cut.name].error)


def test_changes_are_seen(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    found = RunIndex(runs)
    assert found.refresh()[0].epoch == 5
    change(run_dir, epoch=6, progress=0.6)
    with (run_dir / layout.METRICS).open("a") as file:
        file.write(to_json({"epoch": 6, "split": "val", "macro_f1": 0.99}) + "\n" + '{"epoch": 7, "spl')
    [row] = found.refresh()
    assert (row.epoch, row.best_epoch, row.best) == (6, 6, 0.99)
    with (run_dir / layout.METRICS).open("a") as file:
        file.write('it": "val", "macro_f1": 0.995}\n')
    assert found.refresh()[0].best_epoch == 7
    edit_notes(run_dir, name="renamed", archived=True)
    [row] = found.refresh()
    assert (row.name, row.archived) == ("renamed", True)
    change(run_dir, state="failed", error="out of memory")
    assert found.refresh()[0].error == "out of memory"
    shutil.rmtree(run_dir)
    assert found.refresh() == []


def test_a_resumed_run_rewinds(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    found = RunIndex(runs)
    found.refresh()
    lines = [{"epoch": 1, "split": "val", "macro_f1": 0.1 + i / 1000, "pad": "x" * 300} for i in range(40)]
    (run_dir / layout.METRICS).write_text("".join(to_json(row) + "\n" for row in lines))  # grown past the old end
    change(run_dir, pid=1, host="another machine")
    assert found.refresh()[0].best == pytest.approx(0.139)
    (run_dir / layout.METRICS).write_text(to_json(lines[0]) + "\n")
    assert found.refresh()[0].best == pytest.approx(0.1)


def test_a_heartbeat_goes_stale_without_any_file_changing(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    change(run_dir, host="another machine", heartbeat=time.time() - 25)
    found = RunIndex(runs)
    assert found.refresh()[0].state == "running"
    later = time.time() + 10
    monkeypatch.setattr(index.time, "time", lambda: later)
    [row] = found.refresh()
    assert (row.state, row.eta_s) == ("lost", None)
    assert found.refresh() == [row]
    change(run_dir, heartbeat=later)
    assert found.refresh()[0].state == "running"


def test_a_repaired_config_is_read_again(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    config = read_json(run_dir / layout.CONFIG)
    (run_dir / layout.CONFIG).write_text("{")
    found = RunIndex(runs)
    assert found.refresh()[0].state == "broken"
    write_json_atomic(run_dir / layout.CONFIG, config)
    assert found.refresh()[0].state == "completed"


def test_the_support_of_the_critical_class_is_that_of_the_validation_split(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    found = RunIndex(runs)
    for support, n in (
        ({"val": {"covid19": 31, "normal": 5}}, 31), (None, None), ([1], None), ({"val": 3}, None),
        ({"val": {"covid19": "x"}}, None), ({"val": {"covid19": 0}}, None),
    ):  # fmt: skip
        change(run_dir, support=support)
        [row] = found.refresh()
        assert (row.critical, row.support) == ("covid19", n)


def test_a_document_of_a_run_is_small(runs: Path) -> None:
    write_synthetic_run(runs, 1, epochs=50)
    [row] = RunIndex(runs).refresh()
    assert len(row.curves.epochs) == 50
    assert row.settings["optimizer"] == "sgd"
    assert len(to_json(row.document())) < 2000


VALUES = st.none() | st.floats(0, 1) | st.sampled_from(["x", float("nan"), float("inf"), 10**400, [1]])
LINES = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["train", "val", "test"]), VALUES, VALUES), max_size=20)


@settings(max_examples=200, deadline=None)
@given(LINES, st.sampled_from(["loss", "macro_f1"]), st.integers(0, 20), st.booleans(), st.booleans())
def test_curves_are_what_parsing_line_by_line_finds(tmp_path_factory, lines, metric, cut, rising, junk) -> None:
    rows = [
        {"epoch": i if rising else epoch, "split": split, "loss": a, **({} if b is None else {"macro_f1": b})}
        for i, (epoch, split, a, b) in enumerate(lines)
    ]
    path = tmp_path_factory.mktemp("lines") / "metrics.jsonl"
    texts = [json.dumps(row) + "\n" for row in rows]
    if junk:
        texts.insert(len(texts) // 2, '{"split": "val", "loss": 1e\n')
    curves = Curves()
    for part in (texts[:cut], texts[cut:]):  # as it grows
        path.write_text("".join(part))
        curves = curves.grown(path.read_bytes())
    path.write_text("".join(texts))
    best_epoch, metrics = best_metrics(read_jsonl(path)[0], f"val_{metric}")
    at = curves.best(metric)
    assert (None if at is None else curves.epochs[at]) == best_epoch
    assert list(curves.epochs) == sorted({row["epoch"] for row in rows if row["split"] == "val"})
    if at is not None:
        assert curves.at(at) == {name: value for name, value in metrics["val"].items() if is_number(value)}


def test_of_a_thousand_runs_only_what_changed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long that takes is measured by `python -m benchmarks.runs_page`."""
    template = write_synthetic_run(tmp_path / "one", 1, epochs=100)
    runs = tmp_path / "runs"
    runs.mkdir()
    names = [layout.CONFIG, layout.STATUS, layout.NOTES, layout.METRICS]
    contents = {name: (template / name).read_bytes() for name in names}
    for i in range(1000):
        run_dir = runs / f"20260101-{i:06}-synthetic-{i:04x}"
        run_dir.mkdir()
        for name, content in contents.items():
            (run_dir / name).write_bytes(content)
    read: set[str] = set()
    for reader in ("read_json", "read_lines"):
        original = getattr(index, reader)

        def spy(path: Path, *more: object, original: Callable[..., object] = original) -> object:
            read.add(path.parent.name)
            return original(path, *more)

        monkeypatch.setattr(index, reader, spy)
    found = RunIndex(runs)
    assert len(found.refresh()) == len(read) == 1000
    read.clear()
    assert len(found.refresh()) == 1000
    assert not read
    changed = {f"20260101-{i:06}-synthetic-{i:04x}" for i in range(0, 1000, 100)}
    for name in changed:
        change(runs / name, epoch=99)
    assert [row.epoch for row in found.refresh()].count(99) == 10
    assert read == changed
