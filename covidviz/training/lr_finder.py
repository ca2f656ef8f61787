"""The learning-rate range test (Smith 2017, "Cyclical learning rates for training neural networks", section 3.3).

A few steps whose rate grows from step to step show where the loss begins to fall, falls fastest and explodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.training import devices, lab
from covidviz.training.batches import Pixels, epoch_order, send, slices
from covidviz.training.dataset import load_dataset
from covidviz.training.fused import FusedHead, draw_masks
from covidviz.training.lab import LabData
from covidviz.training.losses import make_criterion
from covidviz.training.models import build, make_head, train_mode
from covidviz.training.optim import make_optimizer, set_learning_rates

__all__ = ["find", "rates", "smoothed", "suggest"]

LOW, HIGH = 1e-6, 1.0
STEPS_HEAD, STEPS_NETWORK = 120, 60
BETA = 0.9  # of the running mean
HALF_WINDOW = 5  # steps
EXPLODED = 4.0  # times the lowest loss: from there on nothing is learned any more

Tell = Callable[[str, int, int], None]


def find(config: TrainConfig, data: LabData | None, tell: Tell) -> Iterator[dict[str, Any] | None]:
    """Run the test with the network, data, loss and optimizer of a config.

    Args:
        config: resolved; its own rate and schedule do not matter, only the backbone's share of the rate.
        data: features computed before, where the head alone learns; default: computed (or found in the cache) now.
        tell: as `lab.open_lab`.

    Yields:
        `{"event": "lr", "lr", "loss"}` for each step (the loss before the step, unsmoothed) until it explodes, None in
        between, and at last `{"event": "done", "suggested"}`: a rate, or None where the loss never fell.

    Raises:
        as `lab.open_lab`.
    """
    try:
        lab.check(config)
    except ConfigError:
        steps = _network_steps(config, tell)
    else:
        steps = _head_steps(config, data if data is not None else lab.open_lab(config, tell))
    used: list[float] = []
    losses: list[float] = []
    for lr, loss in steps:
        if not np.isfinite(loss):
            break
        used.append(lr)
        losses.append(loss)
        yield {"event": "lr", "lr": lr, "loss": loss}
        running = smoothed(losses)
        if running[-1] > EXPLODED * running.min():
            break
    yield {"event": "done", "suggested": suggest(used, losses)}


def rates(steps: int) -> NDArray[np.float64]:
    """The learning rates of the test, evenly spaced on a log scale, [steps]."""
    return np.geomspace(LOW, HIGH, steps)


def smoothed(losses: Sequence[float]) -> NDArray[np.float64]:
    """Exponential running mean with the bias of its start taken out, [N]."""
    out = np.empty(len(losses))
    mean = 0.0
    for i, loss in enumerate(losses):
        mean = BETA * mean + (1 - BETA) * loss
        out[i] = mean / (1 - BETA ** (i + 1))
    return out


def suggest(used: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate around which the loss falls fastest over half a decade, one digit; at most a tenth of the rate of the
    lowest loss, since a whole training explodes earlier than a few steps do.

    Returns:
        None where the loss never falls by 5 % of its start.
    """
    if len(losses) < 2 * HALF_WINDOW + 2:
        return None
    running = smoothed(losses)
    lowest = int(running.argmin())
    start = float(np.median(losses[: HALF_WINDOW + 1]))
    if lowest <= HALF_WINDOW or running[lowest] > 0.95 * start:
        return None
    log, loss = np.log10(used), np.asarray(losses)
    # A line through each stretch: the single steps are as noisy as batches are small.
    middles = range(HALF_WINDOW, min(lowest, len(loss) - HALF_WINDOW - 1) + 1)
    slopes = [np.polyfit(log[i - HALF_WINDOW : i + HALF_WINDOW + 1], loss[i - HALF_WINDOW : i + HALF_WINDOW + 1], 1)[0]
              for i in middles]  # fmt: skip
    return float(f"{min(used[middles[int(np.argmin(slopes))]], used[lowest] / 10):.0e}")


def _head_steps(config: TrainConfig, data: LabData) -> Iterator[tuple[float, float]]:
    part = data.splits["train"]
    head = make_head(config, part.features.shape[1], len(config.classes))
    optimizer = make_optimizer(nn.ModuleDict({MODELS[config.model].head: head}), config)
    assert isinstance(optimizer, torch.optim.SGD)
    criterion = make_criterion(config, part.labels)
    stepper = FusedHead(head, criterion, optimizer)
    targets = torch.from_numpy(part.labels.astype(np.float32))
    generator = torch.Generator().manual_seed(config.seed)
    for lr, rows in zip(rates(STEPS_HEAD).tolist(), _batches(len(targets), config), strict=False):
        set_learning_rates(optimizer, (lr, lr))
        y = targets[rows]
        logits = stepper.step(part.features, y, draw_masks(head, [len(y)], generator)[0], rows)
        yield lr, float(criterion(logits, y).mean())


def _network_steps(config: TrainConfig, tell: Tell) -> Iterator[tuple[float, float]]:
    device = devices.resolve(config)
    with devices.numerics(device.device):
        data = load_dataset(config, device.device, on_progress=partial(tell, "reading images"))
        part = data.splits["train"]
        torch.manual_seed(config.seed)
        model = build(config, len(config.classes)).to(device.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = make_optimizer(model, config)
        criterion = make_criterion(config, part.labels, device.device)
        rows = [row.numpy() for row in islice(_batches(len(part), config), STEPS_NETWORK)]
        share = (config.backbone_lr or config.lr) / config.lr
        train_mode(model)
        inputs = Pixels(part.images).batches(rows, config.augment, seed=config.seed, epoch=1)
        for lr, x, at in zip(rates(STEPS_NETWORK).tolist(), inputs, rows, strict=True):
            set_learning_rates(optimizer, (lr, lr * share))
            optimizer.zero_grad()
            with device.autocast():
                logits = model(x)
            # No scaler: a range test needs no last bit, and an fp16 step that overflows ends it where it should end.
            loss = criterion(logits, send(part.labels[at].astype(np.float32), device.device)).mean()
            loss.backward()
            optimizer.step()
            yield lr, float(loss.detach())


def _batches(n: int, config: TrainConfig) -> Iterator[Tensor]:
    """Rows of one batch after the other, epoch after epoch, in the order of a run."""
    epoch = 1
    while True:
        order = torch.from_numpy(epoch_order(n, config.seed, epoch))
        yield from (order[part] for part in slices(n, config.batch_size))
        epoch += 1
