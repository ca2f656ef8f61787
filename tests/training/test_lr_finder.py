"""The learning-rate range test on curves and data whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covidviz.config import TrainConfig
from covidviz.jobs.submit import prepare
from covidviz.training.lab import LabData, LabSplit, train
from covidviz.training.lr_finder import STEPS_HEAD, STEPS_NETWORK, find, rates, smoothed, suggest

CLASSES = ("a", "b", "c")


@given(st.floats(-4, -1.5), st.floats(0.8, 3), st.integers(0, 1000))
def test_suggests_where_a_noisy_falling_curve_is_steepest(place: float, height: float, seed: int) -> None:
    lr = rates(120)
    falling = height / (1 + np.exp(6 * (np.log10(lr) - place)))  # steepest at 10^place
    exploding = 10 * np.clip(np.log10(lr) - place - 1.2, 0, None) ** 2
    noise = 0.05 * height * np.random.default_rng(seed).normal(size=120)
    found = suggest(lr.tolist(), (0.3 + falling + exploding + noise).tolist())
    assert found is not None
    assert abs(np.log10(found) - place) < 0.75


@pytest.mark.parametrize("losses", [[1.0] * 60, np.linspace(1, 5, 60).tolist(), [1.0, 0.5]])
def test_suggests_nothing_where_the_loss_never_falls(losses: list[float]) -> None:
    assert suggest(rates(60)[: len(losses)].tolist(), losses) is None


def test_the_running_mean_of_a_constant_is_that_constant() -> None:
    np.testing.assert_allclose(smoothed([3.0] * 20), 3.0)


@pytest.fixture(scope="module")
def clusters() -> LabData:
    """Three clusters that a linear head tells apart."""
    draw = torch.Generator().manual_seed(0)
    config = TrainConfig.parse({"data": ".", "weights": "none", "epochs": 5, "head": "16"}).resolve(CLASSES)
    centres = torch.randn(3, 32, generator=draw)
    splits = {}
    for name, n in (("train", 300), ("val", 90)):
        truth = torch.arange(n) % 3
        x = centres[truth] + 0.5 * torch.randn(n, 32, generator=draw)
        ids = [f"{name}{i}" for i in range(n)]
        splits[name] = LabSplit(ids, ids, torch.eye(3)[truth].to(torch.int8).numpy(), x)
    return LabData(config, splits)


def _tell(what: str, done: int, n: int) -> None: ...


def _accuracy(data: LabData, lr: float) -> float:
    config = data.config.replace(lr=lr)
    return [epoch for epoch in train(data, config) if epoch is not None][-1].val["accuracy"]


def test_the_suggested_rate_of_a_head_learns_and_one_far_below_does_not(clusters: LabData) -> None:
    *steps, last = [event for event in find(clusters.config, clusters, _tell) if event is not None]
    assert [step["lr"] for step in steps] == rates(STEPS_HEAD)[: len(steps)].tolist()
    assert all(np.isfinite(step["loss"]) for step in steps)
    assert last["event"] == "done"
    assert 1e-4 < last["suggested"] <= 1
    assert _accuracy(clusters, last["suggested"]) > 0.9
    assert _accuracy(clusters, last["suggested"] / 1e4) < 0.6


def test_the_whole_network(bars: Path) -> None:
    settings = {"data": str(bars), "model": "squeezenet1_1", "weights": "none", "trainable": "all", "head": "8",
                "image_size": 64, "batch_size": 6, "device": "cpu", "precision": "fp32"}  # fmt: skip
    config, _ = prepare(TrainConfig.parse(settings))
    told: list[str] = []
    *steps, last = find(config, None, lambda what, done, n: told.append(what))
    assert told
    assert 10 <= len(steps) <= STEPS_NETWORK
    assert last is not None
    assert set(last) == {"event", "suggested"}
