"""X-rays and heat maps as small WebP pictures. Written anew, so nothing that a file says beside its pixels is kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covidviz.data.images import read_image
from covidviz.errors import DataError
from covidviz.explain.explained import explained
from covidviz.explain.overlay import colourise, common_scale, overlay
from covidviz.paths import dataset_root
from covidviz.store import layout
from covidviz.store.reader import Run

__all__ = ["HeatMaps", "Picture", "dataset_name", "laid_over", "xray"]

SIDE = 256  # pixels of the longer side
HEAT_SIDE = 112
OPACITY = 0.55


@dataclass(frozen=True)
class Picture:
    """An X-ray (None where its file can't be shown) with its heat map, both WebP, and what stands below it.

    right: whether it was decided rightly, None where nothing was decided. alt: what it is, in words.
    """

    xray: bytes | None
    width: int
    height: int
    lines: tuple[str, ...]
    alt: str
    heat: bytes | None = None
    right: bool | None = None


class HeatMaps:
    """The heat maps of a run by sample id: those it logged, and those made later on somebody's wish."""

    def __init__(self, run: Run) -> None:
        self._maps: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        logged = {split: run.cams(split) for split in layout.SPLITS}
        made = {split: explained(run, split) for split in layout.SPLITS}
        first = [one for one in logged.values() if one is not None] or [one for one in made.values() if one is not None]
        self.full = common_scale(*(one.scale for one in first))
        self.method = first[0].method if first else ""
        self.layer = first[0].layer if first else ""
        self.splits = tuple(split for split in layout.SPLITS if logged[split] or made[split])
        for one in (*made.values(), *logged.values()):
            if one is not None:
                for row, name in enumerate(one.sample_id):
                    self._maps[str(name)] = one.maps[row], one.scale[row]

    def drawn(self, sample_id: str, label: int, size: tuple[int, int]) -> bytes | None:
        """The map of one class in colour, RGBA WebP; None where there is none. All of a run share one scale."""
        found = self._maps.get(sample_id)
        if found is None or not 0 <= label < len(found[1]):
            return None
        maps, scale = found
        heat = np.asarray(maps[label], dtype=np.float32) * (float(scale[label]) / self.full)
        small = max(1, round(size[0] * HEAT_SIDE / max(size))), max(1, round(size[1] * HEAT_SIDE / max(size)))
        return _webp(colourise(heat, small).convert("RGBA"), 60)


def xray(data: str, path: str) -> tuple[bytes, tuple[int, int]] | None:
    """The image at `path` (relative to the dataset `data`) as grey WebP of at most `SIDE` pixels, and its size.

    None where it is missing, lies outside the dataset, or can't be read.
    """
    root = dataset_root(data)
    try:
        file = (root / path).resolve()
        if not (file.is_relative_to(root) and file.is_file()):
            return None
        image = read_image(file)
    except (DataError, OSError, ValueError):
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _webp(image.convert("RGB"), 76), image.size


def laid_over(picture: Picture, opacity: float = OPACITY) -> Image.Image | None:
    """The X-ray with its heat map, as one picture; None without an X-ray."""
    if picture.xray is None:
        return None
    image = Image.open(io.BytesIO(picture.xray)).convert("RGB")
    if picture.heat is None:
        return image
    return overlay(image, Image.open(io.BytesIO(picture.heat)).convert("RGBA"), opacity)


def dataset_name(data: str) -> str:
    """What the dataset is called, without where it lies."""
    return dataset_root(data).name or Path(data).name


def _webp(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()
