"""The same radiograph more than once: candidates among all pairs, then a closer look at each of them.

Candidates: every picture, whole and cropped in the middle and mirrored, is described by a few whitened principal
components of its flattened thumbnail; whitening takes out what all chests share. Pairs whose descriptions point the
same way are laid over each other at 32 and 64 pixels, then at 128 and 256, read from the files again, and what still
correlates is the same radiograph: two films of one patient agree in the bones, but not in what is fine. Memory is
bounded, all pairs are compared in blocks of one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.align import correlation, fit, flatten
from covidviz.data.doctor.pictures import shrunk
from covidviz.data.images import decode

__all__ = ["SAME", "Twin", "near_twins"]

SAME = 0.88  # correlation at 256 px from which two pictures are the same radiograph; measured: docs/data-doctor.md
# What is cut off each side of one of the two, and whether it is mirrored. The first is the picture as it is.
VARIANTS = ((0.0, False), (0.04, False), (0.08, False), (0.12, False), (0.0, True))
ALIKE = 0.5  # cosine of two descriptions that makes them candidates
PER_IMAGE = 4  # candidates of one image and variant
MOST = 40_000  # candidates in all, and 2 per image beyond that
KEPT = (0.86, 0.9, 0.82)  # correlation at 32, 64 and 128 px to be looked at closer
OVERLAP = 0.4
BLOCK = 1024
PAIRS = 128  # laid over each other at once
SIZE, COMPONENTS = 12, 64
FEW = 256  # images: components of so few would be the images themselves, they are not whitened
FINE = 256

Tell = Callable[[float], None]


@dataclass(frozen=True)
class Twin:
    """Rows `a` < `b` show the same radiograph; `alike` is their correlation at 256 px, `mirrored` left for right."""

    a: int
    b: int
    alike: float
    mirrored: bool


def near_twins(
    thumbs: np.ndarray, root: Path, paths: list[str], *, leave: Sequence[int] = (), tell: Tell | None = None
) -> list[Twin]:
    """Every pair of images that is the same radiograph, most alike first.

    Args:
        thumbs: uint8 [N, 64, 64]; flat ones are left out.
        root, paths: of the images, to read candidates again.
        leave: rows to leave out, such as exact copies of others.
        tell: called with the share that is done.
    """
    tell = tell or (lambda share: None)  # noqa: ARG005
    varied = np.zeros(len(thumbs), bool)
    for start in range(0, len(thumbs), BLOCK):
        varied[start : start + BLOCK] = thumbs[start : start + BLOCK].std((1, 2)) > 2
    varied[list(leave)] = False
    rows = np.flatnonzero(varied)
    if len(rows) < 2:
        return []
    pairs, maps = _candidates(thumbs, rows, lambda share: tell(0.5 * share))
    pairs, maps = _closer(thumbs, pairs, maps, KEPT[0], 32, lambda share: tell(0.5 + 0.2 * share))
    pairs, maps = _closer(thumbs, pairs, maps, KEPT[1], 64, lambda share: tell(0.7 + 0.15 * share))
    found = []
    for start in range(0, len(pairs), PAIRS):
        part = slice(start, start + PAIRS)
        at, inverse = np.unique(pairs[part], return_inverse=True)
        images, _ = decode(root, [paths[i] for i in at], FINE)
        ends = inverse.reshape(-1, 2)
        half = flatten(shrunk(images, FINE // 2), 4)
        fitted = fit(half[ends[:, 0]], half[ends[:, 1]], maps[part], 6)
        kept = np.flatnonzero(correlation(half[ends[:, 0]], half[ends[:, 1]], fitted)[0] >= KEPT[2])
        # One pair at a time: at this size a block would take half a gigabyte.
        for k in kept.tolist():
            (i, j), fine = pairs[start + k].tolist(), flatten(images[ends[k]], 4)
            one = fit(fine[:1], fine[1:], fitted[k : k + 1], 6)
            value, overlap = (float(x[0]) for x in correlation(fine[:1], fine[1:], one))
            if value >= SAME and overlap >= OVERLAP:
                found.append(Twin(i, j, min(value, 1.0), bool(one[0, 0] < 0)))
        tell(0.85 + 0.15 * (start + PAIRS) / len(pairs))
    return sorted(found, key=lambda twin: -twin.alike)


def _candidates(thumbs: np.ndarray, rows: NDArray[np.intp], tell: Tell) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Pairs of rows (a < b), [P, 2], and from where to lay b over a, [P, 6]."""
    shrink = [_shrinking(*variant) for variant in VARIANTS]
    small = np.empty((len(VARIANTS), len(rows), SIZE * SIZE), np.float32)
    for start in range(0, len(rows), BLOCK):
        flat = flatten(thumbs[rows[start : start + BLOCK]], 5)
        for k, (across, down) in enumerate(shrink):
            small[k, start : start + len(flat)] = (down @ flat @ across.T).reshape(len(flat), -1)
    described = [_unit(one) for one in small]
    if len(rows) > FEW:
        middle = small[0].mean(0)
        values, vectors = np.linalg.eigh(np.cov((small[0] - middle).astype(np.float64), rowvar=False))
        order = np.argsort(values)[::-1][:COMPONENTS]
        order = order[values[order] > 1e-6 * values.max()]
        white = (vectors[:, order] / np.sqrt(values[order])).astype(np.float32)
        described = [_unit((one - middle) @ white) for one in small]
    found: dict[tuple[int, int], tuple[float, tuple[float, bool]]] = {}
    done = 0
    for k, variant in enumerate(VARIANTS):
        for start in range(0, len(rows), BLOCK):
            alike = described[k][start : start + BLOCK] @ described[0].T
            _take(alike, start, rows, variant, found)
            done += 1
            tell(min(1.0, done * BLOCK / (len(VARIANTS) * len(rows))))
    best = sorted(found.items(), key=lambda item: -item[1][0])[: max(MOST, 2 * len(rows))]
    pairs = np.array([pair for pair, _ in best], np.intp).reshape(-1, 2)
    maps = np.zeros((len(best), 6), np.float32)
    for row, (_, (_, (margin, mirrored))) in enumerate(best):
        scale = 1 - 2 * abs(margin)
        scale = 1 / scale if margin > 0 else scale
        maps[row, 0], maps[row, 4] = (-scale if mirrored else scale), scale
    return pairs, maps


