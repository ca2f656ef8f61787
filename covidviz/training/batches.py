"""From image files to network input: decoding once, the order of the epoch, augmentation, normalisation, the device.

`to_input` is the one place that says how a radiograph is shown to a network; training, inference and CAMs share it.
Every random choice is a function of (seed, epoch, batch), so a resumed run draws the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from covidviz.data.images import decode
from covidviz.errors import DataError
from covidviz.training.mapped import Mapped

__all__ = ["Images", "Pixels", "augment", "epoch_order", "fill", "mirrors", "send", "slices", "to_input"]

# What torchvision's ImageNet weights were trained with (RGB in 0..1).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
FILL = 64 << 20  # bytes that are read at a time on their way to a GPU


def to_input(
    batch: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Network input from grey images: three equal channels, normalised as ImageNet, channels_last.

    Bit for bit what torchvision's ToTensor and Normalize give for the image converted to RGB.

    Args:
        batch: uint8 grey images [B, S, S].

    Returns:
        [B, 3, S, S] of `dtype` on `device`.
    """
    grey = torch.as_tensor(batch).to(device, non_blocking=True).int()
    # A byte has 256 values, so normalising is looking up; the result is already in channels_last order.
    return F.embedding(grey, _table(torch.device(device))).permute(0, 3, 1, 2).to(dtype)


@cache
def _table(device: torch.device) -> Tensor:
    """The three channels of each grey value, float32 [256, 3]."""
    with torch.inference_mode(False):  # it is kept, and must serve training even when inference asked first
        grey = torch.arange(256, dtype=torch.float32).div(255).unsqueeze(1)
        return grey.sub(torch.tensor(MEAN)).div(torch.tensor(STD)).to(device)


def augment(batch: Tensor, how: str, *, seed: int, epoch: int, number: int) -> Tensor:
    """The random changes of a training batch, computed where the batch is.

    Args:
        batch: uint8 grey images [B, S, S].
        how: a name of `covidviz.catalog.AUGMENTATIONS`.
        seed, epoch, number: of the run, the epoch and the batch in it; they decide everything random.

    Returns:
        uint8 [B, S, S].
    """
    if how == "none":
        return batch
    return AUGMENT[how](batch, np.random.default_rng([seed, epoch, number]))


def mirrors(n: int, *, seed: int, epoch: int, number: int) -> NDArray[np.bool_]:
    """Which of a batch's n images the augmentation `flip` mirrors."""
    return _mirrors(n, np.random.default_rng([seed, epoch, number]))


