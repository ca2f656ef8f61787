"""Ten epochs of (a) the head, (b) head and last block, (c) everything, against the plain torchvision script.

A few images are trained on, and the times are those of `MANY` images: what grows with the images is multiplied, what
does not (weights, checkpoints, logs) is added once. The plain script is measured for one epoch and multiplied alone,
its start for free. Heat maps are left out, as it makes none.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.gates.dataset import write_images
from benchmarks.gates.phases import Times, train
from benchmarks.gates.plain import LAST_BLOCK, Plain, apart, network
from benchmarks.gates.row import Part, Row, Settings, in_turn, missing, quiet, ratio, seconds
from covidviz.store import layout
from covidviz.training.devices import cpu_has_bf16

MANY, EPOCHS = 6200, 10
NO_BF16 = "not on this CPU: it has no bf16 arithmetic"
TRAINABLE = {"head": "head", "all": "all"}
MODES = {
    "exact": {"cache": "exact", "precision": "fp32"},
    "fast": {"cache": "auto", "precision": "fp32"},
    "bf16": {"cache": "auto", "precision": "bf16"},
}


@dataclass(frozen=True)
class Size:
    """Images of train and val, pairs of measurements, and how many of the ten epochs are trained; the others cost as
    much as the last one."""

    train: int
    val: int
    pairs: int
    epochs: int


SIZES = {  # quick, full
    ("resnet18", "head"): (Size(64, 16, 2, 10), Size(256, 64, 5, 10)),
    ("resnet18", "block"): (Size(48, 16, 2, 2), Size(192, 64, 5, 4)),
    ("resnet18", "all"): (Size(24, 8, 2, 2), Size(128, 32, 5, 2)),
    ("vgg16", "head"): (Size(12, 4, 2, 3), Size(64, 16, 5, 10)),
    ("vgg16", "block"): (Size(12, 4, 2, 2), Size(64, 16, 5, 4)),
    ("vgg16", "all"): (Size(6, 3, 2, 2), Size(32, 8, 5, 2)),
}


class Bench:
    """Images, weights and folders for the trainings of one network."""

    def __init__(self, settings: Settings, name: str, size: Size, *, jpeg: tuple[int, int] = (512, 512)) -> None:
        self.name, self.size, self.folder = name, size, settings.folder
        self.data = settings.folder / f"data-{size.train}-{size.val}-{jpeg[0]}"
        if not self.data.exists():
            write_images(self.data, size.train, size.val, jpeg)
        self.weights = random_weights(settings.folder, name)
        self._numbers = itertools.count()

    def train(self, trainable: str, mode: str, *, caches: Path | None = None, **more: Any) -> Times:
        """One training of covidviz; without `caches` it begins with nothing known."""
        if caches is None:
            caches = self.folder / f"cache-{self.name}-{trainable}-{mode}-{next(self._numbers)}".replace(":", "-")
        values = {"model": self.name, "weights": str(self.weights), "trainable": trainable, "epochs": self.size.epochs}
        return train(self.data, caches, self.folder / "runs", **{**values, **MODES[mode], "device": "cpu", **more})


def random_weights(folder: Path, name: str) -> Path:
    """Starting weights from scratch as a file, the frozen part only."""
    file = folder / f"{name}.safetensors"
    if not file.exists():
        torch.manual_seed(0)
        state = network(name, "all").state_dict()
        save_file({key: value for key, value in state.items() if not key.startswith(("fc.", "classifier."))}, file)
    return file


def for_many(times: Times, size: Size) -> float:
    """Seconds of ten epochs on `MANY` images."""
    further = EPOCHS - size.epochs
    evaluation, metrics = (statistics.median(times.calls[name]) for name in ("evaluation", "metrics"))
    growing = times.total - times.fixed + further * (times.calls["steps"][-1] + evaluation + 2 * metrics)
    return times.fixed + further * times.writing() + growing * MANY / (size.train + size.val)


def case(name: str, what: str) -> Part:
    """The rows of a network (resnet18, vgg16) and a case (head, block, all)."""

    def rows(settings: Settings) -> Iterator[Row]:
        size = SIZES[name, what][0 if settings.quick else 1]
        bench = Bench(settings, name, size)
        trainable = {"block": f"from:{LAST_BLOCK[name]}"}.get(what, what)
        many = MANY / (size.train + size.val)
        modes = ["fast"] if what == "all" else ["exact", "fast"]
        if settings.quick and what != "all":
            modes = ["exact"]
        if cpu_has_bf16():
            modes = ["exact" if what != "all" else "fast", "bf16"]

        def measured(mode: str) -> Callable[[], float]:
            return lambda: for_many(bench.train(trainable, mode), size)

        def epoch(mode: str) -> Callable[[], float]:
            def call() -> float:
                times = bench.train("all", mode)
                return (times.calls["steps"][1] + times.calls["evaluation"][1]) * many  # the first warms up

            return call

        unit = 1 if what == "all" else EPOCHS
        ours = epoch if what == "all" else measured
        plain = apart(bench.data, name, what, workers=settings.workers)
        taken = in_turn([*map(ours, modes), lambda: unit * many * plain()], size.pairs)
        letter = {"head": "(a)", "block": "(b)", "all": "(c)"}[what]
        span = "an epoch without its checkpoint" if what == "all" else "10 epochs"
        note = f"for {MANY:,} images, from {size.train + size.val}"
        for number, mode in enumerate(modes):
            gate = _gate(name, what, mode)
            item = f"{letter} {name}, {span}, {'fp32' if what == 'all' and mode == 'fast' else mode}"
            yield ratio(item, [(row[number], row[-1]) for row in taken], gate, note)
        if "bf16" not in modes:
            yield Row(f"{letter} {name}, {span}, bf16", gate=_gate(name, what, "bf16"), why=NO_BF16)

    return rows


def _gate(name: str, what: str, mode: str) -> str:
    if what == "all":
        return "all bf16" if mode == "bf16" else "all fp32"
    if mode == "fast":
        return ""
    return f"{what} {mode}" if what == "head" else f"{what} {name} {mode}"


def exactness(settings: Settings) -> Iterator[Row]:
    """With and without the caches: the same trained weights."""
    for name in ("resnet18", "vgg16"):
        bench = Bench(settings, name, Size(6, 3, 1, 2), jpeg=(256, 256))
        exact = bench.train("head", "exact", batch_size=4, image_size=128)
        without = bench.train("head", "exact", batch_size=4, image_size=128, cache="off")
        a, b = (load_file(times.run_dir / layout.BEST) for times in (exact, without))
        difference = max(float((a[key] - b[key]).abs().max()) for key in a)
        note = f"{len(a)} tensors, 2 epochs of 9 images in batches of 4 and 2"
        yield Row(f"(a) {name}, exact, largest difference of the head", difference, gate="head difference", note=note)


def steady(settings: Settings) -> Iterator[Row]:
    """(a) on many images whose frozen part is known: an epoch, a further run, and what is written in an epoch.

    A head's epoch does not depend on the size of the images, so those here have 64 px and their frozen part is quick;
    the plain script's epoch is that of 224 px.
    """
    n = settings.size(2000, MANY)
    size = Size(n * 4 // 5, n // 5, 1, EPOCHS)
    bench = Bench(settings, "resnet18", size, jpeg=(64, 64))
    small = Size(48, 12, 1, 1)
    few = Bench(settings, "resnet18", small).data
    caches = settings.folder / "cache-steady"
    mode = "bf16" if cpu_has_bf16() else "fast"
    bench.train("head", mode, caches=caches, image_size=64)
    runs: list[Times] = []

    def ours() -> float:
        runs.append(bench.train("head", mode, caches=caches, image_size=64))
        return runs[-1].total

    plain = apart(few, "resnet18", "head", workers=settings.workers)
    plain()
    taken = in_turn([ours, lambda: plain() * n / (small.train + small.val)], settings.pairs(3))
    note = f"{n:,} images; the plain script from {small.train + small.val}"
    runs.sort(key=lambda times: times.epoch())
    epochs = [(times.epoch(), epoch) for times, (_, epoch) in zip(runs, taken, strict=True)]
    yield ratio("(a) resnet18, steady epoch", epochs, "head epoch", note)
    yield ratio("(a) resnet18, 10 epochs on a known cache", [(a, EPOCHS * b) for a, b in taken], "head again", note)
    writing, whole = (statistics.median(values) for values in ([t.writing() for t in runs], [t.epoch() for t in runs]))
    scale = MANY / n  # writing does not grow with the images, or hardly
    share = writing / (writing + (whole - writing) * scale)
    what = "metrics, curves, status, history, best and last weights"
    note = f"of an epoch of {MANY:,} images, from {1000 * whole:.0f} ms for {n:,}; {what}"
    yield Row("checkpoint and log, share of a cached epoch", share, writing, gate="checkpoint", note=note)


def peers(settings: Settings) -> Iterator[Row]:
    """(a) an epoch of the plain script's images with fastai and Lightning: no gate, as neither keeps features."""
    size = Size(*((12, 6) if settings.quick else (128, 32)), 3, 1)
    bench = Bench(settings, "resnet18", size)
    plain = Plain(bench.data, "resnet18", "head", workers=settings.workers)
    plain.epoch()
    for tool, module, make in (("Lightning", "lightning", by_lightning), ("fastai", "fastai", by_fastai)):
        item = f"(a) resnet18, an epoch: plain script / {tool}"
        if why := missing(module):
            yield Row(item, why=why)
            continue
        with quiet():
            call = make(bench.data, settings)
            call()
            calls = [partial(seconds, plain.epoch), partial(seconds, call)]
            pairs = in_turn(calls, settings.pairs(2))
        yield ratio(item, pairs, note=f"{size.train + size.val} images, the same network")


def by_lightning(data: Path, settings: Settings) -> Callable[[], object]:
    import lightning
    from torch.nn import functional as F

    plain = Plain(data, "resnet18", "head", workers=settings.workers)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = plain.model

        def training_step(self, batch: Any, _: int) -> Any:
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD((p for p in self.parameters() if p.requires_grad), lr=1e-2, momentum=0.9)

    def call() -> None:
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(Module(), plain.train, plain.val)

    return call


def by_fastai(data: Path, settings: Settings) -> Callable[[], object]:
    import fastai.callback.progress  # noqa: F401 (gives the learner its no_bar)
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from torch.nn import functional as F

    plain = Plain(data, "resnet18", "head", workers=settings.workers)
    learner = Learner(DataLoaders(plain.train, plain.val), plain.model, loss_func=F.cross_entropy, metrics=accuracy)

    def call() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, 1e-2)

    return call