def _take(
    alike: np.ndarray,
    start: int,
    rows: NDArray[np.intp],
    variant: tuple[float, bool],
    found: dict[tuple[int, int], tuple[float, tuple[float, bool]]],
) -> None:
    margin, mirrored = variant
    own = np.arange(len(alike))
    alike[own, start + own] = -1
    at, other = np.nonzero(alike >= ALIKE)
    values = alike[at, other]
    # The best of each row.
    order = np.lexsort((-values, at))
    at, other, values = at[order], other[order], values[order]
    rank = np.arange(len(at)) - np.searchsorted(at, at)
    for i, j, value in zip(*(x[rank < PER_IMAGE].tolist() for x in (at, other, values)), strict=True):
        one, two = int(rows[start + i]), int(rows[j])
        pair = (min(one, two), max(one, two))
        if pair not in found or value > found[pair][0]:
            # The cropped one is what the other shows: the sign tells which of the two was cropped.
            found[pair] = (value, (margin if one < two else -margin, mirrored))


def _closer(
    thumbs: np.ndarray,
    pairs: NDArray[np.intp],
    maps: NDArray[np.float32],
    kept: float,
    side: int,
    tell: Tell,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Those of the pairs that still correlate at `side` pixels, and how they lie over each other."""
    good, better = [], []
    for start in range(0, len(pairs), PAIRS):
        part = pairs[start : start + PAIRS]
        at, inverse = np.unique(part, return_inverse=True)
        images = thumbs[at].astype(np.float32)
        flat = flatten(shrunk(images, side), side / 16)
        a, b = (flat[inverse.reshape(-1, 2)[:, k]] for k in (0, 1))
        fitted = fit(a, b, maps[start : start + PAIRS], 8)
        alike, share = correlation(a, b, fitted)
        keep = (alike >= kept) & (share >= OVERLAP)
        good.append(part[keep])
        better.append(fitted[keep])
        tell((start + PAIRS) / len(pairs))
    if not good:
        return pairs, maps
    return np.concatenate(good), np.concatenate(better)


def _shrinking(margin: float, mirrored: bool, side: int = 64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrices [SIZE, side] that shrink a row (a column) of the middle of a picture to SIZE points."""
    wide = (1 - 2 * margin) * side / SIZE
    at = margin * side + (np.arange(SIZE) + 0.5) * wide - 0.5
    weight = np.clip(1 - np.abs(np.arange(side)[None, :] - at[:, None]) / wide, 0, None)
    down = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return (down[::-1] if mirrored else down), down


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
