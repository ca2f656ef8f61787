"""The fused step against autograd and torch's SGD."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from covidviz.config import TrainConfig
from covidviz.training.fused import FusedHead, draw_masks, fits
from covidviz.training.gradients import gradient_of
from covidviz.training.losses import make_criterion

CLASSES = ("normal", "pneumonia", "covid19")
SETTINGS = [
    ("single-label", {}),
    ("single-label", {"pos_weight": True}),
    ("single-label", {"loss": "class_balanced"}),
    ("single-label", {"loss": "focal", "focal_gamma": 0.0}),
    ("single-label", {"loss": "focal", "focal_gamma": 0.5}),
    ("single-label", {"loss": "focal", "focal_gamma": 2.0, "focal_alpha": 0.25}),
    ("single-label", {"loss": "focal", "focal_gamma": 5.0}),
    ("single-label", {"loss": "softmax_twice"}),
    ("multi-label", {}),
    ("multi-label", {"pos_weight": True}),
    ("multi-label", {"loss": "class_balanced"}),
    ("multi-label", {"loss": "focal", "focal_gamma": 2.0, "focal_alpha": 0.75}),
    ("multi-label", {"loss": "asymmetric"}),
    ("multi-label", {"loss": "batch_focal", "focal_gamma": 2.0, "focal_alpha": 0.25}),
    ("multi-label", {"loss": "batch_focal", "focal_gamma": 0.5}),
    ("multi-label", {"loss": "softmax_cross_entropy"}),
]


def _config(task: str, options: dict[str, object], **more: object) -> TrainConfig:
    return TrainConfig.parse({"data": ".", "task": task, **options, **more}).resolve(CLASSES)


def _targets(task: str, n: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    if task == "single-label":
        return torch.eye(3)[torch.randint(0, 3, (n,), generator=draw)]
    return torch.randint(0, 2, (n, 3), generator=draw).float()


@pytest.mark.parametrize(("task", "options"), SETTINGS)
@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0, 60), seed=st.integers(0, 1000))
def test_derivatives_are_autograds(task: str, options: dict[str, object], scale: float, seed: int) -> None:
    targets = _targets(task, 24)
    criterion = make_criterion(_config(task, options), targets.numpy())
    logits = scale * torch.randn(24, 3, generator=torch.Generator().manual_seed(seed))
    # In float64: where the loss is large and steep, autograd's float32 is off by a thousandth.
    wide = logits.double().requires_grad_()
    (expected,) = torch.autograd.grad(criterion(wide, targets.double()).sum(), wide)
    found = gradient_of(criterion)(logits, targets)
    torch.testing.assert_close(found, expected.float(), atol=3e-6, rtol=3e-5)


def _head(widths: tuple[int, ...], dropout: float) -> nn.Sequential:
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    before = 40
    for width in widths:
        layers += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(dropout)]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, 3))


@pytest.mark.parametrize(("task", "options"), SETTINGS)
@pytest.mark.parametrize(
    ("widths", "dropout", "momentum", "decay"),
    [((16,), 0.5, 0.9, 0.0), ((), 0.0, 0.9, 1e-2), ((24, 8), 0.25, 0.0, 1e-3), ((16,), 0.0, 0.0, 0.0)],
)
def test_a_training_is_that_of_autograd_and_sgd(
    task: str, options: dict[str, object], widths: tuple[int, ...], dropout: float, momentum: float, decay: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(64, 40, generator=draw), _targets(task, 64)
    criterion = make_criterion(_config(task, options), y.numpy())
    trained = []
    for fused in (False, True):
        head = _head(widths, dropout)
        optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=momentum, weight_decay=decay)
        torch.manual_seed(2)
        stepper = FusedHead(head, criterion, optimizer)
        logits = []
        for step in range(12):
            rows = slice(16 * (step % 4), 16 * (step % 4) + (16 if step % 4 < 3 else 9))
            optimizer.param_groups[0]["lr"] = 0.05 / (1 + step)
            if fused:
                logits.append(stepper.step(x[rows], y[rows], draw_masks(head, [len(x[rows])])[0]))
                continue
            optimizer.zero_grad()
            out = head(x[rows])
            criterion(out, y[rows]).mean().backward()
            optimizer.step()
            logits.append(out.detach())
        buffers = [optimizer.state[p].get("momentum_buffer") for p in head.parameters()] if momentum else []
        trained.append([*head.state_dict().values(), *logits, *buffers])
    for plain, found in zip(*trained, strict=True):
        torch.testing.assert_close(found, plain, atol=1e-6, rtol=0)


def test_what_fits() -> None:
    head = _head((4,), 0.5)
    parameters = list(head.parameters())
    assert fits(head, torch.optim.SGD(parameters, lr=1, momentum=0.9, weight_decay=0.1))
    assert not fits(head, torch.optim.SGD(parameters, lr=1, momentum=0.9, nesterov=True))
    assert not fits(head, torch.optim.Adam(parameters, lr=1))
    assert not fits(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head), torch.optim.SGD(parameters, lr=1))
