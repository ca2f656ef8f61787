"""Probabilities and losses of images: a network in evaluation mode, and never an augmented image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from covidviz.training.batches import Pixels, send, slices
from covidviz.training.devices import Device
from covidviz.training.features import Features
from covidviz.training.losses import Criterion

__all__ = ["evaluate", "evaluation_batch", "probabilities"]


def probabilities(logits: Tensor, task: str) -> Tensor:
    """float32 [N, C]: softmax over the classes, or the sigmoid of each."""
    return logits.float().softmax(dim=1) if task == "single-label" else logits.float().sigmoid()


def evaluate(
    forward: Callable[[Tensor], Tensor],
    inputs: Pixels | Features,
    labels: NDArray[np.int8],
    criterion: Criterion,
    task: str,
    device: Device,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities and losses of all images in order, never augmented.

    Args:
        forward: from a batch of `inputs` to logits, in evaluation mode.
        labels: 0/1, [N, C].
        batch_size: images at once, such as `evaluation_batch`.
        on_progress: called with (images done, N).

    Returns:
        (float32 [N, C], float32 [N]).
    """
    n = len(inputs)
    parts = slices(n, batch_size)
    targets = send(labels.astype(np.float32), device.device)
    prob, loss = torch.zeros_like(targets), torch.zeros(n, device=device.device)
    batches = inputs.batches([np.arange(part.start, part.stop) for part in parts])
    with torch.inference_mode():
        for part, batch in zip(parts, batches, strict=True):
            with device.autocast():
                logits = forward(batch)
            prob[part], loss[part] = probabilities(logits, task), criterion(logits, targets[part])
            if on_progress is not None:
                on_progress(part.stop, n)
    return prob.cpu().numpy(), loss.cpu().numpy()


def evaluation_batch(image_size: int, device: Device) -> int:
    """Images at once where nothing is kept for a backward pass; VGG-16 then needs about 1 GB on the CPU."""
    pixels = (4 if device.device.type == "cuda" else 1) * 32 * 224**2
    return max(1, min(256, pixels // image_size**2))
