"""The small curves of the form say what the training computes."""

from __future__ import annotations

import pytest
import torch

from covidviz.config import TrainConfig
from covidviz.schedule import learning_rates
from covidviz.training.losses import bce, cross_entropy, sigmoid_focal, softmax_focal
from covidviz.ui.new_run.curves import focal, focal_curves, schedule_curve

P = [0.02, 0.1, 0.5, 0.9, 0.999]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
@pytest.mark.parametrize("positive", [True, False])
def test_focal_is_the_loss_of_the_training(gamma: float, alpha: float | None, positive: bool) -> None:
    weight = 1.0 if alpha is None else alpha if positive else 1 - alpha
    for p in P:
        logit = torch.logit(torch.tensor(p, dtype=torch.float64)).float()
        # one label: the probability of the truth is that of a yes, or of a no
        single = sigmoid_focal(
            (logit if positive else -logit).view(1, 1), torch.tensor([[float(positive)]]), gamma, alpha
        )
        assert focal(p, gamma, weight) == pytest.approx(single.item(), rel=2e-4, abs=1e-7)
        # two classes: the truth is class 0; it is the positive one or not
        both = torch.stack([logit, torch.zeros(())]).view(1, 2)
        soft = softmax_focal(both, torch.tensor([[1.0, 0.0]]), gamma, alpha, positive=0 if positive else 1)
        assert focal(p, gamma, weight) == pytest.approx(soft.item(), rel=2e-4, abs=1e-7)


def test_without_gamma_and_weight_it_is_cross_entropy() -> None:
    for p in P:
        logit = torch.logit(torch.tensor(p, dtype=torch.float64)).float()
        both = torch.stack([logit, torch.zeros(())]).view(1, 2)
        assert focal(p, 0) == pytest.approx(cross_entropy(both, torch.tensor([[1.0, 0.0]])).item(), rel=1e-4)
        assert focal(p, 0) == pytest.approx(bce(logit.view(1, 1), torch.tensor([[1.0]])).item(), rel=1e-4)


def test_alpha_makes_two_curves() -> None:
    assert [curve["name"] for curve in focal_curves(2, None)] == ["cross-entropy", "focal"]
    _, positive, negative = focal_curves(2, 0.25)
    at = positive["x"].index(0.5)
    assert positive["y"][at] == pytest.approx(focal(0.5, 2, 0.25), abs=1e-4)
    assert negative["y"][at] == pytest.approx(focal(0.5, 2, 0.75), abs=1e-4)


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
