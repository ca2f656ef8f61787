"""The live lab: a head trained on features in memory, with the numbers that a run of the same settings gets.

The same start of the head, order of the images, dropout and steps as `covidviz.training.engine`; nothing is written.
Both read the same caches, so a run made from a lab's setting computes no features again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from covidviz.catalog import MODELS, MODELS_OF_LAB
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, CovidvizError
from covidviz.evaluation.metrics import classification_metrics
from covidviz.schedule import learning_rates
from covidviz.store.summary import better
from covidviz.training import devices
from covidviz.training.batches import epoch_order, slices
from covidviz.training.dataset import load_dataset
from covidviz.training.features import Features, cut, features
from covidviz.training.fused import FusedHead, draw_masks, fits
from covidviz.training.image_cache import content_key
from covidviz.training.losses import make_criterion
from covidviz.training.models import build, make_head
from covidviz.training.optim import make_optimizer, set_learning_rates
from covidviz.training.scoring import evaluation_batch, probabilities

__all__ = ["Epoch", "LabData", "LabSplit", "check", "key_of", "open_lab", "train"]

CHUNK = 4 << 20  # bytes of features that are trained on at a time; between chunks others have their turn
# What the features depend on. Two configs that agree in these can be trained on the same `LabData`.
OF_THE_DATA = ("data", "split_column", "classes", "task", "label_rule", "image_size", "model", "weights", "seed",
               "precision", "device")  # fmt: skip


@dataclass(frozen=True)
class LabSplit:
    """One split: `sample_id` and `paths` (below the dataset's folder) of N samples, `labels` (0/1, int8 [N, C]) and
    `features` (float32 [N, D], on the CPU)."""

    sample_id: list[str]
    paths: list[str]
    labels: NDArray[np.int8]
    features: Tensor


@dataclass(frozen=True)
class LabData:
    """What heads are trained on: the resolved config it was made for, and the splits `train` and `val`."""

    config: TrainConfig
    splits: dict[str, LabSplit]

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        return sum(part.features.nbytes for part in self.splits.values())


@dataclass(frozen=True)
class Epoch:
    """One epoch: metrics as in metrics.jsonl; `prob` float32 [N, C] and `loss` [N] of the validation split after it;
    whether it is the best so far by `config.monitor`."""

    epoch: int
    train: dict[str, float]
    val: dict[str, float]
    prob: NDArray[np.float32]
    loss: NDArray[np.float32]
    best: bool


def check(config: TrainConfig) -> None:
    """Whether the lab can train these settings.

    Raises:
        ConfigError: says which setting can't be used.
    """
    for name, accepted in (("trainable", "head"), ("augment", "none"), ("optimizer", "sgd"), ("nesterov", False)):
        if (given := getattr(config, name)) != accepted:
            raise ConfigError(f"{name}: {given!r} given, accepted in the lab: {accepted}")
    if config.model not in MODELS_OF_LAB:
        raise ConfigError(f"model: {config.model!r} given, accepted in the lab: {', '.join(MODELS_OF_LAB)}")


def key_of(config: TrainConfig) -> str:
    """What `LabData` depends on, as text: equal for configs that can share it."""
    return repr([(name, getattr(config, name)) for name in OF_THE_DATA])


def open_lab(config: TrainConfig, tell: Callable[[str, int, int], None]) -> LabData:
    """Decode the images and compute the features, or find them in the caches.

    Args:
        config: resolved.
        tell: called with (what is done, images done, all); what it raises stops the work.

    Raises:
        ConfigError: as `check`.
        DataError, WeightsError, DeviceError: as for a run.
        StoreError: the features do not fit on the disk or within the limit of the cache.
    """
    check(config)
    device = devices.resolve(config)
    with devices.numerics(device.device):
        data = load_dataset(config, device.device, on_progress=lambda done, n: tell("reading images", done, n))
        model = build(config, len(config.classes)).to(device.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.eval()
        parts = cut(model)
        assert parts is not None  # the head alone learns
        batch, splits = evaluation_batch(config.image_size, device), {}
        for name in ("train", "val"):
            split = data.splits[name]
            content = content_key(split.images.root, split.images.paths, config.image_size)
            further = partial(tell, f"computing features, {name}")
            found, _ = features(parts, split.images, content, device, "none", batch, further,
                                fast=config.cache != "exact")  # fmt: skip
            splits[name] = LabSplit(split.sample_id, list(split.images.paths), split.labels, _in_memory(found))
    return LabData(config, splits)


def _in_memory(found: Features) -> Tensor:
    """float32 [N, D]; read from the file where a quarter of the free memory is too little."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the map is read-only, and nothing writes into it
        values = found.everything(copy=found.bytes < psutil.virtual_memory().available // 4)
        return values.flatten(1).float()


def train(data: LabData, config: TrainConfig) -> Iterator[Epoch | None]:
    """Train a head as a run of `config` would, from the same start each time.

    Args:
        config: resolved, equal to `data.config` in what the features depend on.

    Yields:
        An `Epoch` after each, as often as `config.epochs` and `config.patience` say; between them, many times a second,
        None, so that the caller can stop or let others have their turn.

    Raises:
        ConfigError: as `check`.
        CovidvizError: the loss became NaN or infinite; says in which step and at which learning rate.
    """
    check(config)
    part, val = data.splits["train"], data.splits["val"]
    head = make_head(config, part.features.shape[1], len(config.classes))
    optimizer = make_optimizer(nn.ModuleDict({MODELS[config.model].head: head}), config)
    assert isinstance(optimizer, torch.optim.SGD)
    assert fits(head, optimizer)
    criterion = make_criterion(config, part.labels)
    stepper = FusedHead(head, criterion, optimizer)
    targets, val_targets = (torch.from_numpy(one.labels.astype(np.float32)) for one in (part, val))
    batches = slices(len(targets), config.batch_size)
    sizes = [batch.stop - batch.start for batch in batches]
    turn = max(1, CHUNK // (4 * part.features.shape[1] * config.batch_size))  # batches
    generator = torch.Generator().manual_seed(config.seed)
    best: tuple[int, float] | None = None
    metric = config.monitor.removeprefix("val_")

    with ThreadPoolExecutor(1) as ahead:  # dropout of the next epoch is drawn meanwhile
        coming = ahead.submit(draw_masks, head, sizes, generator)
        for epoch in range(1, config.epochs + 1):
            drawn = coming.result()
            if epoch < config.epochs:
                coming = ahead.submit(draw_masks, head, sizes, generator)
            order = torch.from_numpy(epoch_order(len(targets), config.seed, epoch))
            shuffled, logits = targets[order], torch.empty(len(targets), len(config.classes))
            for done, (batch, masks) in enumerate(zip(batches, drawn, strict=True)):
                rates = learning_rates(config, (epoch - 1) * len(batches) + done, len(batches))
                set_learning_rates(optimizer, rates)
                logits[batch] = stepper.step(part.features, shuffled[batch], masks, order[batch])
                if done % turn == turn - 1:
                    yield None
            loss = criterion(logits, shuffled)
            _check_finite(loss, batches, epoch, config)
            if config.train_eval:
                prob, exact = _evaluate(head, part.features, targets, config, criterion)
                train_values = classification_metrics(prob, part.labels, config.classes, config.task, exact)
            else:
                labels = part.labels[order.numpy()]
                prob = probabilities(logits, config.task).numpy()
                train_values = classification_metrics(prob, labels, config.classes, config.task, loss.numpy())
            prob, loss_of_val = _evaluate(head, val.features, val_targets, config, criterion)
            if not np.isfinite(loss_of_val).all():
                raise CovidvizError(f"the validation loss became NaN or infinite in epoch {epoch}; try a smaller lr")
            values = classification_metrics(prob, val.labels, config.classes, config.task, loss_of_val)
            if is_best := best is None or better(values[metric], best[1], metric):
                best = (epoch, values[metric])
            yield Epoch(epoch, train_values, values, prob, loss_of_val, is_best)
            if config.patience is not None and best is not None and epoch - best[0] >= config.patience:
                return


def _check_finite(loss: Tensor, batches: list[slice], epoch: int, config: TrainConfig) -> None:
    """As the engine: the first step whose mean loss is no number is named."""
    if torch.isfinite(loss).all():
        return
    number, mean = next((i, m) for i, b in enumerate(batches) if not torch.isfinite(m := loss[b].mean()))
    step = (epoch - 1) * len(batches) + number
    kind, lr = "NaN" if torch.isnan(mean) else "infinite", learning_rates(config, step, len(batches))[0]
    raise CovidvizError(f"the loss became {kind} at step {step + 1} (lr {lr:g}); try a smaller lr")


@torch.inference_mode()
def _evaluate(
    head: nn.Module, x: Tensor, targets: Tensor, config: TrainConfig, criterion: Callable[[Tensor, Tensor], Tensor]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    head.eval()
    parts = slices(len(x), max(1, CHUNK // (4 * x.shape[1])))
    logits = torch.cat(list(chain(head(x[part]) for part in parts)))
    return probabilities(logits, config.task).numpy(), criterion(logits, targets).numpy()
