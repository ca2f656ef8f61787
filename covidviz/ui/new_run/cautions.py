"""What looks unwise about settings that are accepted, in plain words. Rules of thumb, each tested; no streamlit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from covidviz import layers
from covidviz.catalog import LOSSES, MODELS
from covidviz.config import TrainConfig, parse_label_rule
from covidviz.data.manifest import Manifest
from covidviz.jobs.estimate import Estimate

__all__ = ["cautions"]

HIGH_LR = {"sgd": 0.3, "adam": 0.01, "adamw": 0.01}
LOW_LR = {"sgd": 1e-4, "adam": 1e-6, "adamw": 1e-6}
FEW = 20  # validation images of a class: one of them moves its recall by 5 %
UNEVEN = 5  # times as many images of one class as of another
COARSE = 4  # cells on a side of the last layer's output


def cautions(config: TrainConfig, manifest: Manifest, estimate: Estimate | None = None,
           free_memory: float | None = None, free_disk: float | None = None) -> list[str]:  # fmt: skip
    """Warnings, most serious first.

    Args:
        free_memory, free_disk: bytes on this machine, where known.
    """
    found = [sentence for rule in _RULES for sentence in rule(config, manifest)]
    if estimate is not None and not estimate.on_gpu and free_memory is not None and estimate.memory > free_memory:
        found.insert(0, f"It may need {estimate.memory / 1e9:.1f} GB of memory, {free_memory / 1e9:.1f} GB are free: "
                        "take smaller batches or images.")  # fmt: skip
    if estimate is not None and free_disk is not None and estimate.disk > free_disk:
        found.insert(0, f"It needs {estimate.disk / 1e9:.1f} GB of disk, {free_disk / 1e9:.1f} GB are free.")
    return found


def _learning_rate(config: TrainConfig, manifest: Manifest) -> Iterator[str]:  # noqa: ARG001
    title = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}[config.optimizer]
    if config.lr >= HIGH_LR[config.optimizer]:
        yield f"A learning rate of {config.lr:g} is very high for {title}: the loss may explode."
    elif config.lr < LOW_LR[config.optimizer]:
        yield f"A learning rate of {config.lr:g} is very low for {title}: little may change."


def _start(config: TrainConfig, manifest: Manifest) -> Iterator[str]:  # noqa: ARG001
    learns = layers.learning(config)
    if config.weights != "none":
        return
    if not learns:
        yield "From scratch with only the head learning: the frozen network stays random."
    elif len(learns) < len(MODELS[config.model].layer_names):
        yield "From scratch with frozen layers: those stay random."


def _batch(config: TrainConfig, manifest: Manifest) -> Iterator[str]:
    n = int((manifest.samples["split"] == "train").sum())
    if config.batch_size > n:
        yield f"The batch is larger than the training split ({n} images): one step per epoch."
    learns = layers.learning(config)
    network = layers.network(config.model)
    if config.batch_size < 8 and any(layer.buffers for layer in network.layers if layer.name in learns):
        yield f"Batches of {config.batch_size} make the batch normalisation of the learning layers unsteady."


def _classes(config: TrainConfig, manifest: Manifest) -> Iterator[str]:
    critical = config.critical_class or ("covid19" if "covid19" in manifest.classes else None)
    if critical is None:
        yield "No critical class is named: nothing is watched for misses."
    counts = manifest.counts()
    val: dict[str, int] = counts["val"]["per_class"] if "val" in counts else {}  # type: ignore[assignment]
    watched = critical if critical in val else min(val, key=lambda name: val[name], default=None)
    if watched is not None and val[watched] < FEW:
        name = watched if len(watched) <= 24 else watched[:23] + "…"
        yield f"Only {val[watched]} validation images of {name}: one of them moves its recall by {100 / max(1, val[watched]):.0f} %."  # noqa: E501
    train: dict[str, int] = counts["train"]["per_class"] if "train" in counts else {}  # type: ignore[assignment]
    plain = config.loss in (None, "cross_entropy", "bce") and not config.pos_weight
    if train and plain and min(train.values()) * UNEVEN < max(train.values()):
        times = max(train.values()) / max(1, min(train.values()))
        yield f"The largest class has {times:.0f} times the images of the smallest: think of a weighted or focal loss."


def _faults(config: TrainConfig, manifest: Manifest) -> Iterator[str]:  # noqa: ARG001
    if any(rule.train_only for rule in parse_label_rule(config.label_rule)):
        yield "The label rule holds in train only, so that train and validation mean different things by a label: a fault, for teaching."  # noqa: E501
    if config.loss is not None and LOSSES[config.loss].teaching:
        yield f"{LOSSES[config.loss].title}: kept as it was published, to see what it does."


def _test(config: TrainConfig, manifest: Manifest) -> Iterator[str]:  # noqa: ARG001
    if not (manifest.samples["split"] == "test").any():
        yield "No test split: the best epoch is chosen and judged on the same validation images."


def _size(config: TrainConfig, manifest: Manifest) -> Iterator[str]:  # noqa: ARG001
    side = layers.network(config.model).layers[-1].side(config.image_size)
    if side < COARSE:
        yield f"At {config.image_size} px the last layer sees {side} x {side} cells: heat maps will be coarse."


def _patience(config: TrainConfig, manifest: Manifest) -> Iterator[str]:  # noqa: ARG001
    if config.patience is not None and config.schedule in ("cosine", "one_cycle"):
        yield "Patience may end the run before its schedule has lowered the learning rate."


_RULES: tuple[Callable[[TrainConfig, Manifest], Iterator[str]], ...] = (
    _faults, _start, _learning_rate, _batch, _classes, _test, _size, _patience,
)  # fmt: skip
