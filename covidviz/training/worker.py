"""The training process: `python -m covidviz.training.worker RUN_DIR`, or `work` in the process of the command line.

Starts a run, or goes on with it where there is a last.pt. Whatever happens, the run's status tells it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covidviz.config import TrainConfig
from covidviz.errors import CovidvizError, DeviceError, StoreError
from covidviz.store import layout
from covidviz.store.files import read_json
from covidviz.store.reader import Run
from covidviz.store.status import read_status
from covidviz.store.writer import RunWriter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["main", "work"]

PHASE_S = 0.5


def work(run_dir: str | Path, on_event: Callable[[str], None] | None = None) -> str:
    """Train a run to its end, or until someone asks it to stop (its stop file, or SIGTERM).

    Args:
        on_event: given the lines that also go to train.log: what is used, each epoch's metrics, what is suspicious.

    Returns:
        The state it ended in: `completed`, `stopped`, or `failed` with one sentence in status.json. Never raises for a
        failed training.

    Raises:
        StoreError: there is no such run, or another process trains it.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise StoreError(f"{run_dir} is no run directory")
    with RunWriter(run_dir) as writer, _logging(run_dir) as log, _stop_signal(log) as stop:
        if read_status(run_dir).state == "completed":
            return "completed"

        def say(text: str) -> None:
            log.info("%s", text)
            if on_event is not None:
                on_event(text)

        error: CovidvizError | None = None
        try:
            writer.status(state="running", phase="starting", alarms=[])
            writer.start_heartbeat()
            state = _train(writer, say, stop.is_set)
        except KeyboardInterrupt:
            state = "stopped"
        except Exception as caught:
            state, error = "failed", _sentence(caught)
            log.error("%s\n%s", error, traceback.format_exc())
        writer.stop_heartbeat()
        changes: dict[str, Any] = {"state": state, "error": str(error) if error else None, "phase": None}
        if state == "completed":
            changes["progress"] = 1.0
        try:
            writer.status(**changes)
        except StoreError as unwritten:  # the heartbeat has ended, so readers conclude that the run is lost
            log.error("the state %s could not be noted: %s", state, unwritten)
        log.info("%s", state)
        return state


def _train(writer: RunWriter, say: Callable[[str], None], stop: Callable[[], bool]) -> str:
    # Read when torch is loaded. Threads that spin while they wait gain a percent on an idle machine, and made training
    # three times slower beside a browser and a second process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _keep_memory()
    # torch takes seconds to import; the run already beats
    from covidviz.training import devices
    from covidviz.training.dataset import load_dataset
    from covidviz.training.engine import Stopped, Training
    from covidviz.training.environment import describe_machine
    from covidviz.training.models import parameter_counts
    from covidviz.training.weights import load_weights

    def phase(what: str) -> Callable[[int, int], None]:
        writer.status(phase=what)
        told = time.monotonic()

        def on_progress(done: int, total: int) -> None:
            nonlocal told
            if stop() or writer.stop_requested():
                raise Stopped
            if total and time.monotonic() - told >= PHASE_S:
                writer.status(phase=f"{what}, {done / total:.0%}")
                told = time.monotonic()

        return on_progress

    config = _config(writer.run_dir)
    resumes = (writer.run_dir / layout.LAST).exists()
    device = devices.resolve(config)
    precision = str(device.dtype).removeprefix("torch.")
    writer.status(device=device.title, epochs=config.epochs)
    say(f"{'going on' if resumes else 'starting'} on {device.title} in {precision}")
    for text in device.notes:
        say(text)
    with devices.numerics(device.device), contextlib.suppress(Stopped):
        start = None
        if config.weights != "none":
            start = load_weights(config.model, config.weights, on_progress=phase("downloading weights"))
            say(f"weights: {start.file} (sha256 {start.sha256[:16]}...)")
            for text in start.notes:
                say(text)
        samples = Run(writer.run_dir).samples() if resumes else None
        data = load_dataset(config, device.device, samples=samples, on_progress=phase("reading images"))
        for text in data.notes:
            say(text)
        for path, why in data.unreadable:
            say(f"left out: {path}: {why}")
        training = Training(writer, config, data, device, start=start, say=say, stop=stop)
        # Beside the state, so that a list of a thousand runs has it without opening another file of each.
        writer.status(support={name: _support(split.labels, data.classes) for name, split in data.splits.items()})
        learning, total = parameter_counts(training.model)
        say(f"{config.model}: {learning:,} of {total:,} parameters learn")
        if not resumes:
            writer.samples(data.samples)
            writer.environment(
                {
                    **describe_machine(device.device),
                    "device": device.title,
                    "precision": precision,
                    "parameters": {"trainable": learning, "total": total},
                    "weights": {"file": str(start.file), "sha256": start.sha256} if start else None,
                    "data": {
                        "fingerprint": data.fingerprint,
                        "n": {name: len(split) for name, split in data.splits.items()},
                        "unreadable": [{"path": path, "error": why} for path, why in data.unreadable],
                    },
                    "notes": [*device.notes, *data.notes],
                }
            )
        return training.run()
    return "stopped"


