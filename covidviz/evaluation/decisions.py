"""What is decided for new images: by the thresholds that were saved with a run, else as the metrics decide. numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidviz.evaluation.metrics import SINGLE, predicted

__all__ = ["decided"]


def decided(prob: ArrayLike, classes: Sequence[str], task: str, thresholds: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which classes each image is called.

    Multi-label: every label with p >= its threshold, .5 where it has none. Single-label without thresholds: the
    likeliest class. With some: the likeliest of those that reach theirs; else the likeliest of those without one; and
    none where every class has a threshold and none is reached.

    Args:
        prob: [N, C] in 0..1. Where one is no number, nothing is decided for the image.
        thresholds: by class; other names are passed over.

    Returns:
        [N, C]; single-label at most one per row.
    """
    p = np.asarray(prob, dtype=np.float64).reshape(-1, len(classes))
    known = np.asarray(np.isfinite(p).all(axis=1, keepdims=True))
    limit = np.array([thresholds.get(name, np.nan) for name in classes], dtype=np.float64)
    given = ~np.isnan(limit)
    if task != SINGLE:
        return (p >= np.where(given, limit, 0.5)) & known
    if not given.any():
        return predicted(np.nan_to_num(p), task).astype(bool) & known
    reached = given & (p >= limit)
    open_to = np.where(reached.any(axis=1, keepdims=True), reached, ~given)
    best = np.where(open_to, p, -1.0).argmax(axis=1)
    calls: NDArray[np.bool_] = np.eye(len(classes), dtype=bool)[best] & open_to
    return calls & known
