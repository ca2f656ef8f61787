"""The training process: what goes wrong is told in one sentence, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from covidviz.errors import StoreError
from covidviz.jobs import scheduler
from covidviz.store import files, layout
from covidviz.store.reader import Run
from covidviz.store.status import read_status
from covidviz.store.writer import RunWriter
from covidviz.training import dataset, engine, image_cache, worker
from covidviz.training.worker import work

MakeRun = Callable[..., Path]


def _copy(bars: Path, to: Path, repeat: int = 1) -> Path:
    """The bars dataset under another roof, each training image `repeat` times."""
    frame = pd.read_csv(bars / "labels.csv")
    for path in frame["path"]:
        (to / path).write_bytes((bars / path).read_bytes())
    copies = []
    for i in range(repeat - 1):
        copy = frame[frame["split"] == "train"].copy()
        for path in copy["path"]:
            (to / f"{i}-{path}").write_bytes((bars / path).read_bytes())
        copy["path"] = f"{i}-" + copy["path"]
        copies.append(copy)
    pd.concat([frame, *copies]).to_csv(to / "labels.csv", index=False)
    return to


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_completed_run_is_left_alone(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert work(finished) == "completed"
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == before


def test_the_environment_knows_the_run(finished: Path) -> None:
    environment = Run(finished).environment()
    assert environment["device"] == "cpu"
    assert environment["precision"] == "float32"
    assert environment["weights"] is None
    assert {"python", "torch", "torchvision", "covidviz"} <= environment["versions"].keys()
    assert environment["data"]["unreadable"] == []


def test_the_status_says_how_many_samples_each_class_has(finished: Path) -> None:
    samples = Run(finished).samples()
    labels = [name for name in samples.columns if name.startswith("label_")]
    counted = samples.groupby("split")[labels].sum()
    support = Run(finished).status().extra["support"]
    assert support.keys() == {"train", "val", "test"}
    for split, classes in support.items():
        assert classes == {name.removeprefix("label_"): counted.loc[split, name] for name in labels}


def test_the_process_of_the_scheduler(make_run: MakeRun) -> None:
    run_dir = make_run(epochs=1)
    done = subprocess.run(
        [sys.executable, "-m", "covidviz.training.worker", str(run_dir)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read_status(run_dir).state == "completed"


@pytest.mark.parametrize(
    ("arguments", "said"), [([], "usage: "), (["/no/such/run"], "/no/such/run is no run directory")]
)
def test_wrong_use(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker.main(arguments) in (1, 2)
    assert said in capsys.readouterr().err


def test_two_at_once(make_run: MakeRun) -> None:
    run_dir = make_run()
    with RunWriter(run_dir), pytest.raises(StoreError, match="already training in another process"):
        work(run_dir)
    assert read_status(run_dir).state == "queued"


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda run_dir, data: (run_dir / layout.CONFIG).write_text("{"), "config.json is missing or broken"),
        (lambda run_dir, data: _edit(run_dir / layout.CONFIG, lr=-1), "lr: -1"),
        (
            lambda run_dir, data: _edit(run_dir / layout.CONFIG, weights="/no/w.pth"),
            "'/no/w.pth' given, accepted: imagenet",
        ),
        (lambda run_dir, data: _edit(run_dir / layout.CONFIG, precision="fp16"), "fp16 given, accepted on the CPU"),
        (lambda run_dir, data: _edit(run_dir / layout.CONFIG, trainable="features.12.x"), "no layer 'features.12.x'"),
        (lambda run_dir, data: (data / "labels.csv").unlink(), "labels.csv"),
        (
            lambda run_dir, data: (data / "val-00.png").write_bytes(b""),
            r"1 of 33 images can't be read.*val-00.png is empty",
        ),
    ],
)
def test_bad_input(
    make_run: MakeRun, bars: Path, tmp_path: Path, break_it: Callable[[Path, Path], object], sentence: str
) -> None:
    data = tmp_path / "set"
    data.mkdir()
    run_dir = make_run(data=str(_copy(bars, data)))
    break_it(run_dir, data)
    assert work(run_dir) == "failed"
    status = json.loads((run_dir / layout.STATUS).read_text())
    assert pytest.approx(status["finished"], abs=60) == time.time()
    assert re.search(sentence, status["error"])
    assert "\n" not in status["error"]
    assert "Traceback" in (run_dir / layout.LOG).read_text()
    assert not (run_dir / layout.LAST).exists()


def test_a_few_unreadable_images_are_left_out_and_named(make_run: MakeRun, bars: Path, tmp_path: Path) -> None:
    data = tmp_path / "set"
    data.mkdir()
    _copy(bars, data, repeat=6)  # 18 x 6 + 15 images: one is less than 1 %
    (data / "train-03.png").write_bytes(b"\x89PNG broken")
    run_dir = make_run(data=str(data), epochs=1)
    told: list[str] = []
    assert work(run_dir, told.append) == "completed"
    assert any(line.startswith("left out: train-03.png") for line in told)
    run = Run(run_dir)
    assert len(run.samples()) == 122
    assert "train-03.png" not in set(run.samples()["path"])
    assert run.predictions()["sample_id"].tolist() == run.samples()["sample_id"].tolist()
    assert [row["path"] for row in run.environment()["data"]["unreadable"]] == ["train-03.png"]


def test_resuming_needs_the_same_images(make_run: MakeRun, bars: Path, tmp_path: Path) -> None:
    data = tmp_path / "set"
    data.mkdir()
    run_dir = make_run(data=str(_copy(bars, data, repeat=6)), epochs=1)
    assert work(run_dir) == "completed"
    _edit(run_dir / layout.STATUS, state="stopped")
    (data / "train-03.png").write_bytes(b"")
    assert work(run_dir) == "failed"
    assert "an image this run was started with can't be read any more" in (read_status(run_dir).error or "")


@pytest.mark.parametrize("name", [layout.METRICS, layout.LAST, layout.BEST, layout.PREDICTIONS])
def test_a_full_disk(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Writing the named file fails in the second epoch; then there is room again, and the run goes on."""
    run_dir = make_run(epochs=2)
    monkeypatch.setattr(engine, "better", lambda *_: True)
    full = True

    def check(path: Path) -> None:
        if (
            full
            and path.name == Path(name).name
            and read_status(run_dir).epoch >= (2 if name == layout.PREDICTIONS else 1)
        ):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    saving = files.saving

    @contextlib.contextmanager
    def full_saving(path: Path) -> Any:
        with saving(path):
            check(path)
            yield

    write = os.write

    def full_write(handle: int, data: bytes) -> int:
        if (run_dir / name).exists() and os.path.samestat(os.fstat(handle), (run_dir / name).stat()):
            check(run_dir / name)
        return write(handle, data)

    monkeypatch.setattr(files, "saving", full_saving)
    monkeypatch.setattr(os, "write", full_write)
    state = work(run_dir)
    assert state == "failed"
    status = read_status(run_dir)
    assert (status.error or "").startswith("disk full: ")
    assert Path(name).name in (status.error or "")
    full = False
    assert work(run_dir) == "completed"
    assert Run(run_dir).metrics()["epoch"].max() == 2


