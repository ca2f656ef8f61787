"""A file as an array whose rows are read when they are wanted, without filling the process's memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mapped"]

RELEASE = 256 << 20  # bytes mapped before the process lets go of the pages; the system keeps them as its file cache
AROUND = 64 << 10  # Linux maps what lies around a wanted page too, if it is in the file cache: up to so many bytes


class Mapped:
    """Rows of a file of numbers, as a read-only memory map."""

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
        self._map: np.memmap[Any, Any] = np.memmap(path, dtype, "r", shape=shape)
        self._rows: NDArray[Any] = self._map.view(np.ndarray)  # without what numpy does for each piece of a memmap
        self._row = self._rows[:1].nbytes
        self._read = 0

    def __len__(self) -> int:
        return len(self._map)

    @property
    def nbytes(self) -> int:
        return int(self._map.nbytes)

    def take(self, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
        """A copy of these rows."""
        found: NDArray[Any] = self._rows[rows].copy() if isinstance(rows, slice) else self._rows.take(rows, axis=0)
        self._read += len(found) * self._row + AROUND if isinstance(rows, slice) else len(rows) * (self._row + AROUND)
        if self._read >= RELEASE and self.nbytes > RELEASE:
            self._read = 0
            whole = self._map._mmap  # type: ignore[attr-defined]
            if hasattr(whole, "madvise"):
                whole.madvise(mmap.MADV_DONTNEED)
        return found

    def view(self) -> NDArray[Any]:
        """Everything, read from the file when it is looked at; not to be written to."""
        return self._map

    def all(self) -> NDArray[Any]:
        """A copy of everything."""
        return np.array(self._map)
