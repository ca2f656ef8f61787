"""Killed or stopped at any moment, a resumed run ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covidviz.errors import StoreError
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.status import read_status
from covidviz.store.writer import RunWriter
from covidviz.training import checkpoint, engine
from covidviz.training.engine import Training
from covidviz.training.models import build
from covidviz.training.tensorboard import Curves
from covidviz.training.worker import work

MakeRun = Callable[..., Path]

# Trainings run in processes of their own, forked from one that has imported torch, so that killing is cheap to test.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["covidviz.training.worker", "covidviz.training.engine", "covidviz.explain.cam"])

# What is most likely to be forgotten in a checkpoint: dropout, BatchNorm, augmentation, momentum, a schedule.
SETTINGS: dict[str, dict[str, object]] = {
    "batchnorm": {
        **{"model": "mobilenet_v3_small", "trainable": "from:features.9", "epochs": 4},
        **{"augment": "light", "schedule": "cosine"},
    },
    "closed form": {"model": "mobilenet_v3_small", "trainable": "head", "epochs": 6, "augment": "flip"},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "epochs": 5, "augment": "course", "schedule": "one_cycle"},
}


def _slow_work(run_dir: Path) -> None:
    """`work` with a pause after each batch, so that there is time to kill it between any two things it does."""
    tell = Training._tell

    def slow(self: Training, done: int, total: int) -> None:
        tell(self, done, total)
        time.sleep(0.02)

    Training._tell = slow  # type: ignore[method-assign]
    work(run_dir)


def _start(run_dir: Path) -> ForkServerProcess:
    process = CONTEXT.Process(target=_slow_work, args=(run_dir,))
    process.start()
    return process


def _finish(run_dir: Path) -> None:
    process = _start(run_dir)
    process.join(120)
    assert process.exitcode == 0
    assert read_status(run_dir).state == "completed", (run_dir / layout.LOG).read_text()


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_s")} for row in rows]


def _same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, whatever it is made of."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            _same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            _same(a, b, f"{where}/{i}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def _assert_same_run(resumed: Path, reference: Path) -> None:
    for name in (layout.METRICS, layout.STEPS):
        assert _lines(resumed / name) == _lines(reference / name)
    states = [checkpoint.load_last(run_dir / layout.LAST) for run_dir in (resumed, reference)]
    for state in states:
        assert state is not None
        del state["offsets"]  # they count the digits of the seconds
    _same(*states)
    (tensors, metadata), (expected, _) = (
        checkpoint.load_best(run_dir / layout.BEST) for run_dir in (resumed, reference)
    )
    _same(tensors, expected)
    one, other = Run(resumed), Run(reference)
    assert int(metadata["epoch"]) == one.best()[0] == other.best()[0]
    assert one.predictions().equals(other.predictions())
    assert one.samples().equals(other.samples())
    for a, b in ((one.history(), other.history()),):
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.prob, b.prob)
    for split in ("val", "test"):
        maps = [run.cams(split) for run in (one, other)]
        assert maps[0] is not None
        assert maps[1] is not None
        np.testing.assert_array_equal(maps[0].maps, maps[1].maps)


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_at_any_moment(make_run: MakeRun, name: str) -> None:
    reference, run_dir = make_run(**SETTINGS[name]), make_run(**SETTINGS[name])
    _finish(reference)
    rng = random.Random(name)
    kills = 0
    for progress in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
        process = _start(run_dir)
        while process.is_alive():
            if read_status(run_dir).progress >= progress and (run_dir / layout.STEPS).exists() | (progress == 0):
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert read_status(run_dir).state in ("queued", "lost", "completed")
    assert kills >= 3
    _finish(run_dir)
    _assert_same_run(run_dir, reference)


WRITES = ["metrics", "status", "history", "predictions", "cams", "save_best", "save_last"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("after", [False, True])
def test_killed_around_each_write(
    make_run: MakeRun, finished: Path, monkeypatch: pytest.MonkeyPatch, write: str, after: bool
) -> None:
    """Every gap between two writes at the end of an epoch and of the run. Here a kill is an error nobody catches."""
    run_dir = make_run(augment="flip")
    owner: Any = checkpoint if write.startswith("save") else RunWriter
    original = getattr(owner, write)
    calls = 0

    class Killed(BaseException):
        pass

    def die(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (1, 2, 5, 9, 14):
            if after:
                original(*args, **kwargs)
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, write, die)
    state = ""
    while not state:
        with contextlib.suppress(Killed):
            state = work(run_dir)
    assert calls > 1
    assert state == "completed"
    _assert_same_run(run_dir, finished)


def test_a_repeated_epoch_that_comes_out_otherwise(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that rounds in another order: what the kept weights are said to be is what they are."""
    run_dir = make_run(augment="flip", epochs=1)
    save_last = checkpoint.save_last

    class Killed(BaseException):
        pass

    def die(path: Path, packed: bytes) -> None:
        if (run_dir / layout.BEST).exists():
            raise Killed
        save_last(path, packed)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_last", die)
        record = Training._record
        batches = 0

        def save_at_first(self: Training, step: int, lr: float, loss: torch.Tensor) -> None:
            nonlocal batches
            record(self, step, lr, loss)
            batches += 1
            if batches == 1:
                self._save()

        patch.setattr(Training, "_record", save_at_first)
        with pytest.raises(Killed):
            work(run_dir)
    kept = checkpoint.best_of(run_dir / layout.BEST)
    assert kept is not None
    metrics = engine.classification_metrics
    monkeypatch.setattr(engine, "classification_metrics", lambda *args: {**metrics(*args), "macro_f1": kept[1] - 1e-6})
    assert work(run_dir) == "completed"
    status = read_status(run_dir)
    assert (status.extra["best_epoch"], status.extra["best"]) == kept
    assert checkpoint.best_of(run_dir / layout.BEST) == kept


