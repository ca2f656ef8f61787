"""A file as an array whose rows are read when they are wanted, without filling the process's memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mapped"]

RELEASE = 256 << 20  # bytes read before the process lets go of the pages; the system keeps them as its file cache


class Mapped:
    """Rows of a file of numbers, as a read-only memory map."""

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
        self._map: np.memmap[Any, Any] = np.memmap(path, dtype, "r", shape=shape)
        self._row = self._map[:1].nbytes
        self._read = 0

    def __len__(self) -> int:
        return len(self._map)

    @property
    def nbytes(self) -> int:
        return int(self._map.nbytes)

    def take(self, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
        """A copy of these rows."""
        found: NDArray[Any] = np.array(self._map[rows])
        self._read += len(found) * self._row
        if self._read >= RELEASE:
            self._read = 0
            whole = self._map._mmap  # type: ignore[attr-defined]
            if hasattr(whole, "madvise"):
                whole.madvise(mmap.MADV_DONTNEED)
        return found

    def all(self) -> NDArray[Any]:
        """A copy of everything."""
        return np.array(self._map)
