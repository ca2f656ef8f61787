"""Heat maps as pictures to lay over an X-ray. numpy and Pillow, no torch.

The network sees the whole image squashed to a square, so its map, stretched over the whole image, is in place.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

__all__ = ["PALETTES", "cam_image", "colourise", "common_scale", "overlay"]

# By Nathaniel Smith and Stefan van der Walt (CC0), "cividis" by Nunez, Anderton and Renslow (2018), at equal steps.
# All are perceptually uniform and readable without red-green vision; "cividis" looks almost alike with and without.
# The field's "jet" is left out: its bands draw edges where the map has none, and it fails for colour-blind people.
# "Plasma" comes first: unlike inferno it is saturated to the end, so no colour of it can be taken for bone or lung.
PALETTES: dict[str, tuple[str, ...]] = {
    name: tuple(stops.split())
    for name, stops in {
        "plasma": "0d0887 310597 4c02a1 6600a7 7e03a8 9511a1 aa2395 bc3587 cc4778 da5a6a e66c5c f0804e f89540 fdac33 "
        "fdc527 f8df25 f0f921",
        "viridis": "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
        "cividis": "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
        "inferno": "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4",
    }.items()
}


@lru_cache(maxsize=8)
def _palette(name: str) -> bytes:
    """256 RGBA entries; alpha grows with the value, so that what is cold leaves the X-ray as it is."""
    stops = np.array([list(bytes.fromhex(colour)) for colour in PALETTES[name]], dtype=np.float64)
    value = np.linspace(0, 1, 256)
    rgb = [np.interp(value, np.linspace(0, 1, len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack([*rgb, 255 * value], axis=1).round().astype(np.uint8).tobytes()


def colourise(heat: ArrayLike, size: tuple[int, int], colours: str = "plasma") -> Image.Image:
    """A heat map in colour, smoothly enlarged.

    Args:
        heat: [h, w]; 0 is transparent, 1 and above full colour, what is not finite counts as 0.
        size: (width, height) of the picture.
        colours: a name of `PALETTES`.

    Returns:
        Palette image (mode P) of that size: the level 0..255 at each point, and the colours with their alpha.
    """
    values = np.clip(np.nan_to_num(np.asarray(heat, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0), 0, 1)
    wide, high = size
    large = _enlarging(values.shape[0], high) @ (255 * values) @ _enlarging(values.shape[1], wide).T
    large += 0.5  # the cast cuts off
    # Bicubic curves swing beyond their points.
    picture = Image.fromarray(np.clip(large, 0, 255, out=large).astype(np.uint8))
    picture.putpalette(_palette(colours), "RGBA")
    return picture


@lru_cache(maxsize=64)
def _enlarging(n: int, size: int) -> NDArray[np.float32]:
    """[size, n]: Pillow's bicubic filter of n points as a matrix. A map has few points, so the product is quick."""
    points = Image.fromarray(np.eye(n, dtype=np.float32))
    return np.asarray(points.resize((n, size), Image.Resampling.BICUBIC))


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
    colours: str = "plasma",
) -> Image.Image:
    """One logged map as a picture of `colourise`.

    Args:
        maps: [N, C, h, w] in 0..1, as in `cams/<split>.npz`.
        scale: [N, C], the raw maxima (raw map = map x scale).
        index: row of the image.
        class_index: column of the class.
        size: (width, height) of the picture.
        per_image: stretch this map to full colour by itself. It shows where, no longer how much: a map that is
            nearly nothing looks like any other.
        run_scale: the raw value of full colour otherwise, from `common_scale`; default: that of `scale`.
        colours: a name of `PALETTES`.
    """
    heat = np.asarray(maps[index, class_index], dtype=np.float32)
    if not per_image:
        heat = heat * (float(scale[index, class_index]) / (run_scale or common_scale(scale)))
    return colourise(heat, size, colours)


def overlay(image: Image.Image, heat: Image.Image, opacity: float = 0.6) -> Image.Image:
    """The X-ray with a heat map of `colourise` on top, in RGB.

    Args:
        image: the X-ray, any mode.
        heat: of `colourise`, or any RGBA; stretched to the size of `image` where it differs.
        opacity: 0 (X-ray only) to 1.
    """
    if image.mode == "L" and heat.mode == "P" and heat.size == image.size:
        at = np.asarray(heat).astype(np.uint16)
        at <<= 8
        at |= np.asarray(image)
        pixels = _mixed(bytes(heat.palette.palette), opacity).take(at)  # type: ignore[union-attr]
        return Image.frombuffer("RGBX", image.size, pixels, "raw", "RGBX", 0, 1).convert("RGB")
    heat = heat.convert("RGBA")
    heat = heat if heat.size == image.size else heat.resize(image.size, Image.Resampling.BICUBIC)
    alpha = heat.getchannel("A").point([round(level * opacity) for level in range(256)])
    base = image.convert("RGB")
    base.paste(heat.convert("RGB"), mask=alpha)
    return base


@lru_cache(maxsize=4)
def _mixed(palette: bytes, opacity: float) -> NDArray[np.uint32]:
    """What each level over each grey gives, as RGBX [256 x 256]: there are no more colours than these."""
    colours = np.frombuffer(palette, dtype=np.uint8).reshape(256, 1, 4).astype(np.float32)
    grey = np.arange(256, dtype=np.float32).reshape(1, 256, 1)
    share = colours[..., 3:] / 255 * opacity
    rgbx = np.full((256, 256, 4), 255, dtype=np.uint8)
    rgbx[..., :3] = ((1 - share) * grey + share * colours[..., :3]).round()
    return rgbx.view(np.uint32).ravel()
