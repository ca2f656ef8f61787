"""Where the lungs are in a chest X-ray, found with arithmetic alone: numpy, scipy and Pillow, no network, no weights.

Air is dark, what surrounds it is not. A drawing of two lungs is laid over the picture in many sizes and places, the
best fit (normalised correlation of the picture with "dark inside, bright around") is kept, each lung's box is then
fitted alone, and last each pixel near the outline is given to the side whose grey it has. The shape holds where an
opacity hides the air; the price is that a lung that is white throughout is only guessed.

How good it is, and where it fails, is told in docs/heat-maps.md; `python -m benchmarks.lungs` measures it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import fft, ndimage

__all__ = ["dice", "lungs"]

_GRID = 64  # the fit is done on this many points each way; finer detail is noise to it

# The outlines, in a box that both lungs just fill: x from -1 (left in the picture) to 1, y from 0 (apex) to 1 (angle).
_OUTLINES = (
    "-.36,0 -.24,.03 -.17,.12 -.16,.3 -.19,.45 -.2,.62 -.27,.8 -.3,.87 -.42,.84 -.62,.83 -.8,.88 -.95,.98 -1,.9 "
    "-1,.7 -.96,.5 -.87,.3 -.72,.13 -.54,.02",
    ".36,0 .24,.03 .17,.12 .19,.27 .22,.4 .3,.5 .43,.63 .53,.77 .55,.88 .66,.86 .82,.91 .95,1 1,.9 "
    "1,.7 .96,.5 .87,.3 .72,.13 .54,.02",
)
_WIDTHS = np.linspace(0.5, 1.0, 8)  # of the box, as shares of the picture
_HEIGHTS = np.linspace(0.4, 1.0, 9)


class _Box(NamedTuple):
    """A box in pixels of the grid; edges may lie outside it."""

    left: float
    right: float
    top: float
    bottom: float


def lungs(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lungs of a frontal chest X-ray.

    Args:
        grey: uint8 [S, S], the whole film squashed to a square, air dark.

    Returns:
        bool [S, S]. There is always an answer: of a picture that shows no chest it means nothing.

    Raises:
        ValueError: `grey` is no square of at least 16 x 16 pixels.
    """
    grey = np.asarray(grey)
    if grey.ndim != 2 or grey.shape[0] != grey.shape[1] or len(grey) < 16:
        raise ValueError(f"grey: shape {grey.shape} given, accepted: [S, S] with S of at least 16")
    picture = _flattened(grey)
    whole = _fit(picture)
    sides = [_fit_side(picture, whole, side) for side in range(2)]
    score = np.max([_refined(picture, box, side) for side, box in enumerate(sides)], axis=0)
    found = np.asarray(Image.fromarray(score).resize((len(grey), len(grey)), Image.Resampling.BICUBIC))
    mask: NDArray[np.bool_] = found > 0
    return mask


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """2 |a and b| / (|a| + |b|) of two masks of one shape, 0..1; 1 where both are empty (Dice 1945)."""
    both = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / both if both else 1.0


