"""How long a run will take here, and how much memory and disk: from earlier runs and the table of layers. No torch.

The unit of work is the multiplication: each image costs a forward pass, and in training a backward pass through what
lies after the first layer that learns, and through the layers that learn. How many of them this machine does in a
second is learned from finished runs on the same kind of device; without any there is no estimate of the time. Where
what is frozen is computed once and kept, it counts once, and not at all while an earlier run's result is in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median

from covidviz import layers
from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.jobs.devices import Slot, fits
from covidviz.paths import cache_dir
from covidviz.store import cache, layout
from covidviz.store.files import read_jsonl
from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.store.status import host_name

__all__ = ["Estimate", "Measured", "device_kind", "estimate", "front", "kept_once", "learn", "measured"]

READ = 24  # newest runs that are looked at, of the same network and of others
NEAREST = 5
NOTHING = 1e-6  # of a pass through the network: what the head alone costs is not counted in it
EXPLAIN = 1.2  # a heat map costs about that many forward passes
NUMBER = 4  # bytes of a float32

# What a training process holds before the first image, measured: torch, its libraries, Python.
PROCESS_BYTES, CUDA_BYTES = 0.85e9, 0.6e9
SPREAD = 1.25  # between runs of the same settings on a machine that does other things too
PER_SAMPLE_BYTES = 150  # in samples.parquet and predictions.parquet
SMALL_FILES_BYTES = 0.3e6  # curves, steps, log


@dataclass(frozen=True)
class Measured:
    """What a finished run tells about the speed of its device.

    gmac: billions of multiplications per training image, were nothing kept; images_per_s: how many such images.
    overhead_s: seconds beside the passes through the network (start, reading images, writing); None where unknown.
    head_s: seconds per training image of an epoch on kept features in which the head alone learns; None elsewhere.
    front, keys: what its kept features depend on, and the names of their entries in the cache.
    """

    model: str
    device: str
    image_size: int
    gmac: float
    images_per_s: float
    overhead_s: float | None
    head_s: float | None = None
    front: tuple[object, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def speed(self) -> float:
        """Billions of multiplications per second."""
        return self.gmac * self.images_per_s


@dataclass(frozen=True)
class Estimate:
    """What a run will need. `seconds` with `low` and `high` are None without an earlier run on such a device.

    runs: how many runs the time was learned from, all of the same network if `same_model`.
    kept: whether what the frozen part gives is in the cache already.
    memory, disk: bytes; the memory is the GPU's where the run will use one (`on_gpu`).
    """

    seconds: float | None
    low: float | None
    high: float | None
    runs: int
    same_model: bool
    memory: float
    on_gpu: bool
    disk: float
    kept: bool = False


def device_kind(title: str) -> str:
    """`cuda:1 NVIDIA A100` to `NVIDIA A100`, `cpu` as it is: runs on the same kind can be compared."""
    return title.partition(" ")[2] or title if title.startswith("cuda") else "cpu"


def _place(asked: str, slots: Iterable[Slot]) -> Slot | None:
    places = list(slots)
    return next((slot for slot in places if fits(asked, slot, any(s.is_gpu for s in places))), None)


# --- work ---


def _forward(config: TrainConfig) -> float:
    """GMAC of one image through the network."""
    return sum(layer.gmac(config.image_size) for layer in layers.network(config.model).layers)


def _training(config: TrainConfig) -> float:
    """GMAC of one image in training: forward, and backward as far as anything learns."""
    rows, learns = layers.network(config.model).layers, layers.learning(config)
    first = next((i for i, layer in enumerate(rows) if layer.name in learns), len(rows))
    inputs = sum(layer.gmac(config.image_size) for layer in rows[first + 1 :])
    weights = sum(layer.gmac(config.image_size) * learns.get(layer.name, 0) / layer.parameters for layer in rows)
    return _forward(config) + inputs + weights


def _total(config: TrainConfig, n: Mapping[str, int], epochs: int, *, kept: int | None = None) -> float:
    """GMAC of a whole run over `n` images per split; `kept`: so many images pass through the frozen part, once."""
    train, val, test = (n.get(split, 0) for split in layout.SPLITS)
    forward = _forward(config)
    epoch = train * _training(config) + (val + train * config.train_eval) * forward
    last = (train + val + test + EXPLAIN * (val + test)) * forward
    if kept is None:
        return epochs * epoch + last
    frozen = _frozen(config)
    spared: float = epochs * (train + val + train * config.train_eval) + train + val + test
    if not kept:
        spared += EXPLAIN * (val + test)
    return epochs * epoch + last + frozen * (kept - spared)


def _frozen(config: TrainConfig) -> float:
    """GMAC of one image through what lies before the first layer that learns."""
    rows, learns = layers.network(config.model).layers, layers.learning(config)
    first = next((i for i, layer in enumerate(rows) if layer.name in learns), len(rows))
    return sum(layer.gmac(config.image_size) for layer in rows[:first])


def kept_once(config: TrainConfig) -> bool:
    """Whether training will keep what the frozen part gives (as `covidviz.training.features` decides)."""
    return config.cache != "off" and config.augment in ("none", "flip")


def _kept(config: TrainConfig, n: Mapping[str, int], found: bool) -> int | None:
    """How many images will pass through the frozen part, or None where it runs in every epoch."""
    if not kept_once(config):
        return None
    return 0 if found else (1 + (config.augment == "flip")) * n.get("train", 0) + n.get("val", 0) + n.get("test", 0)


# --- what earlier runs tell ---


def measured(run_dir: Path) -> Measured | None:
    """What a finished run of this machine tells, or None where it tells nothing. Read once per version of its files."""
    run = Run(run_dir)
    return _measured(str(run_dir), run.version(layout.STATUS), run.version(layout.METRICS))


@lru_cache(maxsize=512)
def _measured(folder: str, status_version: tuple[int, int], metrics_version: tuple[int, int]) -> Measured | None:  # noqa: ARG001
    run = Run(Path(folder))
    status, config = run.status(), run.config()
    if config is None or status.host != host_name():
        return None
    rows = [row for row in read_jsonl(run.dir / layout.METRICS)[0] if row.get("split") == "train"]
    rates = [float(row["images_per_s"]) for row in rows if _positive(row.get("images_per_s"))]
    if not rates:
        return None
    kind, ended = device_kind(status.device), status.state == "completed" and len(rows) == status.epoch
    took = status.finished - status.started if ended and status.started and status.finished else None
    if status.extra.get("frozen_once"):
        return _of_kept(run, config, kind, rates, status.extra.get("frozen_cache"), took)
    gmac = _training(config)
    speed = median(rates) * gmac
    overhead = None
    if took is not None and (n := _counts(run)):
        overhead = max(0.0, took - _total(config, n, status.epoch) / speed)
    return Measured(config.model, kind, config.image_size, gmac, median(rates), overhead)


def _of_kept(run: Run, config: TrainConfig, kind: str, rates: list[float], document: object,
             took: float | None) -> Measured | None:  # fmt: skip
    """The same of a run that trained on kept features: computing them tells the speed, and so do its epochs."""
    splits = document.get("splits") if isinstance(document, dict) else None
    parts = [part for part in splits.values() if isinstance(part, dict)] if isinstance(splits, dict) else []
    timed = [part for part in parts if all(_positive(part.get(key)) for key in ("images", "variants", "seconds"))]
    if not timed:
        return None
    gmac, frozen = _training(config), _frozen(config)
    work = frozen * sum(part["images"] * part["variants"] for part in timed)
    seconds = float(sum(part["seconds"] for part in timed))
    n, rest, head_s = _counts(run), gmac - frozen, None
    if rest <= NOTHING * gmac:
        head_s = 1 / median(rates)
    else:
        images = n.get("train", 0)
        work, seconds = work + rest * images * len(rates), seconds + sum(images / rate for rate in rates)
    speed, overhead = work / seconds, None
    if took is not None and n:
        passed = sum(part["images"] * part["variants"] for part in timed if part.get("computed"))
        passes = _total(config, n, len(rates), kept=passed) / speed
        overhead = max(0.0, took - passes - len(rates) * n.get("train", 0) * (head_s or 0.0))
    keys = tuple(str(part.get("key")) for part in parts)
    return Measured(config.model, kind, config.image_size, gmac, speed / gmac, overhead, head_s, front(config), keys)


def front(config: TrainConfig) -> tuple[object, ...]:
    """The settings that what the frozen part gives may depend on."""
    names = ("data", "split_column", "classes", "task", "label_rule", "image_size", "augment", "model", "weights",
             "trainable_layers", "seed", "precision", "device", "cache")  # fmt: skip
    return tuple(getattr(config, name) for name in names)


def _is_kept(config: TrainConfig, row: Measured) -> bool:
    """Whether this run will find what that one kept."""
    folder = cache_dir() / "features"
    return bool(row.keys) and row.front == front(config) and all(cache.about_of(folder / key) for key in row.keys)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _counts(run: Run) -> dict[str, int]:
    return {str(split): int(n) for split, n in run.samples()["split"].value_counts().items()}


def learn(runs_dir: Path, runs: Iterable[RunSummary], model: str) -> list[Measured]:
    """What the newest finished runs tell, those of `model` first.

    Args:
        runs: the index, newest first.
    """
    finished = [run for run in runs if run.state in ("completed", "stopped") and run.model in MODELS]
    same = [run for run in finished if run.model == model][:READ]
    others = [run for run in finished if run.model != model][:READ]
    found = (measured(runs_dir / run.run_id) for run in (*same, *others))
    return [row for row in found if row is not None]


# --- the estimate ---


def estimate(config: TrainConfig, n: Mapping[str, int], n_classes: int, known: Iterable[Measured],
             slots: Iterable[Slot], *, after_alike: bool = False) -> Estimate:  # fmt: skip
    """What a run will need.

    Args:
        n: images per split.
        known: from `learn`.
        slots: of this machine; the run goes where the queue would put it.
        after_alike: a run with the same `front` is queued before it and will have kept what the frozen part gives.
    """
    place = _place(config.device, slots)
    on_gpu = place is not None and place.is_gpu
    kind = place.title if place is not None and on_gpu else "cpu"
    gmac = _training(config)
    ranked = sorted(((_distance(config, gmac, row), row) for row in known if row.device == kind), key=lambda p: p[0])
    seconds = low = high = None
    known_here = kept_once(config) and (after_alike or any(_is_kept(config, row) for _, row in ranked))
    near = [row for distance, row in ranked[:NEAREST] if distance <= ranked[0][0] + 0.5]
    if near:
        overheads = [row.overhead_s for row in near if row.overhead_s is not None]
        rest = median(overheads) if overheads else 0.0
        passes = _total(config, n, config.epochs, kept=_kept(config, n, known_here)) / median(r.speed for r in near)
        heads = [row.head_s for row in near if row.head_s is not None and row.model == config.model]
        if heads and kept_once(config) and _training(config) - _frozen(config) <= NOTHING * gmac:
            passes += config.epochs * n.get("train", 0) * median(heads)
        spread = min(4.0, SPREAD * 2 ** (0.35 * ranked[0][0]))
        seconds, low, high = passes + rest, passes / spread + rest, passes * spread + rest
    same = bool(near) and all(row.model == config.model for row in near)
    memory = _memory(config, sum(n.values()), n_classes, on_gpu)
    return Estimate(seconds, low, high, len(near), same, memory, on_gpu, _disk(config, n, n_classes), known_here)


def _distance(config: TrainConfig, gmac: float, row: Measured) -> float:
    """How little a run tells about another one: 0 for the same settings, 1 for twice the work per image."""
    return (0.0 if row.model == config.model else 2.0) + abs(math.log2(gmac / row.gmac))


def _sizes(config: TrainConfig, n_classes: int) -> tuple[int, int, int]:
    """Entries of the network, those that learn, and the statistics beside those."""
    network, learns = layers.network(config.model), layers.learning(config)
    head = layers.head_parameters(network.features, config.head, n_classes)
    entries = head + sum(layer.parameters + layer.buffers for layer in network.layers)
    statistics = sum(layer.buffers for layer in network.layers if layer.name in learns)
    return entries, head + sum(learns.values()), statistics


def _moments(config: TrainConfig) -> int:
    """Numbers that the optimizer keeps per parameter."""
    return 2 if config.optimizer != "sgd" else int(config.momentum > 0)


def _memory(config: TrainConfig, images: int, n_classes: int, on_gpu: bool) -> float:
    """Bytes that the process needs at its highest, in the GPU's memory where it has one."""
    rows, learns = layers.network(config.model).layers, layers.learning(config)
    entries, learning, _ = _sizes(config, n_classes)
    number = 2 if on_gpu and config.precision in ("auto", "bf16", "fp16") else NUMBER
    first = next((i for i, layer in enumerate(rows) if layer.name in learns), len(rows))
    kept = sum(layer.values(config.image_size) for layer in rows[first:]) * config.batch_size
    # Where nothing is kept only a layer's inputs and outputs are there at once, of a larger batch in validation.
    widest = max(layer.channels * layer.side(config.image_size) ** 2 for layer in rows)
    batch = min(256, max(1, (4 if on_gpu else 1) * 32 * layers.COUNTED_AT**2 // config.image_size**2))
    passing = 3 * widest * min(batch, 8 * config.batch_size)
    decoded = images * config.image_size**2 * (1 if on_gpu else 2) * (config.cache != "off")
    weights = NUMBER * (entries + learning * (1 + _moments(config)))
    return (CUDA_BYTES if on_gpu else PROCESS_BYTES) + weights + number * max(kept, passing) + decoded


def _disk(config: TrainConfig, n: Mapping[str, int], n_classes: int) -> float:
    """Bytes of the finished run directory: two checkpoints, heat maps, history, tables."""
    entries, learning, statistics = _sizes(config, n_classes)
    stored = entries if config.weights == "none" else learning + statistics
    checkpoints = NUMBER * (2 * stored + _moments(config) * learning)
    side = layers.network(config.model).layers[-1].side(config.image_size)
    explained = n.get("val", 0) + n.get("test", 0)
    maps = 2 * explained * n_classes * side**2
    history = 2 * config.epochs * n.get("val", 0) * n_classes
    return checkpoints + maps + history + PER_SAMPLE_BYTES * sum(n.values()) + SMALL_FILES_BYTES