def _keep_memory() -> None:
    """Let the C library keep what it is given back, up to 1 GB a piece.

    Otherwise the system takes every large tensor back, and clears all of its pages when the next step asks for one of
    the same size: a tenth of the processor time of a training on the CPU. For a process that ends with its training.
    """
    mmap_threshold, trim_threshold, limit = -3, -1, 1 << 30  # as in malloc.h
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS, Windows, another library
        library = ctypes.CDLL(None)
        library.mallopt(mmap_threshold, limit)
        library.mallopt(trim_threshold, limit)


def _support(labels: NDArray[np.int8], classes: Sequence[str]) -> dict[str, int]:
    """How many samples have each class, of labels 0/1 [N, C]."""
    return dict(zip(classes, labels.sum(axis=0, dtype=int).tolist(), strict=True))


def _config(run_dir: Path) -> TrainConfig:
    raw = read_json(run_dir / layout.CONFIG)
    if raw is None:
        raise StoreError(f"{run_dir / layout.CONFIG} is missing or broken")
    return TrainConfig.parse(raw)


def _sentence(error: Exception) -> CovidvizError:
    """What a person is told; the details go to train.log."""
    if isinstance(error, CovidvizError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"disk full: {error.filename or 'a file'} could not be written")
    if isinstance(error, MemoryError) or "not enough memory" in str(error) or "can't allocate memory" in str(error):
        return DeviceError("the machine's memory is too small for this run; try a smaller batch_size or image_size")
    text = " ".join(str(error).split())[:300]
    return CovidvizError(f"unexpected {type(error).__name__}: {text} (details in {layout.LOG})")


@contextlib.contextmanager
def _logging(run_dir: Path) -> Iterator[logging.Logger]:
    """A logger into train.log; warnings of libraries go there too and not to the terminal."""
    log = logging.Logger(f"covidviz.{run_dir.name}", logging.INFO)
    handler = _LogFile(run_dir / layout.LOG, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
        log.warning("%s:%s: %s: %s", filename, lineno, category.__name__, message)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield log
    finally:
        handler.close()


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full disk must not hide what is being reported."""


@contextlib.contextmanager
def _stop_signal(log: logging.Logger) -> Iterator[threading.Event]:
    """SIGTERM asks for a stop at the next batch. Signals reach only the main thread."""
    stop = threading.Event()

    def ask(*_: object) -> None:
        log.info("asked to stop by SIGTERM")
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str]) -> int:
    """The process that the scheduler starts. Returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m covidviz.training.worker RUN_DIR\n")
        return 2
    run_dir = Path(arguments[0]).resolve()
    try:
        return 1 if work(run_dir) == "failed" else 0
    except CovidvizError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        from covidviz.jobs.scheduler import ensure_scheduler

        with contextlib.suppress(OSError, CovidvizError):
            ensure_scheduler(run_dir.parent)  # should it have been killed, the queue still drains


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
