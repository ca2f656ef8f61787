"""Learning rates against torch's schedulers, and what each parameter group gets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from covidviz.config import TrainConfig
from covidviz.schedule import learning_rates
from covidviz.training.models import build
from covidviz.training.optim import make_optimizer, set_learning_rates

EPOCHS, STEPS = 4, 5


def _config(**settings: object) -> TrainConfig:
    base = {"data": "d", "model": "squeezenet1_1", "weights": "none", "epochs": EPOCHS, "lr": 0.1, "backbone_lr": 0.01}
    return TrainConfig.parse({**base, **settings})


def _rates(config: TrainConfig) -> list[float]:
    return [learning_rates(config, step, STEPS)[0] for step in range(EPOCHS * STEPS)]


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS * STEPS)
    expected = []
    for _ in range(EPOCHS * STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert _rates(_config(schedule="cosine")) == pytest.approx(expected)


def test_one_cycle_rises_and_falls() -> None:
    rates = _rates(_config(schedule="one_cycle"))
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.1 / 25)
    assert rates[top] == pytest.approx(0.1)
    assert top == 6
    assert rates[-1] == pytest.approx(0.1 / 25e4)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_steps_hold_from_their_epoch_on() -> None:
    config = _config(schedule="step", lr_steps="3:1e-3,4:1e-4")
    assert _rates(config) == pytest.approx([0.1] * 10 + [1e-3] * 5 + [1e-4] * 5)
    # the backbone keeps its distance
    assert learning_rates(config, 10, STEPS)[1] == pytest.approx(1e-4)
    assert _rates(_config(schedule="step", lr_steps="1:0.5"))[0] == pytest.approx(0.5)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "step"])
def test_rates_stay_in_range(schedule: str) -> None:
    for epochs, steps in ((1, 1), (1, 2), (1000, 1), (3, 7)):
        config = _config(schedule=schedule, epochs=epochs, lr_steps="1:0.01" if schedule == "step" else None)
        for step in range(epochs * steps):
            head, backbone = learning_rates(config, step, steps)
            assert 0 <= head <= 0.1 + 1e-12
            assert backbone == pytest.approx(head / 10)


def test_groups() -> None:
    for trainable, sizes in (("head", [4]), ("features.12", [4, 6])):
        config = _config(trainable=trainable)
        optimizer = make_optimizer(build(config, 2), config)
        assert [len(group["params"]) for group in optimizer.param_groups] == sizes
        assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01][: len(sizes)]
        set_learning_rates(optimizer, (0.5, 0.25))
        assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25][: len(sizes)]


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        (
            {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
            torch.optim.SGD,
            {"momentum": 0.8, "nesterov": True},
        ),
        ({"optimizer": "adam", "momentum": 0.8, "weight_decay": 0.1}, torch.optim.Adam, {"betas": (0.8, 0.999)}),
        ({"optimizer": "adamw", "weight_decay": 0.1}, torch.optim.AdamW, {"betas": (0.9, 0.999)}),
    ],
)
def test_optimizers(settings: dict[str, object], kind: type, expected: dict[str, object]) -> None:
    config = _config(**settings)
    optimizer = make_optimizer(build(config, 2), config)
    assert type(optimizer) is kind
    for key, value in {**expected, "weight_decay": 0.1}.items():
        assert optimizer.param_groups[0][key] == value
