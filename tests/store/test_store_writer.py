"""The writer of a run directory, and that every file it writes is documented and can be read back."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covidviz.config import TrainConfig
from covidviz.errors import StoreError
from covidviz.paths import PROJECT
from covidviz.store import layout, writer
from covidviz.store.files import append_jsonl, read_json, read_jsonl
from covidviz.store.reader import Run
from covidviz.store.runs import create_run, edit_notes
from covidviz.store.status import host_name, read_status
from covidviz.store.writer import RunWriter

CLASSES = ("covid19", "normal", "pneumonia")


@pytest.fixture
def run_dir(runs: Path) -> Path:
    return create_run(TrainConfig(data="/data", epochs=4).resolve(CLASSES), runs)


def fill(run: RunWriter) -> None:
    """Everything a training writes through RunWriter."""
    run.status(state="running", device="cpu")
    run.samples(pd.DataFrame({"sample_id": ["a", "b"], "path": ["a.png", "b.png"], "split": ["train", "val"]}))
    run.environment({"python": sys.version})
    run.step(1, 1, 1.1, 0.01)
    run.metrics(1, "train", {"loss": 1.0, "accuracy": 0.5})
    run.metrics(1, "val", {"loss": float("nan"), "accuracy": np.float32(0.5)})
    run.system({"cpu_percent": 1.0, "memory_mb": 10.0, "memory_percent": 1.0})
    run.history(["b"], [1], np.full((1, 1, 3), 1 / 3))
    run.path(layout.BEST).write_bytes(b"")
    run.path(layout.LAST).write_bytes(b"")
    run.cams("val", ["b"], CLASSES, np.zeros((1, 3, 2, 2)), np.ones((1, 3)), "grad-cam", "layer4")
    run.predictions(pd.DataFrame({"sample_id": ["a", "b"], "split": ["train", "val"], "loss": [0.1, 0.2]}))
    run.status(state="completed", epoch=1, progress=1.0)


def test_what_is_written_can_be_read(run_dir: Path) -> None:
    with RunWriter(run_dir) as run:
        fill(run)
    read = Run(run_dir)
    status = read.status()
    assert (status.state, status.epoch, status.progress, status.device) == ("completed", 1, 1.0, "cpu")
    assert status.started is not None
    assert status.finished is not None
    metrics = read.metrics()
    assert metrics[["epoch", "split"]].values.tolist() == [[1, "train"], [1, "val"]]
    assert np.isnan(metrics["loss"][1])
    assert metrics["accuracy"].tolist() == [0.5, 0.5]
    assert read.steps().to_dict("records") == [{"step": 1, "epoch": 1, "loss": 1.1, "lr": 0.01}]
    assert read.samples()["path"].tolist() == ["a.png", "b.png"]
    assert read.predictions()["loss"].tolist() == [0.1, 0.2]
    assert read.system()["memory_mb"].tolist() == [10.0]
    history = read.history()
    assert history is not None
    assert history.prob.dtype == np.float16
    assert history.prob.shape == (1, 1, 3)
    assert history.sample_id.tolist() == ["b"]
    cams = read.cams("val")
    assert cams is not None
    assert (cams.classes, cams.method, cams.layer) == (CLASSES, "grad-cam", "layer4")
    assert cams.maps.dtype == np.float16
    assert cams.scale.dtype == np.float32
    assert read.cams("test") is None
    assert read.environment() == {"python": sys.version}


def test_every_file_and_field_is_documented(run_dir: Path) -> None:
    with RunWriter(run_dir) as run:
        fill(run)
    (run_dir / layout.STOP).touch()
    edit_notes(run_dir, note="x")
    text = (PROJECT / "docs/run-directory.md").read_text(encoding="utf-8")
    documented = {re.sub(r"<\w+>", "*", name) for name in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)}
    files = [path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()]
    assert len(files) == 15  # all but train.log and the events, which RunWriter does not write
    for name in files:
        assert re.sub(r"cams/\w+\.npz", "cams/*.npz", name) in documented, f"{name} is not in docs/run-directory.md"
    names = set(re.findall(r"`(\w+)`", text))
    for document in (layout.STATUS, layout.NOTES):
        assert set(read_json(run_dir / document) or {}) <= names
    for lines in (layout.STEPS, layout.SYSTEM, layout.METRICS):
        for row in read_jsonl(run_dir / lines)[0]:
            assert set(row) <= names


def test_a_second_writer_is_told_so(run_dir: Path) -> None:
    with RunWriter(run_dir), pytest.raises(StoreError, match="already training"):
        RunWriter(run_dir)
    RunWriter(run_dir).close()


def test_two_processes_train_one_run_only_once(run_dir: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from covidviz.store.writer import RunWriter\n"
        "with RunWriter(Path(sys.argv[1])): print('got it', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(run_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"got it\n"
        with pytest.raises(StoreError, match="already training"):
            RunWriter(run_dir)
    finally:
        other.kill()  # the lock goes with the process
        other.communicate()
    RunWriter(run_dir).close()


def test_running_says_who_and_where_and_a_finish_takes_back_the_stop_request(run_dir: Path) -> None:
    (run_dir / layout.STOP).touch()
    with RunWriter(run_dir) as run:
        assert run.stop_requested()
        run.status(state="running", device="cpu")
        status = read_status(run_dir)
        assert (status.state, status.host, status.pid) == ("running", host_name(), os.getpid())
        run.status(state="stopped")
        assert not run.stop_requested()
    assert read_status(run_dir).finished is not None


def test_progress_may_be_sent_per_batch(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(writer, "write_json_atomic", lambda path, value, **_: written.append(dict(value)))
    with RunWriter(run_dir) as run:
        run.status(state="running")
        for i in range(1000):
            run.status(progress=i / 1000, eta_s=1.0)
            run.status(phase=f"phase {i}")
        assert len(written) < 20
        run.status(epoch=1)
        assert written[-1]["progress"] == 0.999
        assert written[-1]["phase"] == "phase 999"


def test_the_heartbeat_beats_and_measures(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(writer, "SYSTEM_S", 0.05)
    with RunWriter(run_dir) as run:
        run.status(state="running")
        first = read_status(run_dir).heartbeat
        run.start_heartbeat()
        for _ in range(200):
            if len(Run(run_dir).system()) >= 2:
                break
            time.sleep(0.02)
    later = read_status(run_dir).heartbeat
    assert first is not None
    assert later is not None
    assert later > first
    assert (Run(run_dir).system()["memory_mb"] > 1).all()
    assert not [thread for thread in threading.enumerate() if thread.name == "covidviz-heartbeat"]


def test_a_failing_heartbeat_does_not_end_the_training(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "HEARTBEAT_S", 0.01)
    with RunWriter(run_dir) as run:
        run.status(state="running")
        calls = []

        def full(*_: object, **__: object) -> None:
            calls.append(1)
            raise StoreError("disk full")

        monkeypatch.setattr(writer, "write_json_atomic", full)
        run.start_heartbeat()
        for _ in range(200):
            if len(calls) > 2:
                break
            time.sleep(0.01)
    assert len(calls) > 2


def test_several_steps_are_one_write_and_thinned_as_one_by_one(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(step, 1 / step, 0.1) for step in range(1, 5001)]
    with RunWriter(run_dir) as run:
        for step, loss, lr in rows:
            run.step(step, 1, loss, lr, total=5000)
    one_by_one = (run_dir / layout.STEPS).read_bytes()
    (run_dir / layout.STEPS).unlink()
    writes = []
    append = writer.append_jsonl
    monkeypatch.setattr(writer, "append_jsonl", lambda *args: (writes.append(args), append(*args)))
    with RunWriter(run_dir) as run:
        for start in range(0, 5000, 100):
            run.steps(1, rows[start : start + 100], total=5000)
    assert (run_dir / layout.STEPS).read_bytes() == one_by_one
    assert len(writes) == 50


@pytest.mark.parametrize(("total", "expected"), [(5, 5), (2000, 2000), (2001, 1000), (50_000, 2000), (0, 2000)])
def test_steps_are_thinned_evenly(run_dir: Path, total: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr(writer, "append_jsonl", lambda handle, path, row: kept.append(row["step"]))
    with RunWriter(run_dir) as run:
        for step in range(1, (total or 3000) + 1):
            run.step(step, 1, 0.5, 0.1, total=total)
    assert len(kept) == expected
    if total:
        assert len({b - a for a, b in itertools.pairwise(kept)}) <= 1


def test_rewinding_forgets_what_came_after_the_checkpoint(run_dir: Path) -> None:
    with RunWriter(run_dir) as run:
        run.metrics(1, "val", {"loss": 1})
        run.step(1, 1, 1.0, 0.1)
        offsets = run.offsets()
        run.metrics(2, "val", {"loss": 2})
        run.step(2, 2, 1.0, 0.1)
    with (run_dir / layout.METRICS).open("ab") as file:
        file.write(b'{"epoch": 3, "sp')
    with RunWriter(run_dir) as run:
        run.rewind(json.loads(json.dumps(offsets)))
        run.metrics(2, "val", {"loss": 3})
    assert Run(run_dir).metrics()["loss"].tolist() == [1, 3]
    assert Run(run_dir).steps()["step"].tolist() == [1]
    with RunWriter(run_dir) as run:
        run.rewind({})
    assert Run(run_dir).metrics().empty
    assert Run(run_dir).steps().empty


def test_shapes_are_checked(run_dir: Path) -> None:
    with RunWriter(run_dir) as run:
        with pytest.raises(ValueError, match="expected"):
            run.history(["a"], [1, 2], np.zeros((1, 1, 3)))
        with pytest.raises(ValueError, match="expected"):
            run.cams("val", ["a"], CLASSES, np.zeros((1, 2, 7, 7)), np.zeros((1, 2)), "grad-cam", "layer4")
    assert not (run_dir / layout.HISTORY).exists()


def test_a_full_disk_is_told_and_loses_nothing(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunWriter(run_dir) as run:
        run.metrics(1, "val", {"loss": 1})
        real = os.write

        def full(handle: int, data: bytes) -> int:
            real(handle, data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StoreError, match=r"disk full: .*metrics\.jsonl"):
            run.metrics(2, "val", {"loss": 2})
        monkeypatch.undo()
        run.metrics(2, "val", {"loss": 3})
    assert Run(run_dir).metrics()["loss"].tolist() == [1, 3]


def test_a_deleted_run_directory_is_told(run_dir: Path) -> None:
    with RunWriter(run_dir) as run:
        run_dir.rename(run_dir.with_name("elsewhere"))
        with pytest.raises(StoreError, match="is gone"):
            run.status(epoch=1)
    with pytest.raises(StoreError, match="is gone"):
        RunWriter(run_dir)


def test_left_temporary_files_are_swept(run_dir: Path) -> None:
    (run_dir / layout.CHECKPOINTS).mkdir()
    left = [run_dir / ".config.json.1234.tmp", run_dir / layout.CHECKPOINTS / ".last.pt.99.tmp"]
    for path in left:
        path.write_text("half")
    RunWriter(run_dir).close()
    assert not any(path.exists() for path in left)


def test_nothing_flushed_is_lost_on_kill_9(run_dir: Path) -> None:
    program = """
