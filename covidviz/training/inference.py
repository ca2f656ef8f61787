"""Using a finished run: its best network on new images (`predict`) and on labelled data (`evaluate`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.data.images import check_readable, decode, read_image
from covidviz.data.manifest import Manifest, load_manifest
from covidviz.errors import ConfigError, DataError, DeviceError, InputError, StoreError
from covidviz.evaluation.decisions import decided
from covidviz.evaluation.metrics import classification_metrics, confusion
from covidviz.explain.cam import grad_cam
from covidviz.explain.overlay import colourise, common_scale, overlay
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.thresholds import read_thresholds
from covidviz.training import checkpoint
from covidviz.training.batches import slices, to_input
from covidviz.training.devices import Device, resolve
from covidviz.training.features import Cut, cut, memory_order
from covidviz.training.losses import make_criterion
from covidviz.training.scoring import evaluation_batch, probabilities

__all__ = ["Predictor", "evaluate_run", "load_model", "predict_images"]

Progress = Callable[[int, int], None]

OVERLAY_SIDE = 1024


def load_model(run_dir: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, TrainConfig]:
    """The network of a run's best epoch, in evaluation mode on `device`, and the run's config.

    Raises:
        StoreError: the run has no readable config or no best epoch yet, or its starting weights are another file now.
        WeightsError: its starting weights are gone.
    """
    config = Run(run_dir).config()
    if config is None or not config.classes:
        raise StoreError(f"run {run_dir.name} can't be used: its {layout.CONFIG} can't be read")
    model = checkpoint.rebuild(run_dir / layout.BEST, config, len(config.classes))
    order = memory_order(model, torch.device(device))
    return model.to(device, memory_format=order), config  # type: ignore[call-overload]


@dataclass(frozen=True)
class Predictor:
    """A run's best network where the run would compute, in the run's precision. Only its head asks for gradients."""

    model: nn.Module
    config: TrainConfig
    device: Device

    @classmethod
    def of(cls, run_dir: Path) -> Predictor:
        """
        Raises:
            StoreError, WeightsError: as `load_model`.
        """
        model, config = load_model(run_dir)
        try:
            device = resolve(config)
        except (DeviceError, ConfigError):  # the run was trained on a machine with another device
            device = resolve(config.replace(device="auto", precision="auto"))
        model.to(device.device, memory_format=memory_order(model, device.device))  # type: ignore[call-overload]
        model.requires_grad_(False).get_submodule(MODELS[config.model].head).requires_grad_(True)
        return cls(model, config, device)

    @cached_property
    def parts(self) -> Cut:
        """The network cut before its head."""
        parts = cut(self.model)
        assert parts is not None  # everything before the head is frozen
        return parts

    @property
    def batch(self) -> int:
        """How many images to hand over at once."""
        return evaluation_batch(self.config.image_size, self.device)

    def logits(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, S, S] to [B, C] on the device."""
        with torch.inference_mode(), self.device.autocast():
            logits: Tensor = self.model(to_input(images, self.device.device))
        return logits

    def maps(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw Grad-CAM maps, [B, C, h, w]."""
        layer = MODELS[self.config.model].cam_layer
        x = to_input(images, self.device.device)
        raw: NDArray[np.float32] = grad_cam(self.model, x, range(len(self.config.classes)), layer).cpu().numpy()
        return raw


def predict_images(
    run_dir: Path,
    paths: Sequence[str | Path],
    cam_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Iterator[dict[str, Any]]:
    """What a run's best network says about images. An image that can't be read does not stop the others.

    Args:
        cam_dir: folder (made if missing) for one PNG per image: the radiograph with the heat map of the likeliest
            class, in the colour scale of the run. Files of the same name are replaced.
        on_progress: called with (images done, all).

    Yields:
        One document per image, in order: `path` as given; `prob` {class: p}; `predicted`, the class (single-label) or
        the list of classes (multi-label), as `covidviz.evaluation.decisions.decided` says with the thresholds saved
        with the run; `error` None; with `cam_dir` also `cam`, the file written.
        An image that can't be read has its sentence in `error` and None elsewhere.

    Raises:
        StoreError, WeightsError: as `load_model`, before the first image; `cam_dir` can't be written.
    """
    if cam_dir is not None:
        try:
            cam_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{cam_dir} can't be made: {error.strerror or error}") from None
    thresholds = {name: one.value for name, one in read_thresholds(run_dir).items()}
    overlays = _Overlays(run_dir, cam_dir) if cam_dir else None
    return _predict(Predictor.of(run_dir), thresholds, overlays, paths, on_progress)


def _predict(
    predictor: Predictor,
    thresholds: Mapping[str, float],
    overlays: _Overlays | None,
    paths: Sequence[str | Path],
    on_progress: Progress | None,
) -> Iterator[dict[str, Any]]:
    config = predictor.config
    for part in slices(len(paths), predictor.batch):
        given = [str(path) for path in paths[part]]
        images, unreadable = decode("", given, config.image_size)
        errors = dict(unreadable)
        readable = [row for row in range(len(given)) if row not in errors]
        prob: NDArray[np.float64] = np.zeros((len(given), len(config.classes)))
        maps: dict[int, NDArray[np.float32]] = {}
        if readable:
            prob[readable] = probabilities(predictor.logits(images[readable]), config.task).cpu().numpy()
            if overlays is not None:
                maps = dict(zip(readable, predictor.maps(images[readable]), strict=True))
        decisions = decided(prob, config.classes, config.task, thresholds)
        for row, path in enumerate(given):
            document: dict[str, Any] = {"path": path, "prob": None, "predicted": None, "error": errors.get(row)}
            if overlays is not None:
                document["cam"] = None
            if row not in errors:
                names = [name for name, yes in zip(config.classes, decisions[row], strict=True) if yes]
                document["prob"] = dict(zip(config.classes, prob[row].tolist(), strict=True))
                document["predicted"] = names if config.task != "single-label" else names[0] if names else None
            if overlays is not None and row in maps:
                likeliest = int(prob[row].argmax())
                document["cam"] = str(overlays.write(path, maps[row][likeliest], config.classes[likeliest]))
            if on_progress is not None:
                on_progress(part.start + row + 1, len(paths))
            yield document


class _Overlays:
    """Writes radiographs with heat maps, all in the colour scale of the run."""

    def __init__(self, run_dir: Path, folder: Path) -> None:
        self.folder = folder
        logged = [cams.scale for split in ("val", "test") if (cams := Run(run_dir).cams(split)) is not None]
        self.scale = common_scale(*logged) if logged else None
        self.taken: set[str] = set()

    def write(self, path: str, raw: NDArray[np.float32], class_name: str) -> Path:
        """A PNG named after the image and the class; raw is that class's map [h, w]."""
        full = self.scale or float(raw.max()) or 1.0  # a run without logged maps has no scale: each image its own
        image = read_image(path)
        image.thumbnail((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BILINEAR)
        file = self.folder / self._name(f"{Path(path).stem}-{class_name}")
        try:
            overlay(image, colourise(raw / full, image.size)).save(file)
        except OSError as error:
            raise StoreError(f"{file} can't be written: {error.strerror or error}") from None
        return file

    def _name(self, wanted: str) -> str:
        """A file name that is safe everywhere and new among those of this call, also where case does not count."""
        plain = re.sub(r"[^\w.-]+", "_", wanted, flags=re.ASCII).strip("._")[:100] or "image"
        name, number = plain, 1
        while name.casefold() in self.taken:
            number += 1
            name = f"{plain}-{number}"
        self.taken.add(name.casefold())
        return f"{name}.png"


def evaluate_run(
    run_dir: Path, data: str | Path, split: str = "test", on_progress: Progress | None = None
) -> dict[str, Any]:
    """A run's best network on labelled data, understood with the run's task, classes and label rule.

    The dataset may lack classes and splits that the run knows. Its images of classes that the run does not know are
    left out, as they were when a run was trained on a part of the classes; `notes` says so.

    Args:
        data: dataset folder or labels.csv; that of the run gives the run's own metrics.
        split: train, val, test, or all: every image, whatever its split column says.
        on_progress: called with (images done, all).

    Returns:
        `run_id`, `split`, `n`, `metrics`, `confusion` (the contract of `evaluate`); `unreadable` [{`path`, `error`}];
        `notes` on how the dataset was understood.

    Raises:
        InputError: no such split name.
        DataError: the dataset can't be understood, has no image of the run's classes or of the split, or more than
            1 % of its images can't be read.
        StoreError, WeightsError: as `load_model`.
    """
    accepted = (*layout.SPLITS, "all")
    if split not in accepted:
        raise InputError(f"split: {split!r} given, accepted: {', '.join(accepted)}")
    predictor = Predictor.of(run_dir)
    config = predictor.config
    manifest = _labelled(config, data, split)
    frame = manifest.samples if split == "all" else manifest.samples[manifest.samples["split"] == split]
    if frame.empty:
        there = ", ".join(name for name in layout.SPLITS if (manifest.samples["split"] == name).any())
        raise DataError(f"{data} has no image in {split}, accepted: {there}, all")
    paths = frame["path"].tolist()
    labels = frame[[f"label_{name}" for name in config.classes]].to_numpy(np.int8)
    train = _training_labels(run_dir, config)
    criterion = make_criterion(config, labels if train is None else train, predictor.device.device)
    prob = np.zeros(labels.shape, dtype=np.float32)
    loss = np.zeros(len(labels), dtype=np.float32)
    unreadable: dict[int, str] = {}
    for part in slices(len(paths), predictor.batch):
        images, errors = decode(manifest.root, paths[part], config.image_size)
        unreadable |= {part.start + row: error for row, error in errors}
        logits = predictor.logits(images)
        targets = torch.from_numpy(labels[part].astype(np.float32)).to(predictor.device.device)
        prob[part] = probabilities(logits, config.task).cpu().numpy()
        loss[part] = criterion(logits, targets).cpu().numpy()
        if on_progress is not None:
            on_progress(part.stop, len(paths))
    broken = [(paths[row], error) for row, error in unreadable.items()]
    check_readable(len(paths), broken)
    good = np.array([row not in unreadable for row in range(len(paths))])
    prob, loss, labels = prob[good], loss[good], labels[good]
    return {
        "run_id": run_dir.name,
        "split": split,
        "n": len(labels),
        "metrics": classification_metrics(prob, labels, config.classes, config.task, None if train is None else loss),
        "confusion": confusion(prob, labels, config.classes, config.task),
        "unreadable": [{"path": path, "error": error} for path, error in broken],
        "notes": list(manifest.notes),
    }


def _labelled(config: TrainConfig, data: str | Path, split: str) -> Manifest:
    own = Path(data).expanduser().resolve() == Path(config.data).expanduser().resolve()
    return load_manifest(
        data,
        # Another dataset need not have the run's split column where it does not matter.
        split_column=config.split_column if own or split != "all" else "split",
        classes=config.classes,
        task=config.task,
        label_rule=config.label_rule,
        seed=config.seed,
        strict=own,  # as in training, so that splits which had to be drawn are drawn alike
    )


def _training_labels(run_dir: Path, config: TrainConfig) -> NDArray[np.int8] | None:
    """What the loss takes its class weights from, [N, C]; None where the run's samples are gone."""
    samples = Run(run_dir).samples()
    columns = [f"label_{name}" for name in config.classes]
    if samples is None or not {"split", *columns} <= set(samples.columns):
        return None
    labels: NDArray[np.int8] = samples.loc[samples["split"] == "train", columns].to_numpy(np.int8)
    return labels
