"""The check `odd-images`: what is no upright frontal chest radiograph like the others, and nearly empty pictures.

The dataset itself says what is usual: its median picture, after slow changes of grey were taken out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.align import Pictures, correlation, fit, flatten
from covidviz.data.doctor.dataset import Dataset, percent, plural
from covidviz.data.doctor.pictures import shrunk
from covidviz.data.doctor.report import LISTED, Check

__all__ = ["odd_images"]

ENOUGH = 30  # images, to know what is usual
BLOCK = 256
INVERTED = -0.4  # correlation with the usual picture
TURNED = 0.2  # correlation with the usual picture turned over, less that with the picture as it is
UNCLEAR = (-0.1, 0.5)  # hardly more like it upright than turned over, and not much like it,
CLEARER = 0.1  # also after laying it over: correlation upright less that turned over
UNLIKE = 0.4  # correlation with the usual picture after laying it over
EMPTY = 4.0  # standard deviation of grey
ASPECT = (0.55, 1.8)  # width by height
SMALL = 180  # pixels of the shorter side
MANY = 0.02


def odd_images(data: Dataset) -> Check:
    """Nearly empty, inverted, upside-down, strangely shaped, very small, or unlike the others (CT slices, laterals)."""
    files, thumbs = data.looks.files, data.looks.thumbs
    readable = data.looks.readable
    reasons: dict[int, str] = {}
    scores: dict[int, float] = {}

    def add(rows: NDArray[np.intp], reason: str, how_odd: np.ndarray) -> None:
        for row, score in zip(rows.tolist(), how_odd.tolist(), strict=True):
            if row not in reasons:
                reasons[row], scores[row] = reason, float(score)

    deviation = np.concatenate([thumbs[at : at + 1024].std((1, 2)) for at in range(0, data.n, 1024)])
    empty = np.flatnonzero(readable & (deviation < EMPTY))
    add(empty, "nearly empty", 10 - deviation[empty])
    usable = np.flatnonzero(readable & (deviation >= EMPTY))
    if len(usable) >= ENOUGH:
        like, turned, laid, clearer = _compared(thumbs, usable)
        for at, reason, score in (
            (like <= INVERTED, "inverted", 5 - like),
            (turned - like >= TURNED, "upside down", 4 + turned - like),
            (clearer <= CLEARER, "unlike the others", 1 - clearer),
            (laid <= UNLIKE, "unlike the others", 1 - laid),
        ):
            add(usable[at], reason, score[at])
    width, height = files["width"].to_numpy(float), files["height"].to_numpy(float)
    aspect = np.divide(width, height, out=np.ones(len(width)), where=height > 0)
    usual = float(np.median(aspect[readable])) if readable.any() else 1.0
    outside = readable & ((aspect < ASPECT[0] * min(1, usual)) | (aspect > ASPECT[1] * max(1, usual)))
    strange = np.flatnonzero(outside)
    add(strange, "strange shape", np.abs(np.log(aspect[strange] / usual)))
    small = np.flatnonzero(readable & (np.minimum(width, height) < SMALL))
    if len(small) <= MANY * data.n:  # a dataset of small images is not odd
        add(small, "very small", np.zeros(len(small)))
    order = sorted(reasons, key=lambda row: -scores[row])
    counts: dict[str, int] = {}
    for row in order:
        counts[reasons[row]] = counts.get(reasons[row], 0) + 1
    details = {
        "reasons": counts,
        "compared": len(usable) >= ENOUGH,
        "rows": [{"reason": reasons[row], "split": data.split(row)} for row in order[:LISTED]],
    }
    if not order:
        few = "" if details["compared"] else f" Fewer than {ENOUGH} images: what is usual can't be told."
        return Check("odd-images", "ok", f"No image stands out.{few}", details=details)
    share = len(order) / data.n
    listed = ", ".join(f"{n:,} {reason}" for reason, n in sorted(counts.items(), key=lambda one: -one[1]))
    return Check(
        "odd-images", "warn" if share >= MANY else "note",
        f"{plural(len(order), 'image')} ({percent(share)}) {'stands' if len(order) == 1 else 'stand'} out: {listed}.",
        "CT slices, lateral views, inverted or upside-down films are learned as noise, or as a sign of the class that "
        "has most of them. Some of these images may be unusual and right.",
        "Look at them; take out what is no frontal chest radiograph, turn over what is upside down.",
        len(order), [data.paths[row] for row in order[:LISTED]], details,
    )  # fmt: skip


def _compared(thumbs: np.ndarray, rows: NDArray[np.intp]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Correlation of each picture with the usual one: as it is, turned over, and after laying it over; and how much
    the last is better than when turned over (1 where that is no question). [N] each."""
    coarse = np.concatenate(
        [shrunk(flatten(thumbs[rows[at : at + BLOCK]], 16), 16) for at in range(0, len(rows), BLOCK)]
    ).reshape(len(rows), -1)
    coarse -= coarse.mean(1, keepdims=True)
    coarse /= np.linalg.norm(coarse, axis=1, keepdims=True) + 1e-6
    some = np.random.default_rng(0).permutation(len(rows))[:4000]
    usual = np.median(coarse[some], 0)
    for _ in range(2):  # without those that are least like it
        near = coarse[some] @ usual
        usual = np.median(coarse[some][near >= np.quantile(near, 0.2)], 0)
    usual = usual / (np.linalg.norm(usual) + 1e-9)
    like, turned = coarse @ usual, coarse @ usual.reshape(16, 16)[::-1].reshape(-1)
    typical = rows[some][like[some] >= np.quantile(like[some], 0.3)][:2000]
    middle = np.median(flatten(shrunk(thumbs[np.sort(typical)], 32), 6), 0)[None].astype(np.float32)
    laid = _laid(thumbs, rows, middle)
    clearer = np.ones(len(rows))
    doubtful = np.flatnonzero((turned - like >= UNCLEAR[0]) & (like <= UNCLEAR[1]))
    clearer[doubtful] = laid[doubtful] - _laid(thumbs, rows[doubtful], middle[:, ::-1])
    return like, turned, laid, clearer


def _laid(thumbs: np.ndarray, rows: NDArray[np.intp], pattern: Pictures) -> np.ndarray:
    """The best correlation of each picture with a pattern [1, 32, 32] that is moved, scaled and slanted. [N]"""
    best = np.full(len(rows), -1.0)
    for at in range(0, len(rows), BLOCK):
        part = slice(at, at + BLOCK)
        pictures: Pictures = flatten(shrunk(thumbs[rows[part]], 32), 6)
        patterns = np.broadcast_to(pattern, pictures.shape)
        for scale in (1.0, 0.8, 1.25):
            start = np.zeros((len(pictures), 6), np.float32)
            start[:, 0] = start[:, 4] = scale
            alike, share = correlation(pictures, patterns, fit(pictures, patterns, start, 10))
            best[part] = np.maximum(best[part], np.where(share > 0.5, alike, -1))
    return best
