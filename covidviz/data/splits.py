"""Drawing the splits that a dataset does not bring along: stratified, seeded, patients kept together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

__all__ = ["draw_splits"]


def draw_splits(labels: np.ndarray, groups: Sequence[str], shares: dict[str, float], *, seed: int = 0) -> np.ndarray:
    """Deal images into splits so that every class keeps its share and no group is torn apart.

    Groups are dealt per class, the largest first, each to the split that lacks most. A class with as many groups as
    there are splits gets at least one group in each. The result depends on the group names, not on the order of rows.

    Args:
        labels: [N, C] 0/1; a group counts for the rarest class it holds.
        groups: N names, images of one patient share one.
        shares: split name to share of the images, most important first, such as {"train": .7, "val": .15, "test": .15}.

    Returns:
        N split names.
    """
    splits = list(shares)
    names, group_of = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    sizes = np.bincount(group_of, minlength=len(names))
    holds = np.zeros((len(names), labels.shape[1]), bool)
    np.logical_or.at(holds, group_of, labels.astype(bool))
    frequency = np.where(holds, labels.sum(axis=0)[None, :], np.iinfo(np.int64).max)
    stratum = np.where(holds.any(axis=1), frequency.argmin(axis=1), labels.shape[1])
    shuffled = np.array([_key(seed, name) for name in names])
    of_group = np.zeros(len(names), np.int64)
    for s in np.unique(stratum):
        members = np.flatnonzero(stratum == s)
        order = members[np.lexsort((shuffled[members], -sizes[members]))]
        lacks = [share * float(sizes[order].sum()) for share in shares.values()]
        for group in order:
            best = max(range(len(splits)), key=lacks.__getitem__)
            of_group[group] = best
            lacks[best] -= sizes[group]
        for late in range(1, min(len(splits), len(order))):
            if not (of_group[order] == late).any():
                # Too few groups for the shares to reach this split: it gets the smallest one of the fullest split.
                counts = np.bincount(of_group[order], minlength=len(splits))
                of_group[order[of_group[order] == counts.argmax()][-1]] = late
    return np.asarray(splits, dtype=object)[of_group[group_of]]


def _key(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
