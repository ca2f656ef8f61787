"""Making, finding, editing, deleting, cloning and exporting runs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from synthetic import CLASSES, write_synthetic_run

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, InputError, StoreError
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.locks import Lock
from covidviz.store.reader import Run
from covidviz.store.runs import (
    clone_config,
    create_run,
    delete_run,
    edit_notes,
    export_csv,
    find_run,
    list_run_dirs,
    restore_run,
    trashed,
)
from covidviz.store.status import read_status

CONFIG = TrainConfig(data="/data", lr=0.1, tags=("course",)).resolve(CLASSES)


def test_a_new_run_is_whole(runs: Path) -> None:
    run_dir = create_run(CONFIG, runs)
    assert run_dir.parent == runs
    assert layout.is_run_id(run_dir.name)
    assert "resnet18-head" in run_dir.name
    assert Run(run_dir).config() == CONFIG
    assert (read_json(run_dir / layout.CONFIG) or {})["schema_version"] == 1
    status = read_status(run_dir)
    assert (status.state, status.epochs, status.epoch) == ("queued", 10, 0)
    assert status.created is not None
    assert Run(run_dir).notes()["tags"] == ["course"]
    assert [path.name for path in runs.iterdir()] == [run_dir.name]


def test_a_run_that_is_trained_here_and_now_says_so(runs: Path) -> None:
    status = read_status(create_run(CONFIG, runs, state="running"))
    assert (status.state, status.pid) == ("running", os.getpid())


def test_the_runs_folder_is_made(tmp_path: Path) -> None:
    samples = pd.DataFrame({"sample_id": ["a"], "path": ["a.png"], "split": ["train"]})
    run_dir = create_run(CONFIG, tmp_path / "new" / "runs", samples=samples)
    assert Run(run_dir).samples()["sample_id"].tolist() == ["a"]


def test_a_full_disk_leaves_no_half_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match="disk full"):
        create_run(CONFIG, runs)
    assert list(runs.iterdir()) == []


def test_many_processes_make_runs_at_once(runs: Path) -> None:
    program = """
import sys
from pathlib import Path
from covidviz.config import TrainConfig
from covidviz.store.runs import create_run
config = TrainConfig(data="/data", name="same").resolve(("a", "b"))
sys.stdin.readline()
for _ in range(10):
    print(create_run(config, Path(sys.argv[1])).name)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(runs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        for _ in range(3)
    ]
    made = [line for child in children for line in child.communicate("go\n")[0].split()]
    assert len(made) == 30
    assert sorted(made) == [path.name for path in list_run_dirs(runs)]
    assert {read_status(path).state for path in list_run_dirs(runs)} == {"queued"}


def test_a_collision_of_ids_takes_another(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["20260101-000000-a-0000", "20260101-000000-a-0000", "20260101-000000-a-0001"])
    monkeypatch.setattr(layout, "new_run_id", lambda name, now: next(ids))
    assert create_run(CONFIG, runs).name.endswith("0000")
    assert create_run(CONFIG, runs).name.endswith("0001")


def test_runs_are_found_by_the_beginning_of_their_id(runs: Path) -> None:
    first, second = write_synthetic_run(runs, 1), write_synthetic_run(runs, 2)
    assert find_run(runs, first.name) == first
    assert find_run(runs, second.name[:-6]) == second
    assert find_run(runs, str(first)) == first
    with pytest.raises(InputError, match="fits several") as error:
        find_run(runs, first.name[:6])
    assert first.name in str(error.value)
    for text in ("", "nothing", "..", "../..", "/", "/etc", f"../{first.name}", ".queue"):
        with pytest.raises(InputError):
            find_run(runs, text)
    with pytest.raises(InputError, match="no runs"):
        find_run(runs / "empty", "x")


def test_an_id_that_begins_another_id_is_exact(runs: Path) -> None:
    short, long = runs / "20260101-000000-a-0000", runs / "20260101-000000-a-0000-0000"
    short.mkdir()
    long.mkdir()
    assert find_run(runs, short.name) == short


def test_links_and_other_folders_are_no_runs(runs: Path, tmp_path: Path) -> None:
    outside = write_synthetic_run(tmp_path / "outside", 1)
    (runs / outside.name).symlink_to(outside)
    (runs / "notes").mkdir()
    (runs / "20260101-000000-a-0000").write_text("a file")
    assert list_run_dirs(runs) == []