import sys
from pathlib import Path
from covidviz.store.writer import RunWriter
with RunWriter(Path(sys.argv[1])) as run:
    run.status(state="running", device="cpu")
    run.start_heartbeat()
    epoch = 0
    while True:
        epoch += 1
        run.metrics(epoch, "val", {"loss": 1 / epoch})
        run.status(epoch=epoch)
        print(epoch, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", program, str(run_dir)], stdout=subprocess.PIPE, cwd=PROJECT)
    assert child.stdout is not None
    for _ in range(50):
        child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    told = [line for line in child.communicate()[0].split(b"\n") if line.isdigit()]
    told_last = int(told[-1]) if told else 50
    metrics = Run(run_dir).metrics()
    assert len(metrics) >= told_last
    assert metrics["epoch"].tolist() == list(range(1, len(metrics) + 1))
    raw = read_json(run_dir / layout.STATUS)
    assert raw is not None
    assert raw["epoch"] >= told_last
    assert raw["state"] == "running"
    assert read_status(run_dir).state == "lost"
    with RunWriter(run_dir) as run:  # the lock went with the process
        run.metrics(len(metrics) + 1, "val", {"loss": 0})
    assert len(Run(run_dir).metrics()) == len(metrics) + 1


def test_a_line_costs_little(run_dir: Path) -> None:
    handle = os.open(run_dir / "lines", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    row = {"epoch": 1, "split": "val", **{f"metric_{i}": 0.123456 for i in range(15)}}
    times = []
    for _ in range(300):
        began = time.perf_counter()
        append_jsonl(handle, run_dir / "lines", row)
        times.append(time.perf_counter() - began)
    os.close(handle)
    assert sorted(times)[150] < 1e-3  # some 20 us on an idle machine
