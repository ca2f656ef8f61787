"""The frozen front of a network, run once instead of in every epoch of every run.

Everything before the first step that learns gives the same output for the same image in every epoch, as long as the
image is not changed by a random augmentation other than mirroring (then there are two outputs). That output is kept in
the cache, and only the rest of the network is trained. `exact` features come bit for bit from the same computation as
without a cache; `fast` ones from the network with its BatchNorms folded into its convolutions, which differs by
rounding (docs/performance.md tells what that does to the metrics: nothing that can be seen).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from covidviz.errors import StoreError
from covidviz.store import cache
from covidviz.training.batches import Images, fill, mirrors, send, slices, to_input
from covidviz.training.devices import Device, training_order
from covidviz.training.folding import fold, folds
from covidviz.training.mapped import Mapped
from covidviz.training.models import sequence

__all__ = ["CACHEABLE", "Cut", "Features", "cut", "cut_after", "features", "memory_order"]

CACHEABLE = ("none", "flip")  # augmentations with so few variants of an image that all of them can be kept
VERSION = 2
FILE = "features.bin"
CHUNK = 4 << 20  # bytes of features that are taken from the file at a time, where a batch has less
FEW = 3  # images; in smaller batches some of torch's convolutions round otherwise
# What a memory map can hold, by what the network computes in: numpy knows no bfloat16.
STORED: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: np.int16,
}

Step = tuple[str, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Cut:
    """A network cut before its first step that learns: `front` is frozen, `rest` is trained."""

    front: Sequence[Step]
    rest: Sequence[Step]

    @property
    def where(self) -> str:
        """The name of the first step after the cut."""
        return self.rest[0][0]

    def whole(self, x: Tensor) -> Tensor:
        """Both parts: from network input to logits."""
        return self.forward(self.before(x))

    def forward(self, x: Tensor) -> Tensor:
        """The trained part: from features to logits."""
        return _through(self.rest, x)

    def before(self, x: Tensor) -> Tensor:
        """The frozen part: from network input to features, the same for an image in every batch."""
        n = len(x)
        if n < FEW:
            x = torch.cat([x, x[:1].expand(FEW - n, *x.shape[1:])])
        return _through(self.front, x)[:n]


def _through(steps: Sequence[Step], x: Tensor) -> Tensor:
    for _, step in steps:
        x = step(x)
    return x


def cut(model: nn.Module) -> Cut | None:
    """Where a network of `covidviz.training.models.build` can be cut; None where nothing before the cut computes."""
    steps = sequence(model)
    return _cut(steps, next(i for i, (_, step) in enumerate(steps) if _learns(step)))


def memory_order(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Of the weights of a network that learns as `model` says. Where a part is frozen, a training batch has to compute
    in it what is computed for the cache; inference computes as the run did."""
    return torch.channels_last if cut(model) is not None else training_order(device)


def cut_after(model: nn.Module, layer: str) -> Cut | None:
    """The network cut right after a step of it; None where something up to there learns."""
    steps = sequence(model)
    end = [name for name, _ in steps].index(layer) + 1
    return None if any(_learns(step) for _, step in steps[:end]) else _cut(steps, end)


def _cut(steps: Sequence[Step], at: int) -> Cut | None:
    front = steps[:at]
    if not any(isinstance(step, nn.Module) and next(step.parameters(), None) is not None for _, step in front):
        return None
    return Cut(front, steps[at:])


def _learns(step: object) -> bool:
    return isinstance(step, nn.Module) and any(p.requires_grad for p in step.parameters())