def _mirrors(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    return rng.random(n) < 0.5


def _flip(x: Tensor, rng: np.random.Generator) -> Tensor:
    mirrored = send(_mirrors(len(x), rng), x.device).view(-1, 1, 1)
    return torch.where(mirrored, x.flip(2), x)


def _light(x: Tensor, rng: np.random.Generator) -> Tensor:
    warped = _warp(
        x,
        mirror=rng.choice([-1.0, 1.0], len(x)),
        degrees=rng.uniform(-7, 7, len(x)),
        zoom=rng.uniform(0.95, 1.05, len(x)),
        shift=rng.uniform(-0.05, 0.05, (len(x), 2)),
    )
    brightness, contrast = (
        send(rng.uniform(0.9, 1.1, (len(x), 1, 1, 1)).astype(np.float32), x.device) for _ in range(2)
    )
    mean = warped.mean(dim=(2, 3), keepdim=True)
    return _to_bytes(warped.sub_(mean).mul_(contrast).add_(mean).mul_(brightness))


def _course(x: Tensor, rng: np.random.Generator) -> Tensor:
    side = np.sqrt(rng.uniform(0.8, 1.0, len(x)))
    warped = _warp(
        x,
        mirror=rng.choice([-1.0, 1.0], len(x)),
        degrees=rng.uniform(-10, 10, len(x)),
        zoom=1 / side,
        # the crop may lie anywhere inside the image
        shift=rng.uniform(-0.5, 0.5, (len(x), 2)) * (1 - side)[:, None],
    )
    return _to_bytes(warped)


AUGMENT = {"flip": _flip, "light": _light, "course": _course}


def _warp(
    x: Tensor,
    *,
    mirror: NDArray[np.float64],
    degrees: NDArray[np.float64],
    zoom: NDArray[np.float64],
    shift: NDArray[np.float64],
) -> Tensor:
    """Mirror, turn, enlarge and move each image of uint8 [B, S, S] in one bilinear resampling; black outside.

    Args:
        mirror: 1 or -1, [B]; degrees: [B]; zoom: [B], above 1 enlarges; shift: [B, 2] in image sides (x, y).

    Returns:
        float32 [B, 1, S, S] in 0..255.
    """
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    # Rows of the map from output to input coordinates, which run from -1 to 1.
    theta = np.stack([cos * mirror, -sin, 2 * shift[:, 0], sin * mirror, cos, 2 * shift[:, 1]], axis=1)
    grey = x.unsqueeze(1).float()
    matrices = send(theta.reshape(-1, 2, 3).astype(np.float32), x.device)
    grid = F.affine_grid(matrices, list(grey.shape), align_corners=False)
    return F.grid_sample(grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _to_bytes(x: Tensor) -> Tensor:
    return x.squeeze(1).round_().clamp_(0, 255).to(torch.uint8)


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which the n training images come in an epoch (from 1): a permutation of 0..n-1."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def slices(n: int, batch_size: int) -> list[slice]:
    """0..n in pieces of `batch_size`, the last one as long as what is left."""
    return [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]


def send(values: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on `device`, without waiting for a GPU to finish what it does."""
    tensor = torch.from_numpy(values)
    # Only from pinned memory does a copy overlap with computing.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def fill(tensor: Tensor, read: Callable[[slice], NDArray[Any]]) -> None:
    """Rows of a file into a tensor on a GPU, a piece at a time, so that the process never holds all of them.

    Args:
        tensor: [N, ...] on its device.
        read: gives these rows.
    """
    row = tensor[:1].numel() * tensor.element_size()
    for part in slices(len(tensor), max(1, FILL // max(1, row))):
        tensor[part].copy_(torch.from_numpy(read(part)))


class Images:
    """The grey images of one split: decoded once and mapped, decoded once and held, or decoded whenever asked for."""

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        size: int,
        *,
        decoded: Mapped | NDArray[np.uint8] | None,
        rows: NDArray[np.int64] | None = None,
        device: torch.device | None = None,
        resident: bool = False,
    ) -> None:
        """
        Args:
            root: folder that `paths` are relative to.
            size: side S of the square in pixels.
            decoded: uint8 [M, S, S], or None to decode again each time.
            rows: where in `decoded` the N images are; default: they are all of it, in order.
            device: where batches go; default the CPU.
            resident: keep all of them on `device`, so that no batch has to be copied.
        """
        self.root, self.paths, self.size = root, list(paths), size
        self.device = device if device is not None else torch.device("cpu")
        self._decoded = decoded
        self._rows = np.arange(len(self.paths)) if rows is None else rows
        self._tensor: Tensor | None = None
        if decoded is not None and resident:
            self._tensor = torch.empty((len(self._rows), size, size), dtype=torch.uint8, device=self.device)
            fill(self._tensor, lambda part: self._take(self._rows[part]))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        """These images, uint8 [n, S, S]."""
        if self._decoded is None:
            return self._decode(range(len(self))[part])
        return self._take(self._rows[part])

    def batches(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """One uint8 [len(r), S, S] on the device for each r of `rows`, in that order.

        Raises:
            DataError: an image that could be read before can't be read any more.
        """
        if self._tensor is not None:
            for chosen in rows:
                yield self._tensor.index_select(0, send(chosen, self.device))
            return
        if self._decoded is not None:
            for chosen in rows:
                yield send(self._take(self._rows[chosen]), self.device)
            return
        with ThreadPoolExecutor(1) as ahead:  # decodes the next batch while this one is computed
            coming = ahead.submit(self._decode, rows[0]) if rows else None
            for following in [*rows[1:], None]:
                if coming is None:
                    return
                current = coming.result()
                coming = None if following is None else ahead.submit(self._decode, following)
                yield send(current, self.device)

    def _take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        if isinstance(self._decoded, Mapped):
            return self._decoded.take(rows)
        assert self._decoded is not None
        return self._decoded[rows]

    def _decode(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        images, unreadable = decode(self.root, [self.paths[int(row)] for row in rows], self.size)
        if unreadable:
            raise DataError(f"an image can't be read any more: {unreadable[0][1]}")
        return images


class Pixels:
    """Images as network input: the batches of a network that is not cut."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batches(
        self, rows: Sequence[NDArray[np.int64]], how: str = "none", *, seed: int = 0, epoch: int = 0, first: int = 0
    ) -> Iterator[Tensor]:
        """Network input [len(r), 3, S, S] for each r of `rows`, augmented.

        Args:
            how: augmentation.
            seed, epoch: of the run; `first`: number of the first batch in the epoch.
        """
        for number, batch in enumerate(self.images.batches(rows), start=first):
            changed = augment(batch, how, seed=seed, epoch=epoch, number=number)
            yield to_input(changed, self.images.device)
