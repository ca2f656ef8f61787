"""The lab trains as a run of the same settings does: that is what makes "Make it a run" true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, CovidvizError
from covidviz.jobs.submit import prepare
from covidviz.store import cache, layout
from covidviz.store.files import read_jsonl
from covidviz.store.reader import Run
from covidviz.training import lab
from covidviz.training.lab import Epoch, LabData, key_of, open_lab, train
from covidviz.training.worker import work

MakeRun = Callable[..., Path]


def _config(bars: Path, **settings: Any) -> TrainConfig:
    given = {
        "data": str(bars), "model": "resnet18", "weights": "none", "trainable": "head", "head": "8", "image_size": 64,
        "batch_size": 5, "epochs": 3, "lr": 0.01, "device": "cpu", "precision": "fp32", **settings,
    }  # fmt: skip
    return prepare(TrainConfig.parse(given))[0]


def _silent(what: str, done: int, total: int) -> None:
    pass


def _epochs(data: LabData, config: TrainConfig) -> list[Epoch]:
    return [epoch for epoch in train(data, config) if epoch is not None]


@pytest.fixture(scope="module")
def opened(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> LabData:
    """Features of the bars, in a cache folder of their own; read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return open_lab(_config(bars), _silent)


SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "focal": {"loss": "focal", "focal_gamma": 3.0, "focal_alpha": 0.7, "momentum": 0.0, "weight_decay": 1e-3},
    "no hidden layer": {"head": "", "schedule": "cosine", "monitor": "val_loss"},
    "two hidden layers": {"head": "16,4", "dropout": 0.3, "pos_weight": True, "train_eval": True, "seed": 0},
    "patience": {"epochs": 30, "patience": 1, "lr": 1e-12, "dropout": 0.0},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_numbers_of_the_run(make_run: MakeRun, bars: Path, name: str) -> None:
    settings = {"model": "resnet18", "trainable": "head", "batch_size": 5, "epochs": 3, **SETTINGS[name]}
    run_dir = make_run(**settings)
    assert work(run_dir) == "completed"
    run = Run(run_dir)
    assert run.status().extra["frozen_once"]
    config = run.config()
    assert config is not None
    told: list[tuple[str, int, int]] = []
    data = open_lab(config, lambda *at: told.append(at))
    assert not any(what.startswith("computing") and done for what, done, _ in told), "found in the cache of the run"
    found = _epochs(data, config)

    rows, _ = read_jsonl(run_dir / layout.METRICS)
    of_run = [row for row in rows if row["split"] != "test"]
    of_lab = [
        {"epoch": epoch.epoch, "split": split, **values}
        for epoch in found
        for split, values in (("train", epoch.train), ("val", epoch.val))
    ]
    assert len(of_lab) == len(of_run)
    for one, other in zip(of_lab, of_run, strict=True):
        for key in one:
            assert one[key] == pytest.approx(other[key], abs=1e-5), (key, one["epoch"])
    best = max((epoch for epoch in found if epoch.best), key=lambda epoch: epoch.epoch)
    assert best.epoch == run.best()[0]
    predictions = run.predictions()
    val = predictions[predictions["split"] == "val"]
    prob = val[[f"prob_{c}" for c in config.classes]].to_numpy()
    assert val["sample_id"].tolist() == data.splits["val"].sample_id
    np.testing.assert_allclose(best.prob, prob, atol=1e-5)
    np.testing.assert_allclose(best.loss, val["loss"], atol=1e-5)


def test_each_setting_starts_anew(opened: LabData, bars: Path) -> None:
    first = _epochs(opened, _config(bars))
    _epochs(opened, _config(bars, lr=0.5, head="32"))
    again = _epochs(opened, _config(bars))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.prob, other.prob)
        assert one.val == other.val
    another = _epochs(opened, _config(bars, lr=0.02))
    assert another[-1].val["loss"] != first[-1].val["loss"]


def test_the_caller_gets_a_turn_between_pieces(opened: LabData, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "CHUNK", 4 * 512 * 5)  # one batch of 5 rows of 512 features
    found = list(train(opened, _config(bars, epochs=2)))
    assert [item is not None for item in found] == [*[False] * 4, True] * 2
    whole = _epochs(opened, _config(bars, epochs=2))
    assert [e.val for e in found if e is not None] == [e.val for e in whole]


def test_a_setting_that_diverges_says_so_and_spoils_nothing(opened: LabData, bars: Path) -> None:
    before = _epochs(opened, _config(bars))
    with pytest.raises(CovidvizError, match=r"(NaN|infinite).*try a smaller lr"):
        _epochs(opened, _config(bars, lr=10.0, epochs=200, momentum=0.99, weight_decay=0.1))
    after = _epochs(opened, _config(bars))
    np.testing.assert_array_equal(after[-1].prob, before[-1].prob)


def test_what_the_lab_cannot_train_is_named(opened: LabData, bars: Path) -> None:
    for wrong in ({"trainable": "all"}, {"augment": "flip"}, {"optimizer": "adam"}, {"nesterov": True}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            open_lab(_config(bars, **wrong), _silent)
    with pytest.raises(ConfigError, match="model"):
        _epochs(opened, _config(bars, model="squeezenet1_1"))


def test_what_the_features_depend_on(bars: Path) -> None:
    config = _config(bars)
    for same in ({"lr": 0.5}, {"head": "64"}, {"loss": "focal"}, {"batch_size": 64}, {"epochs": 50}, {"dropout": 0.0}):
        assert key_of(_config(bars, **same)) == key_of(config)
    for other in ({"image_size": 96}, {"model": "vgg16"}, {"seed": 1}, {"precision": "bf16"}):
        assert key_of(_config(bars, **other)) != key_of(config)


def test_little_memory_reads_from_the_file(opened: LabData, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=0)
    monkeypatch.setattr(lab.psutil, "virtual_memory", lambda: memory)
    data = open_lab(_config(bars), _silent)
    (entry,) = [e for e in cache.entries("features") if e.about["images"] == 18]
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(entry.path) in maps.read_text(), "the features stay in their file"
    assert torch.equal(data.splits["train"].features, opened.splits["train"].features)
    np.testing.assert_array_equal(_epochs(data, _config(bars))[-1].prob, _epochs(opened, _config(bars))[-1].prob)


def test_half_precision_is_trained_in_float32(bars: Path) -> None:
    config = _config(bars, precision="bf16")
    data = open_lab(config, _silent)
    assert data.splits["train"].features.dtype == torch.float32
    assert json.dumps(_epochs(data, config)[-1].val)
