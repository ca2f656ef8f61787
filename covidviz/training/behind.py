"""Writing behind the training's back: an epoch is saved while the next one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

__all__ = ["Behind"]


class Behind:
    """One thread that does one thing at a time, so that nothing overtakes what was given before it.

    To be used with `with`: at its end all is done, or has failed.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="covidviz-behind")
        self._last: Future[None] | None = None

    def do(self, call: Callable[[], None]) -> None:
        """Do this soon; first waits for what was given before.

        Raises:
            what the one before raised; then this one is not done.
        """
        self.wait()
        self._last = self._pool.submit(call)

    def wait(self) -> None:
        """Until everything is done.

        Raises:
            what it raised, once.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if kind is None:
            self.wait()
