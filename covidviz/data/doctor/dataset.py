"""What every check is given: the dataset, its labels, splits and patients, and what its images look like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.looks import Looks
from covidviz.data.layouts import SPLITS
from covidviz.data.manifest import Manifest

__all__ = ["Dataset", "joined", "percent", "plural"]


@dataclass(frozen=True)
class Dataset:
    """A manifest, and the look at its images where they were looked at; rows of both are the same images."""

    manifest: Manifest
    looks: Looks

    @property
    def n(self) -> int:
        return len(self.manifest.samples)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @cached_property
    def paths(self) -> list[str]:
        return [str(path) for path in self.manifest.samples["path"]]

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """[N, C], 0 or 1."""
        return self.manifest.labels()

    @cached_property
    def single(self) -> bool:
        """Whether each image has exactly one label."""
        return bool((self.labels.sum(axis=1) == 1).all())

    @cached_property
    def splits(self) -> NDArray[np.intp]:
        """[N]: 0 train, 1 val, 2 test."""
        number = {split: i for i, split in enumerate(SPLITS)}
        return np.array([number[str(split)] for split in self.manifest.samples["split"]], np.intp)

    def split(self, row: int) -> str:
        return SPLITS[self.splits[row]]

    def split_counts(self) -> dict[str, int]:
        """Images per split that has some."""
        return {split: n for i, split in enumerate(SPLITS) if (n := int((self.splits == i).sum()))}

    def column(self, name: str) -> list[str] | None:
        """A column as text, empty where unknown; None where there is none or nothing in it."""
        if name not in self.manifest.samples:
            return None
        values = self.manifest.samples[name]
        text = [str(value) if known else "" for value, known in zip(values, values.notna(), strict=True)]
        return text if any(text) else None

    @cached_property
    def patients(self) -> NDArray[np.intp]:
        """A number per patient, [N]; an image without patient_id is a patient of its own."""
        ids = self.column("patient_id") or [""] * self.n
        names = [f"p{one}" if one else f"i{path}" for one, path in zip(ids, self.paths, strict=True)]
        return np.unique(names, return_inverse=True)[1].reshape(-1)

    def label_of(self, row: int) -> str:
        """`covid19`, or `covid19 and pneumonia`, or `no label`."""
        has = [name for name, label in zip(self.classes, self.labels[row], strict=True) if label]
        return " and ".join(has) or "no label"

    @property
    def evaluated(self) -> int:
        """Images of val and test."""
        return int((self.splits > 0).sum())


def joined(n: int, pairs: list[tuple[int, int]], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Groups merged where a pair of rows ties them together (union-find), numbered from 0. [N]"""
    parent = list(range(int(groups.max()) + 1 if n else 0))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for a, b in pairs:
        parent[root(int(groups[a]))] = root(int(groups[b]))
    return np.unique([root(int(group)) for group in groups], return_inverse=True)[1].reshape(-1)


def plural(n: int, one: str, more: str | None = None) -> str:
    """`1 image`, `1,200 images`."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def percent(share: float) -> str:
    """`12 %`, `0.4 %`, `< 0.1 %`."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share:.1%}".replace("%", " %") if share < 0.0995 and share else f"{share:.0%}".replace("%", " %")
