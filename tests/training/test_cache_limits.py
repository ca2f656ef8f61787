"""Caches that do not fit, break or are wanted twice: a run never fails for them and never trusts what is not right."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covidviz.store import cache, layout
from covidviz.store.reader import Run
from covidviz.training import features, image_cache
from covidviz.training.worker import work

MakeRun = Callable[..., Path]
HEAD = {"model": "resnet18", "trainable": "head", "epochs": 1, "cache": "exact"}
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["covidviz.training.worker", "covidviz.training.engine", "covidviz.explain.cam"])


def trained(run_dir: Path) -> str:
    """Trains to the end; what the log says."""
    log = run_dir / layout.LOG
    assert work(run_dir) == "completed", log.read_text()
    return log.read_text()


def fill_disk(patch: pytest.MonkeyPatch, kind: str) -> None:
    """Entries of this kind find no room after 20 kB: the operating system refuses, as it does on a full disk."""
    obtain = cache.obtain

    def limited(wanted: str, *args: Any, **kwargs: Any) -> Any:
        if wanted != kind:
            return obtain(wanted, *args, **kwargs)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            return obtain(wanted, *args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    patch.setattr(cache, "obtain", limited)


@pytest.mark.parametrize("kind", ["images", "features"])
def test_a_disk_that_fills_up_is_no_obstacle(
    make_run: MakeRun, folders: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    reference = make_run(**{**HEAD, "cache": "off"})
    trained(reference)
    run_dir = make_run(**HEAD)
    with monkeypatch.context() as patch:
        fill_disk(patch, kind)
        log = trained(run_dir)
    assert "disk full" in log
    said = {"images": "Decoded images are not kept on disk", "features": "the frozen part is computed in each epoch"}
    assert said[kind] in log
    assert cache.entries(kind) == []
    assert not list((folders / "cache" / kind).glob("*.tmp")), "nothing half is left"
    assert Run(run_dir).predictions().equals(Run(reference).predictions())
    again = make_run(**HEAD)
    assert said[kind] not in trained(again), "there is room again"
    assert cache.entries(kind)


def first_line(log: str) -> str:
    return log.partition("frozen part before")[2].splitlines()[0]


def test_changed_images_are_computed_again(make_run: MakeRun, bars: Path, tmp_path: Path) -> None:
    data = tmp_path / "changing"
    shutil.copytree(bars, data)
    trained(make_run(**HEAD, data=str(data)))
    picture = np.asarray(Image.open(data / "train-03.png")).copy()
    picture[:8] = 255
    Image.fromarray(picture).save(data / "train-03.png")
    line = first_line(trained(make_run(**HEAD, data=str(data))))
    assert "train computed, val found, test found" in line


@pytest.mark.parametrize("module", [image_cache, features])
def test_entries_of_another_version_are_not_used(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    first = make_run(**HEAD)
    trained(first)
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    second = make_run(**HEAD)
    log = trained(second)
    assert "train computed, val computed, test computed" in first_line(log)
    assert ("Found decoded" in log) == (module is features)
    assert Run(first).predictions().equals(Run(second).predictions())


def test_two_runs_at_once_compute_once(make_run: MakeRun) -> None:
    runs = [make_run(**HEAD) for _ in range(2)]
    workers = [CONTEXT.Process(target=work, args=(run_dir,)) for run_dir in runs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [Run(run_dir).status().state for run_dir in runs] == ["completed"] * 2
    lines = [first_line((run_dir / layout.LOG).read_text()) for run_dir in runs]
    for split in ("train", "val", "test"):
        assert sorted(f"{split} computed" in line for line in lines) == [False, True]
    assert Run(runs[0]).predictions().equals(Run(runs[1]).predictions())


HUNDRED_THOUSAND = """
import os, sys
from pathlib import Path
import numpy as np
import torch
from covidviz.training.batches import Images, Pixels, epoch_order, slices
from covidviz.training.features import Features
from covidviz.training.mapped import Mapped

N, SIDE, WIDTH = 100_000, 100, 2500
folder = Path(sys.argv[1])
for name in ("pixels", "features"):  # as large as they say, but taking no room on the disk
    with (folder / name).open("wb") as file:
        file.truncate(1_000_000_000)
pixels = Mapped(folder / "pixels", np.uint8, (N, SIDE, SIDE))
images = Pixels(Images(folder, [str(i) for i in range(N)], SIDE, decoded=pixels))
kept = Features(folder / "features", (1, N, WIDTH), torch.float32, torch.device("cpu"))

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000

Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before = peak()
order = epoch_order(N, 0, 1)
rows = [order[part] for part in slices(N, 32)]
seen = 0
for batches in (images.images.batches(rows), kept.batches(rows)):
    for batch in batches:
        seen += len(batch)
assert seen == 2 * N
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_epoch_of_a_hundred_thousand_images_stays_small(tmp_path: Path) -> None:
    """A gigabyte of decoded images and one of features, in random order, within some hundred megabytes."""
    command = [sys.executable, "-c", HUNDRED_THOUSAND, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 600, "MB; two thousand would be everything"