class Features:
    """What the frozen part gives for the images of one split, as batches for the rest."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        *,
        seconds: float | None = None,
    ) -> None:
        """
        Args:
            path: the file in its cache entry.
            shape: (variants, images, ...) of the file; with four dimensions per image batch the last is the channel.
            device: where batches go; all features stay there where they fit.
            seconds: what computing them took, whenever that was; None where unknown.
        """
        self.dtype, self.device, self.seconds = dtype, device, seconds
        self.key, self.variants = path.parent.name, shape[0]
        self.bytes = math.prod(shape) * np.dtype(STORED[dtype]).itemsize
        self._mapped = Mapped(path, STORED[dtype], (shape[0] * shape[1], *shape[2:]))
        self._n = shape[1]
        self._row = self.bytes // max(1, shape[0] * shape[1])
        self._resident: Tensor | None = None
        if device.type == "cuda" and self.bytes < torch.cuda.mem_get_info(device)[0] // 4:
            stored = torch.int16 if dtype == torch.bfloat16 else dtype
            resident = torch.empty((shape[0] * shape[1], *shape[2:]), dtype=stored, device=device)
            fill(resident, self._mapped.take)
            self._resident = resident.view(dtype)

    def __len__(self) -> int:
        return self._n

    def batches(
        self, rows: Sequence[NDArray[np.int64]], how: str = "none", *, seed: int = 0, epoch: int = 0, first: int = 0
    ) -> Iterator[Tensor]:
        """As `Pixels.batches`, but features: [len(r), C, h, w] or [len(r), C] for each r of `rows`."""
        places = [
            chosen + self._n * mirrors(len(chosen), seed=seed, epoch=epoch, number=number) if how == "flip" else chosen
            for number, chosen in enumerate(rows, start=first)
        ]
        for batch in self._resident_batches(places) if self._resident is not None else self._read_batches(places):
            # Back to channels first, in the memory order in which the network computes.
            yield batch.permute(0, 3, 1, 2) if batch.ndim == 4 else batch

    def _resident_batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        assert self._resident is not None
        for place in places:
            yield self._resident.index_select(0, send(place, self.device))

    def _read_batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Small batches are read several at a time: finding one row costs more than copying it."""
        first = 0
        while first < len(places):
            last, taken = first + 1, len(places[first])
            while last < len(places) and (taken + len(places[last])) * self._row <= CHUNK:
                taken += len(places[last])
                last += 1
            found = self._tensor(self._mapped.take(np.concatenate(places[first:last])))
            yield from found.split([len(place) for place in places[first:last]])
            first = last

    def rows_of(self, size: int) -> int:
        """How many images' features take so many bytes."""
        return max(1, size // max(1, self._row))

    def everything(self, *, copy: bool) -> Tensor:
        """All features on the CPU in the order of the file, [N, ...]; without `copy` they stay in the file."""
        values = self._mapped.all() if copy else self._mapped.view()
        tensor = torch.from_numpy(values)
        return tensor.view(torch.bfloat16) if self.dtype == torch.bfloat16 else tensor

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        tensor = send(values, self.device)
        return tensor.view(torch.bfloat16) if self.dtype == torch.bfloat16 else tensor


def features(
    parts: Cut,
    images: Images,
    content: str,
    device: Device,
    how: str,
    batch: int,
    tell: Callable[[int, int], None],
    *,
    fast: bool = False,
) -> tuple[Features, bool]:
    """The features of a split, from the cache or computed now (the second value says which: True for now).

    Args:
        parts: of the network on the device, in evaluation mode up to the cut.
        content: key of the images' content and size.
        how: augmentation, one of `CACHEABLE`.
        batch: images at once.
        tell: called with (images done, all); what it raises stops the work.
        fast: with BatchNorm folded into the convolutions.

    Raises:
        StoreError: they do not fit on the disk or within the limit of the cache.
    """
    variants = 2 if how == "flip" else 1
    sample = _compute(partial(_through, parts.front), next(images.batches([np.zeros(1, np.int64)])), device)
    shape = (variants, len(images), *sample.shape[1:])
    needed = math.prod(shape) * sample.element_size()
    if needed > cache.room():
        raise StoreError(f"the frozen part's output needs {needed / 1e9:.1f} GB, more than the cache may take")
    fast = fast and folds(parts.front)
    of = (VERSION, torch.__version__, content, _fingerprint(parts), sample.dtype, device.device.type, shape)
    text = "\n".join(map(str, (*of, "folded") if fast else of))
    key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    about: dict[str, Any] = {"images": len(images), "variants": variants, "before": parts.where,
                             "shape": list(sample.shape[1:])}  # fmt: skip

    def build(folder: Path) -> None:
        began = time.monotonic()
        total = variants * len(images)
        computing = Cut(fold(parts.front), parts.rest) if fast else parts
        with (folder / FILE).open("wb") as file:
            for variant in range(variants):
                parts_of = slices(len(images), batch)
                pixels = images.batches([np.arange(part.start, part.stop) for part in parts_of])
                for part, grey in zip(parts_of, pixels, strict=True):
                    given = grey.flip(2) if variant else grey
                    out = _compute(computing.before, given, device).cpu()
                    stored = out.view(torch.int16) if out.dtype == torch.bfloat16 else out
                    file.write(stored.numpy().data)  # numpy's tofile would not say that the disk is full
                    tell(variant * len(images) + part.stop, total)
        about["seconds"] = round(time.monotonic() - began, 3)

    path, new = cache.obtain("features", key, needed=needed, about=about, build=build, waiting=lambda: tell(0, 1))
    seconds = about.get("seconds") if new else cache.about_of(path).get("seconds")
    known = float(seconds) if isinstance(seconds, int | float) else None
    return Features(path / FILE, shape, sample.dtype, device.device, seconds=known), new


def _compute(frozen: Callable[[Tensor], Tensor], grey: Tensor, device: Device) -> Tensor:
    """uint8 [B, S, S] to features with the channel last, [B, h, w, C] or [B, C]."""
    with torch.inference_mode(), device.autocast():
        out = frozen(to_input(grey, device.device))
    return (out.permute(0, 2, 3, 1) if out.ndim == 4 else out).contiguous()


def _fingerprint(parts: Cut) -> str:
    """The frozen part: what its steps are called and every value in them."""
    total = hashlib.blake2b(digest_size=16)
    for name, step in parts.front:
        total.update(f"{name} {step if isinstance(step, nn.Module) else ''}\n".encode())
        if isinstance(step, nn.Module):
            for key, tensor in step.state_dict().items():
                total.update(key.encode())
                total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
