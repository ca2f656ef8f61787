"""Grad-CAM (Selvaraju et al. 2017): where in the image a class draws its evidence from.

The network is cut after the target layer. The part before it runs without gradient, so a frozen backbone and in-place
ReLUs are no obstacle; the part after it runs once and is differentiated once per class. No hook is set, no `.grad` is
filled, and the train flags are as before afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.training.batches import to_input
from covidviz.training.features import Features
from covidviz.training.models import sequence

__all__ = ["CamWriter", "Step", "chunks", "cut_after", "explaining", "grad_cam", "log_cams", "normalised"]

# The part before the target layer needs some 10 MB per image of 224 px; in chunks of this many pixels its memory stays
# the same for every batch size. Larger chunks are faster on a GPU only.
CHUNK_PIXELS = 4 * 224 * 224
CHUNK_PIXELS_GPU = 32 * 224 * 224


Step = tuple[str, Callable[[Tensor], Tensor]]


class Sliceable(Protocol):
    """Images that are read piece by piece: an array, or `covidviz.training.batches.Images`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> NDArray[np.uint8]: ...


class CamWriter(Protocol):
    """The one method of `covidviz.store.writer.RunWriter` that is needed here."""

    def cams(
        self,
        split: str,
        sample_id: Sequence[str],
        classes: Sequence[str],
        maps: NDArray[np.float16],
        scale: NDArray[np.float32],
        method: str,
        layer: str,
    ) -> None: ...


def grad_cam(model: nn.Module, x: Tensor, classes: Sequence[int], layer: str) -> Tensor:
    """Raw Grad-CAM maps, always in fp32 and evaluation mode.

    The map of class c is ReLU(sum over channels k of w_k A_k), where A is the output of the target layer and w_k the
    spatial mean of the gradient of logit c with respect to A_k. In evaluation mode the images of a batch do not
    influence each other, so one gradient of the summed logit serves them all.

    Args:
        model: a network of `covidviz.training.models.build`, in any mode, frozen or not. It is left as it was.
        x: [B, 3, H, W], normalised, on the model's device.
        classes: indices of the wanted logits.
        layer: name of the target layer: a step of `covidviz.training.models.sequence`.

    Returns:
        float32 [B, len(classes), h, w], >= 0, where h x w is the target layer's grid.

    Raises:
        ConfigError: the model has no such step.
    """
    prefix, suffix = cut_after(model, layer)
    with explaining(model, x.device):
        return torch.cat([_maps(chunk, classes, prefix, suffix) for chunk in chunks(x)])


def cut_after(model: nn.Module, layer: str) -> tuple[list[Step], list[Step]]:
    """The steps of the network up to and with the target layer, and those after it.

    Raises:
        ConfigError: the model has no such step.
    """
    steps = sequence(model)
    names = [name for name, _ in steps]
    if layer not in names:
        raise ConfigError(f"layer: {layer!r} given, accepted: {', '.join(names)}")
    cut = names.index(layer) + 1
    return steps[:cut], steps[cut:]


def chunks(x: Tensor) -> tuple[Tensor, ...]:
    """`x` [B, 3, H, W] as float32 in parts whose memory does not grow with B."""
    pixels = CHUNK_PIXELS if x.device.type == "cpu" else CHUNK_PIXELS_GPU
    return x.float().split(max(1, pixels // (x.shape[-1] * x.shape[-2])))


@contextmanager
def explaining(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode and fp32 whatever surrounds it; the model is left as it was, also after an error."""
    with _evaluating(model), torch.inference_mode(False), torch.autocast(device.type, enabled=False):
        yield


def _maps(x: Tensor, classes: Sequence[int], prefix: Sequence[Step], suffix: Sequence[Step]) -> Tensor:
    with torch.no_grad():
        for _, step in prefix:
            x = step(x)
    activation = x.detach().requires_grad_()
    with torch.enable_grad():
        # An in-place ReLU right after the target layer may write into the clone, never into the activation.
        logits = activation.clone()
        for _, step in suffix:
            logits = step(logits)
        gradients = [
            torch.autograd.grad(logits[:, c].sum(), activation, retain_graph=True)[0].mean((2, 3)) for c in classes
        ]
    weights = torch.stack(gradients, dim=1)
    return torch.einsum("bck,bkhw->bchw", weights, activation.detach()).relu_()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module has its own flag again (frozen BatchNorm may differ from the rest)."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


def normalised(raw: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Raw maps [N, C, h, w], >= 0, as they are kept: in 0..1 of their own maximum, and that maximum [N, C].

    A map that is 0 everywhere stays 0.
    """
    scale = raw.max(axis=(2, 3))
    top = np.where(scale > 0, scale, 1)[:, :, None, None]
    return (raw / top).astype(np.float16), scale


def log_cams(
    model: nn.Module,
    config: TrainConfig,
    split: str,
    sample_ids: Sequence[str],
    images: Sliceable,
    writer: CamWriter,
    device: torch.device | str,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    known: Features | None = None,
    at: str = "",
) -> None:
    """Grad-CAM of every class for all images of a split, to `cams/<split>.npz`. An empty split writes nothing.

    Besides the result (2 x N x classes x h x w bytes) it needs the memory of one batch.

    Args:
        model: on `device`.
        config: resolved; its classes are those of the logits, its model says the target layer.
        images: [N, S, S] grey, as decoded for the network.
        on_progress: called with (images done, N).
        known: what goes into the step `at` of the network for each image, float32; saves what lies before that step.
    """
    layer = MODELS[config.model].cam_layer
    total, n_classes = len(images), len(config.classes)
    steps = sequence(model)
    names = [name for name, _ in steps]
    cut = names.index(layer) + 1
    maps: NDArray[np.float16] | None = None
    scale = np.zeros((total, n_classes), dtype=np.float32)
    for start in range(0, total, 32):
        if known is not None:
            x = next(known.batches([np.arange(start, min(start + 32, total))]))
            with explaining(model, x.device):
                raw = _maps(x, range(n_classes), steps[names.index(at) : cut], steps[cut:]).cpu().numpy()
        else:
            x = to_input(torch.from_numpy(np.ascontiguousarray(images[start : start + 32])), device, torch.float32)
            raw = grad_cam(model, x, range(n_classes), layer).cpu().numpy()
        if maps is None:
            maps = np.zeros((total, n_classes, *raw.shape[2:]), dtype=np.float16)
        part = slice(start, start + len(raw))
        maps[part], scale[part] = normalised(raw)
        if on_progress is not None:
            on_progress(part.start + len(raw), total)
    if maps is not None:
        writer.cams(split, sample_ids, config.classes, maps, scale, method="grad-cam", layer=layer)