def test_stopped_in_the_middle_of_an_epoch(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, run_dir = make_run(**SETTINGS["batchnorm"]), make_run(**SETTINGS["batchnorm"])
    assert work(reference) == "completed"
    record, stops, left = Training._record, 0, 0

    def count(self: Training, step: int, lr: float, loss: torch.Tensor) -> None:
        nonlocal left
        record(self, step, lr, loss)
        left -= 1
        if left == 0:
            (run_dir / layout.STOP).touch()

    monkeypatch.setattr(Training, "_record", count)
    for batches in (1, 1, 2, 4, 3):
        left = batches
        state = work(run_dir)
        assert state == read_status(run_dir).state == "stopped"
        assert not (run_dir / layout.STOP).exists()
        last = checkpoint.load_last(run_dir / layout.LAST)
        assert last is not None
        stops += last["batch"] > 0
    assert stops >= 2
    assert work(run_dir) == "completed"
    _assert_same_run(run_dir, reference)


def test_sigterm_stops_at_the_next_batch(make_run: MakeRun) -> None:
    run_dir = make_run(epochs=1000)
    process = _start(run_dir)
    while not (run_dir / layout.STEPS).exists():
        assert process.is_alive(), (run_dir / layout.LOG).read_text()
        time.sleep(0.01)
    process.terminate()
    process.join(30)
    assert process.exitcode == 0
    status = read_status(run_dir)
    assert (status.state, status.error) == ("stopped", None)
    assert (run_dir / layout.LAST).exists()
    assert "asked to stop by SIGTERM" in (run_dir / layout.LOG).read_text()


def test_other_starting_weights_are_noticed(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Run(make_run()).config()
    assert config is not None
    file = tmp_path / "start.pth"
    torch.save(build(config, 3).state_dict(), file)
    run_dir = make_run(weights=str(file), trainable="head", epochs=3)
    (run_dir / layout.STOP).touch()
    assert work(run_dir) == "stopped"
    # the stop came while images were read, so nothing was started yet
    assert not (run_dir / layout.LAST).exists()

    def stop_later(self: Training, curves: Curves) -> None:
        end_epoch(self, curves)
        (run_dir / layout.STOP).touch()

    end_epoch = Training._end_epoch
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_end_epoch", stop_later)
        assert work(run_dir) == "stopped"
    torch.save(build(config.replace(seed=1), 3).state_dict(), file)
    assert work(run_dir) == "failed"
    assert "is not the file this run started from" in (read_status(run_dir).error or "")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(StoreError, match=r"last\.pt can't be read .*; delete it to train from the start"):
        checkpoint.load_last(tmp_path / "last.pt")
    (tmp_path / "best.safetensors").write_bytes(content)
    with pytest.raises(StoreError, match=r"best\.safetensors can't be read"):
        checkpoint.load_best(tmp_path / "best.safetensors")
    with pytest.raises(StoreError, match="is missing: the run has no best epoch yet"):
        checkpoint.load_best(tmp_path / "else.safetensors")