def _flattened(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The picture on the grid with equal shares of each grey, less the slow change over the film; air is high."""
    small = np.asarray(Image.fromarray(grey).resize((_GRID, _GRID), Image.Resampling.BOX), dtype=np.float32)
    order = small.ravel().argsort(kind="stable")
    rank = np.empty(order.size, np.float32)
    rank[order] = np.linspace(0, 1, order.size, dtype=np.float32)
    level = rank.reshape(small.shape)
    flat: NDArray[np.float32] = 0.6 * ndimage.gaussian_filter(level, _GRID / 5, mode="nearest") - level
    return flat


@lru_cache(maxsize=1)
def _drawings() -> NDArray[np.float32]:
    """Signed distance to each lung's outline [2, 200, 200], > 0 inside, in units of the box's half width.

    Row and column i show y and x of -0.5..1.5 and -2..2: the drawing with a margin of its own size around it.
    """
    side = 200
    drawn = []
    for outline in _OUTLINES:
        points = [tuple(map(float, point.split(","))) for point in outline.split()]
        canvas = Image.new("1", (side, side))
        ImageDraw.Draw(canvas).polygon([((x + 2) / 4 * side, (y + 0.5) / 2 * side) for x, y in points], fill=1)
        inside = np.asarray(canvas)
        distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
        drawn.append(ndimage.gaussian_filter(distance, 1.5) * (4 / side))
    return np.array(drawn, dtype=np.float32)


def _laid(box: _Box, side: int, points: int = _GRID) -> NDArray[np.float32]:
    """The drawing of one lung over `points` x `points` of the film, for the box of both: see `_drawings`."""
    drawing = _drawings()[side]
    n = len(drawing)
    at = (np.arange(points) + 0.5) * (_GRID / points)
    x = ((at - box.left) / (box.right - box.left) * 2 - 1 + 2) / 4 * n
    y = ((at - box.top) / (box.bottom - box.top) + 0.5) / 2 * n
    columns, rows = (np.clip(np.rint(value - 0.5), 0, n - 1).astype(np.intp) for value in (x, y))
    return drawing[rows[:, None], columns]


# Found by trying on phantoms of another seed than those that are measured, and by looking at real films.
_RING = 0.2  # how far around a lung its surroundings count, in half widths of the box
_SIZE_PULL = (1.5, 0.9)  # towards the usual width and height
_OUT_OF_FILM = 0.5
_MOVED = 3.0  # a lung's own box away from that of both
_BLUR = 0.2  # how wide the zone is where a pixel's grey decides, in half widths of the box


def _pattern(distance: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the picture should look like (-1 around, 1 inside, soft at the outline), and where that counts."""
    return np.clip(distance / 0.08, -1, 1), (distance > -_RING).astype(np.float32)


class _Search(NamedTuple):
    """What the search for the best size and place needs of the sizes; every array but the sizes is per shift."""

    sizes: list[tuple[float, float]]
    pattern: NDArray[Any]  # transforms
    support: NDArray[Any]
    n: NDArray[Any]  # points of the pattern that lie on the film
    mean: NDArray[Any]
    deviation: NDArray[Any]
    usual: NDArray[Any]  # what is added to the score: the common sizes and places are likelier


_COARSE = _GRID // 2
_REACH = _COARSE // 4  # the middle of the chest lies in the middle half of the film


def _shifted(spectra: NDArray[Any], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlation of each pattern with the film, for shifts of -_REACH.._REACH: [sizes, 2 _REACH + 1, 2 _REACH + 1]."""
    size = (2 * _COARSE, 2 * _COARSE)
    full = fft.irfft2(spectra * fft.rfft2(values, size), size)
    return np.roll(full, (_REACH, _REACH), (1, 2))[:, : 2 * _REACH + 1, : 2 * _REACH + 1]


@lru_cache(maxsize=1)
def _search() -> _Search:
    sizes = [(float(w), float(h)) for w in _WIDTHS for h in _HEIGHTS if 0.55 <= h / w <= 1.5]
    stacks: tuple[list[Any], ...] = ([], [], [])
    half = _GRID / 2
    for width, height in sizes:
        box = _Box(half - width * half, half + width * half, half - height * half, half + height * half)
        sign, counts = _pattern(np.maximum(_laid(box, 0, _COARSE), _laid(box, 1, _COARSE)))
        for stack, values in zip(stacks, (sign * counts, sign**2 * counts, counts), strict=True):
            stack.append(fft.rfft2(values, (2 * _COARSE, 2 * _COARSE)).conj())
    pattern, squared, support = (np.array(stack, dtype=np.complex64) for stack in stacks)
    film = np.ones((_COARSE, _COARSE), np.float32)
    n = np.maximum(_shifted(support, film), 1)
    mean = _shifted(pattern, film) / n
    deviation = np.sqrt(np.maximum(_shifted(squared, film) / n - mean**2, 1e-6))
    offset = np.arange(-_REACH, _REACH + 1) / _COARSE
    shape = [-_SIZE_PULL[0] * (w - 0.75) ** 2 - _SIZE_PULL[1] * (h - 0.7) ** 2 for w, h in sizes]
    usual = np.array(shape)[:, None, None] - 1.5 * (offset[:, None] + 0.05) ** 2 - 3.0 * offset**2
    # What lies outside the film can't agree; without this a pair twice as large as the chest would fit its dark rim.
    usual = usual - _OUT_OF_FILM * (1 - n / support[:, 0, 0].real[:, None, None])
    return _Search(sizes, pattern, support, n, mean, deviation, usual)


def _fit(picture: NDArray[np.float32]) -> _Box:
    """The size and place of the pair of lungs with the highest correlation, pulled gently towards the usual ones."""
    known = _search()
    coarse = picture.reshape(_COARSE, 2, _COARSE, 2).mean((1, 3))
    mean = _shifted(known.support, coarse) / known.n
    variance = np.maximum(_shifted(known.support, coarse**2) / known.n - mean**2, 1e-6)
    covariance = _shifted(known.pattern, coarse) / known.n - known.mean * mean
    score = covariance / (known.deviation * np.sqrt(variance)) + known.usual
    which, y, x = np.unravel_index(int(score.argmax()), score.shape)
    width, height = known.sizes[which]
    half = _GRID / 2
    across, down = half + 2 * (int(x) - _REACH), half + 2 * (int(y) - _REACH)
    return _Box(across - width * half, across + width * half, down - height * half, down + height * half)


def _agreement(picture: NDArray[np.float32], box: _Box, side: int) -> float:
    pattern, support = _pattern(_laid(box, side))
    counts = support > 0
    t, p = pattern[counts], picture[counts]
    t, p = t - t.mean(), p - p.mean()
    return float(t @ p / np.sqrt(max(float(t @ t) * float(p @ p), 1e-9)))


def _fit_side(picture: NDArray[np.float32], whole: _Box, side: int) -> _Box:
    """The box moved edge by edge so that one lung fits better; a lung may be shorter or narrower than its twin."""
    best, start = whole, np.array(whole)

    def rated(box: _Box) -> float:
        moved = (np.array(box) - start) / _GRID
        outside = max(0.0, -box.top, box.bottom - _GRID, -box.left, box.right - _GRID) / _GRID
        return _agreement(picture, box, side) - _MOVED * float(moved @ moved) - _MOVED * outside

    score = rated(best)
    for step in (4.0, 2.0, 1.0):
        better = True
        while better:
            better = False
            for edge in range(4):
                for change in (-step, step):
                    box = _Box(*(value + change * (i == edge) for i, value in enumerate(best)))
                    if box.right - box.left < 0.35 * _GRID or box.bottom - box.top < 0.3 * _GRID:
                        continue
                    if (new := rated(box)) > score + 1e-4:
                        best, score, better = box, new, True
    return best


def _refined(picture: NDArray[np.float32], box: _Box, side: int) -> NDArray[np.float32]:
    """> 0 where the pixel belongs to the lung: nearness to the outline's inside and its own grey vote together."""
    distance = _laid(box, side)
    core, around = distance > 0.04, (distance < -0.06) & (distance > -_RING)
    if core.sum() < 8 or around.sum() < 8:
        return distance
    air, tissue = float(np.median(picture[core])), float(np.median(picture[around]))
    spread = max(air - tissue, 0.05)
    grey = np.clip((ndimage.gaussian_filter(picture, 0.7) - (air + tissue) / 2) / spread * 2, -1, 1)
    vote = ndimage.gaussian_filter(distance / _BLUR + 0.9 * grey, 0.8)
    pieces, n = ndimage.label(vote > 0)
    if n == 0:
        return distance
    largest = pieces == 1 + int(np.argmax(ndimage.sum_labels(vote > 0, pieces, range(1, n + 1))))
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=2) | largest)
    score: NDArray[np.float32] = np.where(filled, np.maximum(vote, 0.2), np.minimum(vote, -0.2)).astype(np.float32)
    return score
