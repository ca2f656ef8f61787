"""A dataset small enough to be trained on in a second, and runs on it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidviz.config import TrainConfig
from covidviz.jobs.submit import prepare
from covidviz.store.runs import create_run
from covidviz.training.worker import work

COUNTS = {"train": 18, "val": 9, "test": 6}


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """33 noisy 64 px images with a bright bar on top, in the middle or at the bottom: covid19, normal, pneumonia."""
    folder = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    rows = []
    for split, count in COUNTS.items():
        for i in range(count):
            kind = i % 3
            image = rng.normal(90, 20, (64, 64))
            image[8 + 20 * kind : 20 + 20 * kind] += rng.uniform(40, 90)
            name = f"{split}-{i:02}.png"
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / name)
            rows.append({"path": name, "label": ("covid19", "normal", "pneumonia")[kind], "split": split})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


MakeRun = Callable[..., Path]


def make_bars_run(runs: Path, bars: Path, **settings: object) -> Path:
    """A queued run in `runs`; `settings` override defaults that train in a second."""
    defaults = {
        "data": str(bars), "model": "squeezenet1_1", "weights": "none", "trainable": "all", "head": "8",
        "image_size": 64, "batch_size": 6, "epochs": 2, "lr": 0.01, "device": "cpu", "precision": "fp32",
    }  # fmt: skip
    config, _ = prepare(TrainConfig.parse({**defaults, **settings}))
    return create_run(config, runs)


@pytest.fixture
def make_run(runs: Path, bars: Path) -> MakeRun:
    """`make_bars_run` in this test's runs folder."""
    return functools.partial(make_bars_run, runs, bars)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, bars: Path) -> Path:
    """A completed run with two epochs and flipped images; read only."""
    run_dir = make_bars_run(tmp_path_factory.mktemp("runs"), bars, augment="flip")
    assert work(run_dir) == "completed"
    return run_dir
