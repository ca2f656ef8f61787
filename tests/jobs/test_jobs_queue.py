"""Stopping, resuming, submitting: what the app's buttons do."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_synthetic_run

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, DataError, InputError, StoreError, WeightsError
from covidviz.jobs import submit as submitting
from covidviz.jobs.queue import (
    check_resumable,
    dequeue,
    enqueue,
    has_work,
    is_claimed,
    queued,
    request_stop,
    requeue,
)
from covidviz.jobs.submit import prepare, resume, submit
from covidviz.store import layout
from covidviz.store.locks import Lock
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs
from covidviz.store.status import read_status


def test_the_queue_is_a_folder(runs: Path) -> None:
    assert queued(runs) == []
    assert queued(runs / "missing") == []
    run_dir = write_synthetic_run(runs, 1, "queued", device="cuda:1")
    enqueue(run_dir)
    [row] = queued(runs)
    assert (row.run_id, row.device, row.since) == (run_dir.name, "cuda:1", read_status(run_dir).created)
    assert has_work(runs)
    assert not is_claimed(run_dir)
    assert dequeue(run_dir)
    assert not dequeue(run_dir)
    assert not has_work(runs)


def test_a_queued_run_stops_at_once(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "queued")
    enqueue(run_dir)
    assert request_stop(run_dir) == "stopped"
    assert read_status(run_dir).state == "stopped"
    assert not has_work(runs)


def test_a_starting_run_finds_the_request(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "queued")
    claim = layout.claimed_marker(run_dir)
    claim.parent.mkdir(parents=True)
    claim.touch()
    assert request_stop(run_dir) == "queued"
    assert (run_dir / layout.STOP).exists()
    assert read_status(run_dir).state == "queued"


def test_a_running_run_is_asked(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    assert request_stop(run_dir) == "running"
    assert (run_dir / layout.STOP).exists()


@pytest.mark.parametrize("state", ["completed", "failed", "stopped", "lost"])
def test_what_does_not_run_can_not_be_stopped(runs: Path, state: str) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    with pytest.raises(InputError, match=f"is {state}; only a queued or running"):
        request_stop(run_dir)
    assert not (run_dir / layout.STOP).exists()


@pytest.mark.parametrize("state", ["failed", "stopped", "lost"])
def test_a_run_can_be_queued_again_at_the_end(runs: Path, state: str) -> None:
    run_dir, waits = write_synthetic_run(runs, 1, state), write_synthetic_run(runs, 2, "queued")
    (run_dir / layout.STOP).touch()
    enqueue(waits)
    requeue(run_dir)
    status = read_status(run_dir)
    assert (status.state, status.error, status.finished) == ("queued", None, None)
    assert status.epoch > 0
    assert not (run_dir / layout.STOP).exists()
    assert [row.run_id for row in queued(runs)] == [waits.name, run_dir.name]


@pytest.mark.parametrize("state", ["queued", "running", "completed"])
def test_other_runs_can_not_be_resumed(runs: Path, state: str) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    with pytest.raises(InputError, match=f"is {state}; only a stopped, failed or lost run"):
        requeue(run_dir)
    with pytest.raises(InputError):
        check_resumable(run_dir)
    assert not has_work(runs)


def test_a_run_whose_process_hangs_is_not_queued_twice(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "lost")
    lock = Lock.take(run_dir / layout.LOCK)
    assert lock is not None
    with lock, pytest.raises(StoreError, match="being trained"):
        requeue(run_dir)
    assert not has_work(runs)


def test_resuming_wakes_the_queue(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Path] = []
    monkeypatch.setattr(submitting, "ensure_scheduler", woken.append)
    run_dir = write_synthetic_run(runs, 1, "stopped")
    resume(run_dir)
    assert woken == [runs]
    assert has_work(runs)


def test_submitting_fills_in_what_the_data_says(
    runs: Path, tiny_phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[Path] = []
    monkeypatch.setattr(submitting, "ensure_scheduler", woken.append)
    monkeypatch.chdir(tiny_phantoms.parent)
    run_dir = submit(TrainConfig(data=tiny_phantoms.name, weights="none"), runs)
    config = Run(run_dir).config()
    assert config is not None
    assert config.data == str(tiny_phantoms)
    assert config.classes == ("covid19", "normal", "pneumonia")
    assert (config.loss, config.critical_class, config.backbone_lr) == ("cross_entropy", "covid19", config.lr)
    assert [row.run_id for row in queued(runs)] == [run_dir.name]
    assert woken == [runs]


def test_bad_input_makes_no_run(runs: Path, tiny_phantoms: Path) -> None:
    good = {"data": str(tiny_phantoms), "weights": "none"}
    for error, wrong in (
        (DataError, {"data": str(runs / "missing")}),
        (DataError, {"split_column": "fold"}),
        (WeightsError, {"weights": "missing.pth"}),
        (ConfigError, {"monitor": "val_f1_flu"}),
        (InputError, {"label_rule": "flu>covid19"}),
    ):
        with pytest.raises(error):
            submit(TrainConfig.parse({**good, **wrong}), runs)
    assert list_run_dirs(runs) == []


def test_a_weights_file_is_named_by_its_whole_path(tiny_phantoms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_phantoms)
    config, _ = prepare(TrainConfig(data=str(tiny_phantoms), weights="labels.csv"))
    assert config.weights == str(tiny_phantoms / "labels.csv")


def test_real_trainings_go_through_the_queue(queue, tiny_phantoms: Path) -> None:
    """The whole way with the real training process: two runs, the scheduler killed while the first trains."""
    settings = {
        "data": str(tiny_phantoms), "weights": "none", "image_size": 64, "epochs": 1, "batch_size": 12, "head": "",
    }  # fmt: skip
    dirs = [submit(TrainConfig.parse({**settings, "seed": seed}), queue.runs) for seed in (0, 1)]
    queue.until_state(dirs[0], "running")
    queue.kill_scheduler()
    queue.until(lambda: queue.states() == ["completed", "completed"], 240)
    for run_dir in dirs:
        run = Run(run_dir)
        best_epoch, metrics = run.best()
        assert best_epoch == 1
        assert {"train", "val"} <= set(metrics)
        assert len(run.predictions()) == len(run.samples()) == 60
        assert run.cams("val") is not None
    documented = (Path(__file__).parents[2] / "docs/run-directory.md").read_text(encoding="utf-8")
    for path in dirs[0].rglob("*"):
        if path.is_file():
            name = path.relative_to(dirs[0]).as_posix()
            name = "cams/<split>.npz" if name.startswith("cams/") else name
            name = layout.EVENTS if name.startswith("events.") else name
            assert f"| `{name}` |" in documented, f"{name} is not in docs/run-directory.md"
    queue.until(lambda: not has_work(queue.runs))
