"""Each warning appears where it should and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.jobs.estimate import Estimate
from covidviz.ui.new_run.cautions import cautions

GOOD = {"data": "x", "weights": "imagenet", "trainable": "from:layer4"}


def manifest(
    classes: tuple[str, ...] = ("covid19", "normal"), train: Any = 100, val: int = 50, test: int = 50
) -> Manifest:
    each = train if isinstance(train, tuple) else (train,) * len(classes)
    rows = [(split, c) for c, k in enumerate(each) for split, n in (("train", k), ("val", val), ("test", test))
            for _ in range(n)]  # fmt: skip
    frame = pd.DataFrame({"sample_id": [str(i) for i in range(len(rows))], "split": [split for split, _ in rows]})
    for c, name in enumerate(classes):
        frame[f"label_{name}"] = np.array([label == c for _, label in rows], dtype=np.int8)
    return Manifest(Path("/x"), classes, "single-label", frame)


def warned(settings: dict[str, Any], data: Manifest | None = None, **known: Any) -> list[str]:
    return cautions(TrainConfig.parse({**GOOD, **settings}), data or manifest(), **known)


def test_sound_settings_get_no_warning() -> None:
    assert warned({}) == []
    assert warned({"weights": "none", "trainable": "all", "optimizer": "adam", "lr": 1e-3, "image_size": 128}) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 0.5}, "very high for SGD"),
        ({"lr": 0.02, "optimizer": "adam"}, "very high for Adam:"),
        ({"lr": 0.02, "optimizer": "adamw"}, "very high for AdamW:"),
        ({"lr": 1e-5}, "very low for SGD"),
        ({"weights": "none", "trainable": "head"}, "only the head learning"),
        ({"weights": "none", "trainable": "from:layer4"}, "From scratch with frozen layers"),
        ({"batch_size": 201}, "larger than the training split (200 images)"),
        ({"batch_size": 4}, "unsteady"),
        ({"image_size": 96}, "3 x 3 cells"),
        ({"patience": 3, "schedule": "cosine"}, "Patience may end"),
    ],
)
def test_settings_that_look_unwise(settings: dict[str, Any], words: str) -> None:
    (sentence,) = warned(settings)
    assert words in sentence


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.02},
        {"lr": 1e-5, "optimizer": "adam"},
        {"batch_size": 200},
        {"batch_size": 4, "trainable": "head"},
        {"batch_size": 4, "model": "vgg16", "trainable": "all"},
        {"image_size": 128},
        {"patience": 3},
    ],
)
def test_settings_that_do_not(settings: dict[str, Any]) -> None:
    assert warned(settings) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (manifest(("a", "b")), "No critical class"),
        (manifest(val=19), "Only 19 validation images of covid19: one of them moves its recall by 5 %"),
        (manifest(test=0), "No test split"),
        (manifest(train=(20, 101)), "The largest class has 5 times"),
    ],
)
def test_datasets_that_ask_for_care(data: Manifest, words: str) -> None:
    (sentence,) = warned({}, data)
    assert words in sentence


def test_a_weighted_loss_answers_uneven_classes() -> None:
    uneven = manifest(train=(20, 101))
    assert warned({"pos_weight": True}, uneven) == []
    assert warned({"loss": "focal"}, uneven) == []
    assert warned({"critical_class": "b"}, manifest(("a", "b"))) == []


def test_memory_and_disk_come_first() -> None:
    needs = Estimate(None, None, None, 0, False, memory=8e9, on_gpu=False, disk=3e9)
    first, second, _ = warned({"lr": 0.5}, estimate=needs, free_memory=4e9, free_disk=1e9)
    assert "3.0 GB of disk, 1.0 GB are free" in first
    assert "8.0 GB of memory, 4.0 GB are free" in second
    assert warned({}, estimate=needs, free_memory=9e9, free_disk=4e9) == []
    on_gpu = Estimate(None, None, None, 0, False, memory=8e9, on_gpu=True, disk=0)
    assert warned({}, estimate=on_gpu, free_memory=4e9) == []
