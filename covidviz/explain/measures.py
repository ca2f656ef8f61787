"""Heat maps as numbers: which share of the heat lies in the lungs, on the border, in the corners, on the lesion.

A share means little without what it would be if the heat were spread evenly: the share of the area. So each measure
comes with its chance level. numpy only.

The heat is the map of the target layer (7 x 7, say), enlarged to `GRID` x `GRID` points with straight lines between the
centres of its cells, as the overlay shows it nearly. Enlarging is linear, so a mask can be shrunk instead of every map
enlarged: share = <map, P' mask P> / <map, P' 1 P>.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BORDER", "CORNER", "MEASURES", "Mean", "Measures", "area", "border_mask", "corner_mask", "enlarged", "mean_of",
    "measure",
]  # fmt: skip

BORDER = 0.10  # of the side, along each edge
CORNER = 0.20  # of the side: four squares

# What is measured, in the order to show it.
MEASURES = ("lungs", "border", "corners", "lesion", "pointing")

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Measures:
    """Shares of the heat of N images and C classes, 0..1; not a number where there is no heat or no mask.

    lungs, border, corners: share of the heat there, [N, C].
    lesion: share of the heat on the lesion ("relevance mass accuracy", Arras et al. 2022), of images that have one.
    pointing: 1 where the hottest point lies on the lesion, else 0 ("pointing game", Zhang et al. 2018, no tolerance).
    chance: the same for heat spread evenly, which is the share of the area: {measure: [N]}.
    """

    lungs: Values
    border: Values
    corners: Values
    lesion: Values
    pointing: Values
    chance: dict[str, Values]

    def of(self, name: str) -> Values:
        """One of `MEASURES`, [N, C]."""
        values: Values = getattr(self, name)
        return values


def border_mask(grid: int) -> NDArray[np.bool_]:
    """The outer tenth of the side along each edge: 36 % of the area."""
    inner = np.zeros((grid, grid), bool)
    edge = round(BORDER * grid)
    inner[edge : grid - edge, edge : grid - edge] = True
    return ~inner


def corner_mask(grid: int) -> NDArray[np.bool_]:
    """Squares of a fifth of the side in the four corners: 16 % of the area."""
    near = np.zeros(grid, bool)
    side = round(CORNER * grid)
    near[:side] = near[grid - side :] = True
    return near[:, None] & near[None, :]


def measure(
    maps: NDArray[Any], lungs: NDArray[np.bool_] | None, lesions: NDArray[np.bool_] | None, grid: int = 80
) -> Measures:
    """Measure heat maps.

    Args:
        maps: [N, C, h, w], >= 0, each in any scale; what is not finite counts as no heat.
        lungs: [N, grid, grid]; an image whose mask is nowhere true is not measured. None: none is.
        lesions: the same for lesions.

    Raises:
        ValueError: the shapes don't fit together.
    """
    if maps.ndim != 4:
        raise ValueError(f"maps: shape {maps.shape} given, accepted: [N, C, h, w]")
    n, c, h, w = maps.shape
    for name, masks in (("lungs", lungs), ("lesions", lesions)):
        if masks is not None and masks.shape != (n, grid, grid):
            raise ValueError(f"{name}: shape {masks.shape} given, accepted: {(n, grid, grid)}")
    heat = np.nan_to_num(maps.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    down, across = _enlarge(h, grid), _enlarge(w, grid)
    total = np.einsum("nchw,hw->nc", heat, np.outer(down.sum(0), across.sum(0)), optimize=True)

    def share(masks: NDArray[np.bool_]) -> Values:
        shrunk = down.T @ masks.astype(np.float32) @ across  # [n or 1, h, w]
        inside = np.einsum("nchw,nhw->nc", heat, np.broadcast_to(shrunk, (n, h, w)), optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Values = np.where(total > 0, inside / total, np.nan).astype(np.float32)
        return values.clip(0, 1)

    def known(masks: NDArray[np.bool_] | None) -> tuple[Values, Values]:
        """Shares and areas, not a number where there is no mask."""
        if masks is None or not n:
            return np.full((n, c), np.nan, np.float32), np.full(n, np.nan, np.float32)
        areas = area(masks)
        return np.where(areas[:, None] > 0, share(masks), np.nan), np.where(areas > 0, areas, np.nan)

    lung, lung_area = known(lungs)
    lesion, lesion_area = known(lesions)
    border, corners = border_mask(grid), corner_mask(grid)
    chance = {
        "lungs": lung_area,
        "border": np.full(n, border.mean(), np.float32),
        "corners": np.full(n, corners.mean(), np.float32),
        "lesion": lesion_area,
        "pointing": lesion_area,
    }
    pointing = np.where(np.isnan(lesion), np.nan, _pointed(heat, lesions, grid)) if lesions is not None else lesion
    return Measures(lung, share(border[None]), share(corners[None]), lesion, pointing.astype(np.float32), chance)


def area(masks: NDArray[np.bool_]) -> Values:
    """The share of the picture that each mask [N, g, g] covers."""
    shares: Values = masks.mean(axis=(1, 2), dtype=np.float32)
    return shares


def _pointed(heat: Values, masks: NDArray[np.bool_], grid: int) -> Values:
    """Whether the hottest point of each map lies on its mask; computed only for images that have one."""
    n, c, h, w = heat.shape
    down, across = _enlarge(h, grid), _enlarge(w, grid)
    found = np.zeros((n, c), np.float32)
    for i in np.flatnonzero(masks.any(axis=(1, 2))):
        large = down @ heat[i] @ across.T  # [C, grid, grid]
        found[i] = masks[i].ravel()[large.reshape(c, -1).argmax(1)]
    return found


def enlarged(heat: ArrayLike, grid: int = 80) -> Values:
    """One map [h, w] on `grid` x `grid` points, as it is measured."""
    values = np.asarray(heat, np.float32)
    large: Values = (_enlarge(values.shape[0], grid) @ values @ _enlarge(values.shape[1], grid).T).astype(np.float32)
    return large


@lru_cache(maxsize=16)
def _enlarge(cells: int, grid: int) -> Values:
    """[grid, cells]: straight lines between the centres of cells, flat beyond the outermost (align_corners=False)."""
    at = (np.arange(grid) + 0.5) * cells / grid - 0.5
    low = np.clip(np.floor(at), 0, cells - 1).astype(np.intp)
    high = np.minimum(low + 1, cells - 1)
    share = np.clip(at - low, 0, 1)
    weights = np.zeros((grid, cells), np.float32)
    np.add.at(weights, (np.arange(grid), low), 1 - share)
    np.add.at(weights, (np.arange(grid), high), share)
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class Mean:
    """The mean of `n` values, and the 95 % interval of it; `low` and `high` are None where too few are known."""

    value: float
    low: float | None
    high: float | None
    n: int


FEWEST = 8  # patients below which no interval is told: the normal approximation would be a pretence


def mean_of(values: ArrayLike, patients: ArrayLike | None = None) -> Mean | None:
    """The mean of those values that are numbers; None where none is.

    The interval is mean +- 1.96 standard errors, clipped to 0..1. Images of one patient resemble each other, so the
    standard error is the cluster-robust one (Liang and Zeger 1986): se^2 = G / (G - 1) * sum over patients of
    (sum of x - mean)^2 / n^2. All values equal: no interval.

    Args:
        values: [n] in 0..1.
        patients: [n], whose image it is; None: each its own.
    """
    x = np.asarray(values, dtype=np.float64)
    good = np.isfinite(x)
    x = x[good]
    if not len(x):
        return None
    mean = float(x.mean())
    groups = np.arange(len(x)) if patients is None else np.unique(np.asarray(patients)[good], return_inverse=True)[1]
    sums = np.bincount(groups, weights=x - mean)
    square = len(sums) / max(1, len(sums) - 1) * float(sums @ sums) / len(x) ** 2
    if len(sums) < FEWEST or square <= 1e-18:
        return Mean(mean, None, None, len(x))
    reach = 1.959964 * square**0.5
    return Mean(mean, max(0.0, mean - reach), min(1.0, mean + reach), len(x))