def test_a_disk_without_room_for_the_status(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = make_run()
    status = RunWriter.status

    def no_room(self: RunWriter, **changes: Any) -> None:
        if changes.get("state") == "failed" or ("phase" in changes and changes.get("state") is None):
            raise StoreError("disk full: status.json could not be written")
        status(self, **changes)

    monkeypatch.setattr(RunWriter, "status", no_room)
    assert work(run_dir) == "failed"
    assert "the state failed could not be noted" in (run_dir / layout.LOG).read_text()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "the machine's memory is too small for this run; try a smaller batch_size or image_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "the machine's memory is too small"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "disk full: /x/y could not be written"),
        (
            ZeroDivisionError("division\nby zero"),
            r"unexpected ZeroDivisionError: division by zero (details in train.log)",
        ),
    ],
)
def test_the_unexpected(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(dataset, "decoded", fail)
    run_dir = make_run()
    assert work(run_dir) == "failed"
    assert (read_status(run_dir).error or "").startswith(sentence)
    assert type(error).__name__ in (run_dir / layout.LOG).read_text()


def test_a_stop_before_the_first_batch(make_run: MakeRun) -> None:
    run_dir = make_run()
    (run_dir / layout.STOP).touch()
    assert work(run_dir) == "stopped"
    assert not (run_dir / layout.STOP).exists()
    assert work(run_dir) == "completed"


def test_from_another_thread(make_run: MakeRun) -> None:
    run_dir = make_run(epochs=1)
    handler = signal.getsignal(signal.SIGTERM)
    states: list[str] = []
    thread = threading.Thread(target=lambda: states.append(work(run_dir)))
    thread.start()
    thread.join(60)
    assert states == ["completed"]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_ctrl_c_ends_it_as_stopped(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "decoded", interrupt)
    run_dir = make_run()
    assert work(run_dir) == "stopped"
    assert read_status(run_dir).error is None


def test_warnings_go_to_the_log(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = image_cache.decode

    def warn(*args: Any, **kwargs: Any) -> Any:
        warnings.warn("a library mumbles", stacklevel=1)
        return decode(*args, **kwargs)

    monkeypatch.setattr(image_cache, "decode", warn)
    run_dir = make_run(epochs=1)
    assert work(run_dir) == "completed"
    assert "UserWarning: a library mumbles" in (run_dir / layout.LOG).read_text()


def test_the_queue_is_looked_after(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(scheduler, "ensure_scheduler", asked.append)
    run_dir = make_run(epochs=1)
    assert worker.main([str(run_dir)]) == 0
    _edit(run_dir / layout.STATUS, state="queued")
    (run_dir / layout.CONFIG).write_text("broken")
    assert worker.main([str(run_dir)]) == 1
    assert asked == [run_dir.parent] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library is another")
def test_large_blocks_are_kept_for_the_next_step() -> None:
    """The second of two equal blocks has its pages already."""
    code = """
import ctypes, resource, sys
from covidviz.training import worker
if sys.argv[1:]:
    worker._keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    at = library.malloc(64 << 20)
    ctypes.memset(at, 1, 64 << 20)
    library.free(at)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    plain, kept = (
        int(subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True).stdout)
        for given in ([], ["kept"])
    )
    if os.confstr("CS_GNU_LIBC_VERSION"):
        assert kept < plain / 100
    else:
        assert kept <= plain
