"""The small curves of the form say what the training computes."""

from __future__ import annotations

import math

import pytest

from covidviz.config import TrainConfig
from covidviz.schedule import learning_rates
from covidviz.ui.new_run.curves import focal_curves, schedule_curve


def test_the_curves_are_the_loss() -> None:
    plain, positive, negative = focal_curves(1.5, 0.25)
    for p, *y in zip(plain["x"], plain["y"], positive["y"], negative["y"], strict=True):
        falls = -((1 - p) ** 1.5) * math.log(p)
        assert y == pytest.approx([-math.log(p), 0.25 * falls, 0.75 * falls], abs=1e-4)


def test_alpha_makes_two_curves() -> None:
    assert [curve["name"] for curve in focal_curves(2, None)] == ["cross-entropy", "focal"]
    _, positive, negative = focal_curves(2, 0.25)
    at = positive["x"].index(0.5)
    assert negative["y"][at] == pytest.approx(3 * positive["y"][at], abs=2e-4)


@pytest.mark.parametrize("epochs", [1, 10, 1000])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
def test_schedules_are_those_of_the_training(schedule: str, epochs: int) -> None:
    config = TrainConfig(
        data="x", schedule=schedule, epochs=epochs, lr=0.1, lr_steps="2:1e-3" if schedule == "step" else None
    )
    (curve,) = schedule_curve(config)
    assert len(curve["x"]) == len(curve["y"]) <= 250
    assert (curve["x"][0], curve["x"][-1]) == (0, epochs)
    assert curve["y"][0] == learning_rates(config, 0, 20)[0]
    assert curve["y"][-1] == learning_rates(config, epochs * 20 - 1, 20)[0]
