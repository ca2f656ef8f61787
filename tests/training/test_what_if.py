"""A run judged with a mistake: the mistake is the one that is meant, and nothing of it stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covidviz.config import TrainConfig
from covidviz.errors import CovidvizError, InputError
from covidviz.evaluation.metrics import classification_metrics
from covidviz.store.reader import Run
from covidviz.training.batches import augment, to_input
from covidviz.training.devices import resolve
from covidviz.training.inference import Predictor
from covidviz.training.models import build
from covidviz.training.what_if import REPEATS, WhatIf, misjudged

CLASSES = ("covid19", "normal", "pneumonia")
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 64, 64), dtype=np.uint8)


def predictor(**settings: object) -> Predictor:
    config = TrainConfig.parse(
        {
            "data": "d",
            "weights": "none",
            "head": "8",
            "image_size": 64,
            "device": "cpu",
            "precision": "fp32",
            **settings,
        }
    ).resolve(CLASSES)
    model = build(config, 3, pretrained=False)
    return Predictor(model.eval(), config, resolve(config))


def right(of: Predictor) -> np.ndarray:
    return np.asarray(of.logits(IMAGES).softmax(dim=1))


def test_without_dropout_and_batchnorm_train_mode_changes_nothing() -> None:
    plain = predictor(model="squeezenet1_1", dropout=0, batch_size=4)
    np.testing.assert_allclose(misjudged(plain, IMAGES, "train-mode", 1), right(plain), atol=1e-5)  # in their order


def test_train_mode_takes_the_statistics_of_the_batch_and_leaves_no_trace() -> None:
    of = predictor(model="resnet18", dropout=0, batch_size=32)  # one batch: who shares it is no chance
    before = {name: value.clone() for name, value in of.model.state_dict().items()}
    true = right(of)
    found = misjudged(of, IMAGES, "train-mode", 1)
    assert all(torch.equal(value, before[name]) for name, value in of.model.state_dict().items())
    assert not any(module.training for module in of.model.modules())
    np.testing.assert_array_equal(right(of), true)
    with torch.no_grad():
        expected = of.model.train()(to_input(IMAGES)).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - true).max() > 1e-3


def test_dropout_draws_anew_in_each_pass_and_the_same_when_asked_again() -> None:
    of = predictor(model="squeezenet1_1", dropout=0.5)
    state = torch.get_rng_state()
    one, again, other = (misjudged(of, IMAGES, "train-mode", number) for number in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)  # the live lab draws from the same generator
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_augmented_images_are_those_of_the_training() -> None:
    of = predictor(model="squeezenet1_1", augment="flip")
    flipped = augment(torch.from_numpy(IMAGES), "flip", seed=0, epoch=3, number=0).numpy()
    assert not np.array_equal(flipped, IMAGES)
    expected = of.logits(flipped).softmax(dim=1).numpy()
    np.testing.assert_allclose(misjudged(of, IMAGES, "augmented", 3), expected, atol=1e-6)


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    def found() -> Iterator[tuple[str, tuple[str, int]]]:
        for file in sorted(folder.rglob("*")):
            content = file.read_bytes() if file.is_file() else b""
            yield str(file.relative_to(folder)), (hashlib.sha256(content).hexdigest(), file.stat().st_mtime_ns)

    return dict(found())


@pytest.mark.parametrize("mistake", ["train-mode", "augmented"])
def test_a_run_is_judged_and_stays_as_it_is(finished: Path, mistake: str) -> None:
    before = fingerprint(finished)
    asked = {"run_dir": str(finished), "split": "val", "mistake": mistake}
    events = [event for event in WhatIf().events(asked) if event is not None]
    assert fingerprint(finished) == before
    passes = [event for event in events if event["event"] == "repeat"]
    assert [event["number"] for event in passes] == list(range(1, REPEATS + 1))
    assert events[-1]["event"] == "done"
    assert ("BatchNorm" if mistake == "train-mode" else "flip") in events[-1]["how"]
    run = Run(finished)
    said = run.predictions()
    labels = run.samples().set_index("sample_id").loc[said[said["split"] == "val"]["sample_id"]]
    labels = labels[[f"label_{name}" for name in CLASSES]].to_numpy()
    for event in passes:
        assert np.sum(event["confusion"]["matrix"], axis=1).tolist() == labels.sum(axis=0).tolist()
        assert set(event["metrics"]) == set(classification_metrics(labels, labels, CLASSES, "single-label"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"mistake": "shuffled"}, "mistake: 'shuffled' given, accepted: train-mode, augmented"),
        ({"split": "all"}, "split: 'all' given, accepted: train, val, test"),
        ({"run_dir": "nowhere"}, "nowhere"),
    ],
)
def test_a_wrong_question_is_told(finished: Path, wrong: dict[str, Any], sentence: str) -> None:
    asked = {"run_dir": str(finished), "split": "val", "mistake": "augmented", **wrong}
    with pytest.raises(CovidvizError if "run_dir" in wrong else InputError, match=sentence):
        list(WhatIf().events(asked))
