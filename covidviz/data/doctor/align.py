"""Laying one small picture over another: is it the same radiograph, in another crop, size or contrast?

Brightness and contrast are taken out locally, then the six numbers of an affine map are fitted by Gauss-Newton steps
(B. D. Lucas and T. Kanade, IJCAI 1981) with Cauchy weights, so that a burned-in letter does not pull. All pairs of a
block at once. numpy and scipy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["correlation", "fit", "flatten"]

Pictures = NDArray[np.float32]  # [P, n, n]


def flatten(images: np.ndarray, width: float) -> Pictures:
    """Without local brightness and contrast: each pixel's distance from its surroundings in their deviations.

    Args:
        images: [N, n, n], 0 to 255. width: of the surroundings, pixels (standard deviation of a Gaussian).
    """
    from scipy.ndimage import gaussian_filter

    x = images.astype(np.float32)
    off = x - gaussian_filter(x, (0, width, width))
    deviation = np.sqrt(gaussian_filter(off * off, (0, width, width)))
    flat = np.clip(off / (deviation + 2), -3, 3)
    return np.asarray(gaussian_filter(flat, (0, 0.7, 0.7)), np.float32)


def fit(a: Pictures, b: Pictures, maps: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Maps under which `b` looks most like `a`, from `maps` on.

    Args:
        a, b: flattened pictures of the same side.
        maps: [P, 6]: u = m0 x + m1 y + m2, v = m3 x + m4 y + m5, where (x, y) is a place in `a` and (u, v) one in
            `b`, both from -1 (left, top) to 1.
    """
    maps = maps.copy()
    x, y = _places(a.shape[-1])
    for _ in range(steps):
        seen, across, down, inside = _sampled(b, maps, x, y)
        rest = (a - seen) * inside
        weight = (inside / (1 + rest**2)).reshape(len(a), 1, -1)
        slopes = np.stack([across * x, across * y, across, down * x, down * y, down], 1).reshape(len(a), 6, -1)
        weighted = slopes * weight
        normal = weighted @ slopes.transpose(0, 2, 1) + np.eye(6, dtype=np.float32)
        step = np.linalg.solve(normal, weighted @ rest.reshape(len(a), -1, 1))[:, :, 0]
        maps += np.clip(step, -0.1, 0.1)
    return maps


def correlation(a: Pictures, b: Pictures, maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How alike `a` and the mapped `b` are where they overlap (-1 to 1), and how much of `a` that is (0 to 1)."""
    x, y = _places(a.shape[-1])
    seen, _, _, inside = _sampled(b, maps, x, y)
    share = inside.mean((1, 2))
    n = inside.sum((1, 2), keepdims=True) + 1e-6
    left = (a - (a * inside).sum((1, 2), keepdims=True) / n) * inside
    right = (seen - (seen * inside).sum((1, 2), keepdims=True) / n) * inside
    below = np.sqrt((left * left).sum((1, 2)) * (right * right).sum((1, 2)))
    return (left * right).sum((1, 2)) / (below + 1e-3), share


def _places(n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    at = ((np.arange(n, dtype=np.float32) + 0.5) * (2 / n) - 1).astype(np.float32)
    return at[None, :], at[:, None]


def _sampled(
    b: Pictures, maps: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> tuple[Pictures, Pictures, Pictures, Pictures]:
    """`b` at the mapped places (bilinear), its slopes there, and 1 where the place is inside the picture."""
    n = b.shape[-1]
    m = maps[:, :, None, None]
    u = (m[:, 0] * x + m[:, 1] * y + m[:, 2] + 1) * (n / 2) - 0.5
    v = (m[:, 3] * x + m[:, 4] * y + m[:, 5] + 1) * (n / 2) - 0.5
    inside = ((u >= 0) & (u <= n - 1) & (v >= 0) & (v <= n - 1)).astype(np.float32)
    u, v = np.clip(u, 0, n - 1.001), np.clip(v, 0, n - 1.001)
    column, row = u.astype(np.int32), v.astype(np.int32)
    fu, fv = u - column, v - row
    at = (row * n + column).reshape(len(b), -1)
    flat = b.reshape(len(b), -1)
    p00, p01, p10, p11 = (np.take_along_axis(flat, at + off, 1).reshape(u.shape) for off in (0, 1, n, n + 1))
    top, bottom = p00 + (p01 - p00) * fu, p10 + (p11 - p10) * fu
    across = ((p01 - p00) * (1 - fv) + (p11 - p10) * fv) * (n / 2)
    return top + (bottom - top) * fv, across, (bottom - top) * (n / 2), inside
