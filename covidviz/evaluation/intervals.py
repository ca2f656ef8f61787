"""How sure a measured share is, given how many samples it was measured on."""

from __future__ import annotations

from statistics import NormalDist
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["wilson"]


@overload
def wilson(hits: float, n: float, level: float = 0.95) -> tuple[float, float]: ...
@overload
def wilson(hits: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def wilson(hits: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[object, object]:
    """Wilson's score interval of the proportion `hits` / `n`: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.

    Args:
        hits: how many of the `n` samples count, 0..n; a number or an array. A recall times its support, for example.
        n: number of samples; where it is 0 nothing is known and the interval is 0..1.
        level: how often such an interval holds the true proportion, in (0, 1).

    Returns:
        Lower and upper end in 0..1: two floats for two numbers, else two float64 arrays of their common shape.

    Raises:
        ValueError: `hits` outside 0..n, `n` negative, or `level` not between 0 and 1.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    if not 0 < level < 1:
        raise ValueError(f"level: {level} given, accepted: between 0 and 1")
    k, total = np.broadcast_arrays(np.asarray(hits, np.float64), np.asarray(n, np.float64))
    if not (np.all(total >= 0) and np.all(k >= 0) and np.all(k <= total)):
        raise ValueError(f"hits: {k} of n = {total} given, accepted: 0 <= hits <= n")
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    share = k / np.maximum(total, 1)
    middle = (share * total + z2 / 2) / (total + z2)
    half = np.sqrt(z2) / (total + z2) * np.sqrt(share * (1 - share) * total + z2 / 4)
    # Exact at the ends, where rounding would leave 1e-17.
    low = np.where(k == 0, 0.0, np.clip(middle - half, 0, 1))
    high = np.where(k == total, 1.0, np.clip(middle + half, 0, 1))
    return (float(low), float(high)) if low.ndim == 0 else (low, high)
