"""Heat maps as pictures to lay over an X-ray. numpy and Pillow, no torch.

The network sees the whole image squashed to a square, so its map, stretched over the whole image, is in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

__all__ = ["cam_image", "colourise", "common_scale", "overlay"]

# "Plasma" by Nathaniel Smith and Stefan van der Walt (CC0) at 17 equal steps. It is perceptually uniform and, unlike
# inferno or magma, saturated to the end: no colour of it can be taken for bone or lung.
_PLASMA = (
    "0d0887 310597 4c02a1 6600a7 7e03a8 9511a1 aa2395 bc3587 cc4778 da5a6a "
    "e66c5c f0804e f89540 fdac33 fdc527 f8df25 f0f921"
)


def _palette() -> bytes:
    """256 RGBA entries; alpha grows with the value, so that what is cold leaves the X-ray as it is."""
    stops = np.array([list(bytes.fromhex(colour)) for colour in _PLASMA.split()], dtype=np.float64)
    value = np.linspace(0, 1, 256)
    rgb = [np.interp(value, np.linspace(0, 1, len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack([*rgb, 255 * value], axis=1).round().astype(np.uint8).tobytes()


PALETTE = _palette()


def colourise(heat: ArrayLike, size: tuple[int, int]) -> Image.Image:
    """A heat map in colour, smoothly enlarged.

    Args:
        heat: [h, w]; 0 is transparent, 1 and above full colour, what is not finite counts as 0.
        size: (width, height) of the picture.

    Returns:
        RGBA image of that size.
    """
    values = np.nan_to_num(np.asarray(heat, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    levels = Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))
    coloured = levels.resize(size, Image.Resampling.BICUBIC)
    coloured.putpalette(PALETTE, "RGBA")
    return coloured.convert("RGBA")


def common_scale(*scales: ArrayLike) -> float:
    """The raw value that gets full colour when all maps of a run share one scale.

    Args:
        scales: raw maxima [N, C] as logged, one array per split.

    Returns:
        The 99th percentile of all raw maxima above 0, so that one freak map does not dim all others; 1.0 if there
        is none.
    """
    values = np.concatenate([np.asarray(scale, dtype=np.float64).ravel() for scale in scales] or [np.empty(0)])
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.percentile(values, 99)) if len(values) else 1.0


def cam_image(
    maps: NDArray[Any],
    scale: NDArray[Any],
    index: int,
    class_index: int,
    size: tuple[int, int],
    *,
    per_image: bool = False,
    run_scale: float | None = None,
) -> Image.Image:
    """One logged map as an RGBA picture.

    Args:
        maps: [N, C, h, w] in 0..1, as in `cams/<split>.npz`.
        scale: [N, C], the raw maxima (raw map = map x scale).
        index: row of the image.
        class_index: column of the class.
        size: (width, height) of the picture.
        per_image: stretch this map to full colour by itself. It shows where, no longer how much: a map that is
            nearly nothing looks like any other.
        run_scale: the raw value of full colour otherwise, from `common_scale`; default: that of `scale`.
    """
    heat = np.asarray(maps[index, class_index], dtype=np.float32)
    if not per_image:
        heat = heat * (float(scale[index, class_index]) / (run_scale or common_scale(scale)))
    return colourise(heat, size)


def overlay(image: Image.Image, heat: Image.Image, opacity: float = 0.6) -> Image.Image:
    """The X-ray with a heat map of `colourise` on top, as RGB.

    Args:
        image: the X-ray, any mode.
        heat: RGBA, stretched to the size of `image` where it differs.
        opacity: 0 (X-ray only) to 1.
    """
    heat = heat if heat.size == image.size else heat.resize(image.size, Image.Resampling.BICUBIC)
    alpha = heat.getchannel("A").point([round(level * opacity) for level in range(256)])
    base = image.convert("RGB")
    base.paste(heat.convert("RGB"), mask=alpha)
    return base