def test_notes_can_be_edited(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    path = run_dir / layout.NOTES
    write_json_atomic(path, {**(read_json(path) or {}), "newer": 1})
    assert edit_notes(run_dir, name="better", tags=["a", " b ", "a", ""])["tags"] == ["a", "b"]
    edit_notes(run_dir, archived=True)
    assert Run(run_dir).notes() == {"name": "better", "tags": ["a", "b"], "note": "", "archived": True}
    assert (read_json(path) or {})["newer"] == 1
    path.unlink()
    assert Run(run_dir).notes()["name"] == "synthetic 1"
    for bad in ({"mood": "x"}, {"tags": "word"}, {"archived": 1}, {"name": None}):
        with pytest.raises(InputError, match="accepted"):
            edit_notes(run_dir, **bad)
    with pytest.raises(StoreError, match="gone"):
        edit_notes(runs / "gone", note="x")


def test_deleting_can_be_undone(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, artefacts=True)
    files = sorted(path.name for path in run_dir.iterdir())
    lies = delete_run(run_dir)
    assert not run_dir.exists()
    assert list_run_dirs(runs) == []
    assert trashed(runs) == [lies]
    assert restore_run(runs, run_dir.name) == run_dir
    assert sorted(path.name for path in run_dir.iterdir()) == files
    assert trashed(runs) == []
    with pytest.raises(InputError):
        restore_run(runs, run_dir.name)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_live_run_is_not_deleted(runs: Path, state: str) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    with pytest.raises(InputError, match="stop it"):
        delete_run(run_dir)
    assert run_dir.exists()


@pytest.mark.parametrize("state", ["completed", "failed", "stopped", "lost"])
def test_other_runs_can_be_deleted(runs: Path, state: str) -> None:
    delete_run(write_synthetic_run(runs, 1, state))
    assert list_run_dirs(runs) == []


def test_a_broken_run_can_be_deleted_and_one_that_hangs_can_not(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    (run_dir / layout.STATUS).write_text("{")
    lock = Lock.take(run_dir / layout.LOCK)
    assert lock is not None
    with lock, pytest.raises(StoreError, match="trained"):
        delete_run(run_dir)
    delete_run(run_dir)
    assert len(trashed(runs)) == 1


def test_a_restored_run_does_not_replace_another(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    delete_run(run_dir)
    write_synthetic_run(runs, 1)
    with pytest.raises(StoreError, match="already"):
        restore_run(runs, run_dir.name)


def test_a_clone_opens_what_was_filled_in(runs: Path) -> None:
    run_dir = create_run(CONFIG, runs)
    clone = clone_config(run_dir, lr="0.5")
    assert clone.lr == 0.5
    assert clone.name == ""
    assert clone.resolve(CLASSES).backbone_lr == 0.5
    assert clone.classes == CONFIG.classes
    assert clone_config(run_dir).resolve(CLASSES) == CONFIG
    assert clone_config(run_dir, task="multi-label").resolve(CLASSES).loss == "bce"
    assert clone_config(run_dir, data="/other").classes == ()
    named = create_run(CONFIG.replace(name="mine", backbone_lr=0.01), runs)
    assert clone_config(named, lr=0.5).name == "mine"
    assert clone_config(named, lr=0.5).backbone_lr == 0.01
    with pytest.raises(ConfigError, match="lr"):
        clone_config(run_dir, lr=99)
    (run_dir / layout.CONFIG).write_text("{")
    with pytest.raises(StoreError, match=r"config\.json"):
        clone_config(run_dir)


def test_export_to_csv(runs: Path, tmp_path: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, artefacts=True)
    files = export_csv(run_dir, tmp_path / "out" / "csv")
    assert [path.name for path in files] == ["metrics.csv", "predictions.csv", "config.json"]
    metrics = pd.read_csv(files[0])
    assert len(metrics) == 20
    assert metrics["loss"].tolist() == pytest.approx(Run(run_dir).metrics()["loss"].tolist())
    predictions = pd.read_csv(files[1])
    assert len(predictions) == len(Run(run_dir).predictions())
    assert {"sample_id", "split", "prob_covid19", "loss", "path", "label_covid19"} <= set(predictions.columns)
    assert read_json(files[2]) == read_json(run_dir / layout.CONFIG)
    queued = write_synthetic_run(runs, 2, "queued")
    assert [path.name for path in export_csv(queued, tmp_path / "q")] == ["config.json"]
    (queued / layout.CONFIG).unlink()
    with pytest.raises(StoreError, match="nothing to export"):
        export_csv(queued, tmp_path / "q2")
