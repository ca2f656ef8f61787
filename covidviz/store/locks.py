"""A lock file that the operating system releases when its holder ends, however it ends. Standard library only."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

__all__ = ["Lock"]


class Lock:
    """An exclusive lock on `path`, held until `release`, the end of a `with` block, or the end of the process."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.handle = handle

    @classmethod
    def take(cls, path: Path, wait: float = 0.0) -> Lock | None:
        """The lock, or None when another holder kept it for `wait` seconds.

        The file is made where it is missing and never removed: a removed lock file could be held twice.

        Raises:
            OSError: the folder of `path` is missing or may not be written.
        """
        until = time.monotonic() + wait
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        while True:
            try:
                _lock(handle)
                return cls(path, handle)
            except OSError:
                if time.monotonic() >= until:
                    os.close(handle)
                    return None
            time.sleep(0.05)

    def write(self, text: str) -> None:
        """Replaces the text in the lock file (for people: who holds it)."""
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, text.encode(), 0) if hasattr(os, "pwrite") else os.write(self.handle, text.encode())

    def is_current(self) -> bool:
        """Whether the file is still the one that was locked (false once its folder was deleted)."""
        try:
            there, held = self.path.stat(), os.fstat(self.handle)
        except OSError:
            return False
        return (there.st_ino, there.st_dev) == (held.st_ino, held.st_dev)

    def release(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)  # closing the last descriptor releases it
            self.handle = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _lock(handle: int) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        # Locks one byte far behind the text, which stays readable to others.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
