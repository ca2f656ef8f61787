"""Numbers that describe a small grey picture, for the simple classifiers of the checks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.align import flatten

__all__ = ["described", "shrunk", "thumbnails"]

BLOCK = 1024


def shrunk(images: np.ndarray, side: int) -> NDArray[np.float32]:
    """[N, n, n] to [N, side, side] by means of squares; n is a multiple of side."""
    factor = images.shape[-1] // side
    shape = (len(images), side, factor, side, factor)
    return images.reshape(shape).mean((2, 4), dtype=np.float32)


def thumbnails(thumbs: np.ndarray, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """The 32 x 32 pixels, each picture's mean 0 and deviation 1. [N, 1024]"""

    def one(images: NDArray[np.float32]) -> NDArray[np.float32]:
        small = shrunk(images, 32).reshape(len(images), -1)
        return (small - small.mean(1, keepdims=True)) / (small.std(1, keepdims=True) + 1)

    return _in_blocks(thumbs, rows, one)


def described(thumbs: np.ndarray, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Coarse greys, coarse greys without slow changes, and histograms of gradient directions. [N, F]

    The last are those of N. Dalal and B. Triggs, CVPR 2005, without overlapping blocks. Each part weighs the same.
    """
    x = _in_blocks(thumbs, rows, _described)
    parts = (256, 256, x.shape[1] - 512)
    weight = np.repeat([1 / np.sqrt(part) for part in parts], parts).astype(np.float32)
    x -= x.mean(0)
    x *= weight / (x.std(0) + 1e-6)
    return x


def _described(images: NDArray[np.float32]) -> NDArray[np.float32]:
    n, cells, directions = len(images), 8, 8
    even = (images - images.mean((1, 2), keepdims=True)) / (images.std((1, 2), keepdims=True) + 1)
    across, down = np.zeros_like(even), np.zeros_like(even)
    across[:, :, 1:-1] = even[:, :, 2:] - even[:, :, :-2]
    down[:, 1:-1] = even[:, 2:] - even[:, :-2]
    size = np.hypot(across, down)
    direction = np.minimum((np.arctan2(down, across) % np.pi) / np.pi * directions, directions - 1).astype(np.int8)
    slopes = [shrunk(np.where(direction == k, size, 0), cells).reshape(n, -1) for k in range(directions)]
    coarse = shrunk(even, 16).reshape(n, -1)
    flat = shrunk(flatten(images, 8), 16).reshape(n, -1)
    return np.concatenate([coarse, flat, *(np.sqrt(one) for one in slopes)], axis=1)


def _in_blocks(
    thumbs: np.ndarray, rows: NDArray[np.intp], one: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    parts = [one(thumbs[rows[at : at + BLOCK]].astype(np.float32)) for at in range(0, len(rows), BLOCK)]
    return np.concatenate(parts)
