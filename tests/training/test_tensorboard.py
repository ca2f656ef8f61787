"""What `tensorboard --logdir runs` finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from covidviz.config import TrainConfig
from covidviz.training.tensorboard import Curves

CONFIG = TrainConfig.parse({"data": "d", "head": "64,32", "monitor": "val_loss"}).resolve(("a", "b"))


def _read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), purge_orphaned_data=True).Reload()


def _curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in _read(folder).Scalars(tag)]


def test_curves_grow_and_a_resumed_run_overwrites(tmp_path: Path) -> None:
    curves = Curves(tmp_path, CONFIG)
    for epoch, loss in ((1, 1.0), (2, 0.5)):
        curves.epoch(epoch, {"train": {"loss": loss, "lr": 0.1}, "val": {"loss": 2 * loss}})
        # on disk at once
        assert _curve(tmp_path, "loss/train")[-1] == (epoch, loss)
    # killed here: it goes on from epoch 2
    with Curves(tmp_path, CONFIG, first_epoch=2) as resumed:
        for epoch, loss in ((2, 0.25), (3, 0.125)):
            resumed.epoch(epoch, {"train": {"loss": loss, "lr": 0.1}, "val": {"loss": 2 * loss}})
    assert _curve(tmp_path, "loss/train") == [(1, 1.0), (2, 0.25), (3, 0.125)]
    assert _curve(tmp_path, "loss/val") == [(1, 2.0), (2, 0.5), (3, 0.25)]
    curves.close()


def test_settings_are_hparams(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    with Curves(tmp_path, CONFIG) as curves:
        curves.epoch(1, {"val": {"loss": 1.0}})
    found = _read(tmp_path)
    content = found.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content)
    assert start.hparams["model"].string_value == "resnet18"
    assert start.hparams["lr"].number_value == pytest.approx(0.01)
    assert start.hparams["head"].string_value == "64,32"
    assert "data" not in start.hparams
    experiment = metadata.parse_experiment_plugin_data(
        found.summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    )
    assert [info.name.tag for info in experiment.metric_infos] == ["loss/val"]
