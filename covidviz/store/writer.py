"""The one writer of a run directory: the training process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from covidviz.errors import StoreError
from covidviz.store import layout
from covidviz.store.files import append_jsonl, open_jsonl, read_json, replacing, saving, write_json_atomic
from covidviz.store.locks import Lock
from covidviz.store.status import host_name, process_start

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["RunWriter"]

HEARTBEAT_S = 2.0
SYSTEM_S = 5.0
PROGRESS_S = 0.5
_OFTEN = {"progress", "eta_s", "phase"}


class RunWriter:
    """Writes one run directory; nobody else may while it is open.

    Every method is safe to be killed in: a file is the old one or the new one, a line is there or not. All methods
    raise StoreError when the disk is full or the run directory was deleted.
    """

    def __init__(self, run_dir: Path) -> None:
        """Takes the run.

        Raises:
            StoreError: the directory is missing, or another process trains this run.
        """
        self.run_dir = run_dir
        with saving(run_dir / layout.LOCK):
            lock = Lock.take(run_dir / layout.LOCK, wait=0.5)
        if lock is None:
            raise StoreError(f"run {run_dir.name} is already training in another process")
        self._lock = lock
        for left in run_dir.rglob(".*.tmp"):  # a killed process's unfinished files
            left.unlink(missing_ok=True)
        self._status = read_json(run_dir / layout.STATUS) or {}
        self._stop = str(run_dir / layout.STOP)
        self._guard = threading.RLock()
        self._written = 0.0
        self._lines: dict[str, tuple[int, Path]] = {}
        self._steps = -1
        self._named: tuple[Sequence[str], Any] = ((), None)
        self._beat: _Heartbeat | None = None

    def path(self, name: str) -> Path:
        """The path of a file of this run (`layout.BEST` and the like); its folder exists afterwards."""
        path = self.run_dir / name
        if path.parent != self.run_dir:
            with saving(path):
                path.parent.mkdir(exist_ok=True)
        return path

    # status

    def status(self, **changes: Any) -> None:
        """Merges `changes` into status.json, with a fresh heartbeat.

        `state="running"` also notes who and where; a finishing state notes when, and takes back a stop request.
        Changes of `progress`, `eta_s` and `phase` alone are written at most twice a second, so they may be sent per
        batch.
        """
        now = time.time()
        state = changes.get("state")
        if state == "running":
            here = {"host": host_name(), "pid": os.getpid(), "pid_start": process_start(os.getpid())}
            began = {"started": self._status.get("started") or now, "finished": None, "error": None}
            changes = {**here, **began, **changes}
        elif state in layout.FINISHED:
            changes = {"finished": now, "eta_s": None, **changes}
        with self._guard:
            self._status.update(changes)
            if not changes.keys() <= _OFTEN or now - self._written >= PROGRESS_S:
                self._write_status(now)
        if state in layout.FINISHED:
            (self.run_dir / layout.STOP).unlink(missing_ok=True)

    def beat(self) -> None:
        """A fresh heartbeat, with whatever `status` has held back."""
        with self._guard:
            self._write_status(time.time())

    def _write_status(self, now: float) -> None:
        self._status["heartbeat"] = now
        write_json_atomic(self.run_dir / layout.STATUS, self._status, indent=None)
        self._written = now

    def start_heartbeat(self) -> None:
        """Beats every 2 s from a thread, and notes the machine's load in system.jsonl every 5 s."""
        if self._beat is None:
            self._beat = _Heartbeat(self)
            self._beat.start()

    def stop_heartbeat(self) -> None:
        if self._beat is not None:
            self._beat.end()
            self._beat = None

    def stop_requested(self) -> bool:
        """Whether somebody asked this run to stop; cheap enough for each batch."""
        return os.path.exists(self._stop)  # noqa: PTH110 (a third of the time of Path.exists)

    # lines

    def metrics(self, epoch: int, split: str, values: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: the `values` of `split` after `epoch` (from 1)."""
        self._append(layout.METRICS, {"epoch": epoch, "split": split, **values})

    def step(self, step: int, epoch: int, loss: float, lr: float, *, total: int = 0) -> None:
        """One line of steps.jsonl, as `steps`."""
        self.steps(epoch, [(step, loss, lr)], total=total)

    def steps(self, epoch: int, rows: Sequence[tuple[int, float, float]], *, total: int = 0) -> None:
        """Lines of steps.jsonl, thinned evenly to at most 2,000 lines, written at once.

        Args:
            rows: (step, loss, lr); the step is counted from 1 over the whole run.
            total: steps the whole run will have; 0 where unknown (then only the first 2,000 are kept).
        """
        every = max(1, -(-total // layout.MAX_STEP_LINES))
        kept = [row for row in rows if row[0] % every == 0]
        if not kept:
            return
        if self._steps < 0:
            path = self.run_dir / layout.STEPS
            self._steps = path.read_bytes().count(b"\n") if path.exists() else 0
        kept = kept[: max(0, layout.MAX_STEP_LINES - self._steps)]
        self._append(layout.STEPS, *({"step": s, "epoch": epoch, "loss": loss, "lr": lr} for s, loss, lr in kept))
        self._steps += len(kept)

    def system(self, values: Mapping[str, Any]) -> None:
        """One line of system.jsonl."""
        self._append(layout.SYSTEM, {"time": time.time(), **values})

    def _append(self, name: str, *rows: dict[str, Any]) -> None:
        if not rows:
            return
        with self._guard:
            if name not in self._lines:
                path = self.run_dir / name
                self._lines[name] = open_jsonl(path), path
            append_jsonl(*self._lines[name], *rows)

    def offsets(self) -> dict[str, int]:
        """Sizes of metrics.jsonl and steps.jsonl in bytes, to keep in a checkpoint."""
        paths = {name: self.run_dir / name for name in (layout.METRICS, layout.STEPS)}
        return {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}

    def rewind(self, offsets: Mapping[str, int]) -> None:
        """Forgets the lines written after `offsets` were taken; `{}` forgets all of them."""
        for name in (layout.METRICS, layout.STEPS):
            path = self.run_dir / name
            with self._guard, saving(path):
                if path.exists() and path.stat().st_size > offsets.get(name, 0):
                    os.truncate(path, offsets.get(name, 0))
        self._steps = -1

    # whole files

    def samples(self, df: pd.DataFrame) -> None:
        """samples.parquet: `sample_id`, `path`, `split`, `label_<class>`, and what else is known per sample."""
        self._parquet(layout.SAMPLES, df)

    def predictions(self, df: pd.DataFrame) -> None:
        """predictions.parquet: `sample_id`, `split`, `prob_<class>`, `loss`."""
        self._parquet(layout.PREDICTIONS, df)

    def _parquet(self, name: str, df: pd.DataFrame) -> None:
        with replacing(self.run_dir / name) as temporary:
            df.to_parquet(temporary, index=False)

    def history(self, sample_id: Sequence[str], epochs: Sequence[int], prob: np.ndarray) -> None:
        """history.npz: validation probabilities f[E, N, C] of N samples at E epochs, kept as float16."""
        import numpy as np

        prob = np.asarray(prob, dtype=np.float16)
        if prob.ndim != 3 or prob.shape[:2] != (len(epochs), len(sample_id)):
            raise ValueError(f"prob has shape {prob.shape}, expected ({len(epochs)}, {len(sample_id)}, classes)")
        if self._named[0] is not sample_id:  # it is written anew with each epoch
            self._named = sample_id, _text(sample_id)
        self._npz(layout.HISTORY, sample_id=self._named[1], epoch=np.asarray(epochs, dtype=np.int32), prob=prob)

    def cams(
        self, split: str, sample_id: Sequence[str], classes: Sequence[str], maps: np.ndarray, scale: np.ndarray,
        method: str, layer: str,
    ) -> None:  # fmt: skip
        """cams/<split>.npz: maps f[N, C, h, w] in 0..1 (kept as float16) and their scale f[N, C]; raw = map x scale."""
        import numpy as np

        maps = np.asarray(maps, dtype=np.float16)
        scale = np.asarray(scale, dtype=np.float32)
        if maps.ndim != 4 or maps.shape[:2] != (len(sample_id), len(classes)) or scale.shape != maps.shape[:2]:
            raise ValueError(
                f"maps {maps.shape} and scale {scale.shape} given, expected ({len(sample_id)}, {len(classes)}, h, w) "
                f"and ({len(sample_id)}, {len(classes)})"
            )
        self._npz(
            f"{layout.CAMS}/{split}.npz", sample_id=_text(sample_id), classes=_text(classes), maps=maps, scale=scale,
            method=np.array(method), layer=np.array(layer),
        )  # fmt: skip

    def _npz(self, name: str, **arrays: np.ndarray) -> None:
        import numpy as np

        with replacing(self.path(name)) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def environment(self, values: Mapping[str, Any]) -> None:
        """environment.json: versions, hardware, git commit, data fingerprint."""
        write_json_atomic(self.run_dir / layout.ENVIRONMENT, dict(values))

    # end

    def close(self) -> None:
        """Ends the heartbeat and lets the run go."""
        self.stop_heartbeat()
        with self._guard:
            for handle, _ in self._lines.values():
                os.close(handle)
            self._lines.clear()
        self._lock.release()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _text(values: Sequence[str]) -> np.ndarray:
    import numpy as np

    return np.asarray([str(value) for value in values], dtype=np.str_)  # never dtype object, which would be pickled


class _Heartbeat(threading.Thread):
    """Says "still here" until it is told to end. A failed beat is tried again: the training itself will tell why."""

    def __init__(self, writer: RunWriter) -> None:
        super().__init__(name="covidviz-heartbeat", daemon=True)
        self._writer = writer
        self._ended = threading.Event()

    def run(self) -> None:
        from covidviz.store.system import SystemMonitor

        monitor = SystemMonitor()
        measured = 0.0
        while not self._ended.wait(HEARTBEAT_S):
            try:
                self._writer.beat()
                if time.monotonic() - measured >= SYSTEM_S:
                    measured = time.monotonic()
                    self._writer.system(monitor.read())
            except (StoreError, OSError):
                continue

    def end(self) -> None:
        self._ended.set()
        self.join()
