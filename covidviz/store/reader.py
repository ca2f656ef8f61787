"""Reading one run directory. Everything may be missing, half written or newer; nothing here raises for that."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covidviz.errors import ConfigError
from covidviz.store import layout
from covidviz.store.files import read_json, read_jsonl
from covidviz.store.status import Status, read_status
from covidviz.store.summary import best_metrics

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from covidviz.config import TrainConfig

__all__ = ["Cams", "History", "Run", "read_notes"]


@dataclass(frozen=True)
class History:
    """Validation probabilities over time: prob float16 [E, N, C] for `sample_id` str [N] at `epoch` int32 [E]."""

    sample_id: np.ndarray
    epoch: np.ndarray
    prob: np.ndarray


@dataclass(frozen=True)
class Cams:
    """Class activation maps: maps float16 [N, C, h, w] in 0..1, scale float32 [N, C]; raw map = map x scale."""

    sample_id: np.ndarray
    classes: tuple[str, ...]
    maps: np.ndarray
    scale: np.ndarray
    method: str
    layer: str


class Run:
    """One run directory, read when asked and never kept: callers cache by `version`."""

    def __init__(self, run_dir: Path) -> None:
        self.dir = Path(run_dir)
        self.id = self.dir.name

    def status(self) -> Status:
        return read_status(self.dir)

    def config(self) -> TrainConfig | None:
        """The settings, without those of a newer version; None where config.json is missing or broken."""
        from covidviz.config import TrainConfig

        raw = read_json(self.dir / layout.CONFIG)
        try:
            return None if raw is None else TrainConfig.parse(raw, tolerant=True)
        except ConfigError:
            return None

    def notes(self) -> dict[str, Any]:
        """`name`, `tags`, `note`, `archived`; where nobody wrote notes, name and tags of the config."""
        return read_notes(read_json(self.dir / layout.NOTES), read_json(self.dir / layout.CONFIG))

    def environment(self) -> dict[str, Any]:
        return read_json(self.dir / layout.ENVIRONMENT) or {}

    def metrics(self) -> pd.DataFrame:
        """One row per `epoch` and `split`, sorted by epoch, with a column per metric; empty without metrics."""
        frame = self._lines(layout.METRICS, ("epoch", "split"))
        latest = frame.drop_duplicates(["epoch", "split"], keep="last")
        return latest.sort_values("epoch", kind="stable", ignore_index=True)

    def steps(self) -> pd.DataFrame:
        """`step`, `epoch`, `loss`, `lr`; empty before the first step."""
        return self._lines(layout.STEPS, ("step",))

    def system(self) -> pd.DataFrame:
        """`time`, `cpu_percent`, `memory_mb`, `memory_percent`, with a GPU `gpu_percent`, `gpu_memory_mb`."""
        return self._lines(layout.SYSTEM, ("time",))

    def samples(self) -> pd.DataFrame:
        """The contract's columns; empty (`sample_id`, `path`, `split` only) where there is no readable file."""
        return self._parquet(layout.SAMPLES, ("sample_id", "path", "split"))

    def predictions(self) -> pd.DataFrame:
        """The contract's columns; empty (`sample_id`, `split` only) until they were written."""
        return self._parquet(layout.PREDICTIONS, ("sample_id", "split"))

    def history(self) -> History | None:
        arrays = self._npz(layout.HISTORY, "sample_id", "epoch", "prob")
        if arrays is None:
            return None
        sample_id, epoch, prob = arrays
        return History(sample_id, epoch, prob) if prob.shape[:2] == (epoch.size, sample_id.size) else None

    def cams(self, split: str) -> Cams | None:
        """The heat maps of `split`, or None where there are none."""
        arrays = self._npz(f"{layout.CAMS}/{split}.npz", "sample_id", "classes", "maps", "scale", "method", "layer")
        if arrays is None:
            return None
        sample_id, classes, maps, scale, method, layer = arrays
        if maps.ndim != 4 or not maps.shape[:2] == scale.shape == (sample_id.size, classes.size):
            return None
        return Cams(sample_id, tuple(str(name) for name in classes), maps, scale, str(method), str(layer))

    def best(self) -> tuple[int | None, dict[str, dict[str, Any]]]:
        """The best epoch by the config's monitor, and {split: {name: value}} there; (None, {}) before the first."""
        monitor = (read_json(self.dir / layout.CONFIG) or {}).get("monitor")
        rows, _ = read_jsonl(self.dir / layout.METRICS)
        return best_metrics(rows, monitor if isinstance(monitor, str) else "val_macro_f1")

    def result(self) -> dict[str, Any]:
        """The JSON document of `train` and `runs show`."""
        status = self.status()
        best_epoch, metrics = self.best()
        return {
            "run_id": self.id,
            "run_dir": str(self.dir.resolve()),
            "state": status.state,
            "best_epoch": best_epoch,
            "metrics": metrics,
            "epoch": status.epoch,
            "epochs": status.epochs,
            "progress": status.progress,
            "error": status.error,
            "notes": self.notes(),
            "config": read_json(self.dir / layout.CONFIG),
        }

    def log_tail(self, n: int = 50, max_bytes: int = 65536) -> str:
        """The last `n` lines of train.log (of its last `max_bytes`); empty where there is none."""
        try:
            with (self.dir / layout.LOG).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - max_bytes))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        # A progress bar redraws its line with carriage returns; only what it showed last counts.
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
        return "\n".join(lines[-n - 1 :] if lines[-1] == "" else lines[-n:])

    def version(self, file: str) -> tuple[int, int]:
        """(size, mtime in ns) of a file of this run, (0, 0) where it is missing: changes when the file does."""
        try:
            found = (self.dir / file).stat()
        except OSError:
            return 0, 0
        return found.st_size, found.st_mtime_ns

    def _lines(self, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        rows, _ = read_jsonl(self.dir / name)
        good = [row for row in rows if all(isinstance(row.get(key), (int, float, str)) for key in needed)]
        frame = pd.DataFrame(good, columns=None if good else list(needed))
        for key in set(frame.columns) - {"split"}:
            # A value that was not a number was written as null: back to NaN, also in a column of nulls only.
            frame[key] = pd.to_numeric(frame[key], errors="coerce")
        return frame

    def _parquet(self, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd
        from pyarrow import ArrowException

        try:
            frame = pd.read_parquet(self.dir / name)
        except (OSError, ValueError, ArrowException):
            return pd.DataFrame(columns=list(needed), dtype=str)
        return frame if set(needed) <= set(frame.columns) else pd.DataFrame(columns=list(needed), dtype=str)

    def _npz(self, name: str, *keys: str) -> list[np.ndarray] | None:
        import numpy as np

        path = self.dir / name
        try:
            # Checked first: a folder or text file would be taken for something else than an archive.
            if not zipfile.is_zipfile(path):
                return None
            with np.load(path, allow_pickle=False) as loaded:
                return [loaded[key] for key in keys]
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            NotImplementedError,
            MemoryError,
            zipfile.BadZipFile,
            zlib.error,
        ):
            return None


def read_notes(notes: dict[str, Any] | None, config: dict[str, Any] | None) -> dict[str, Any]:
    """notes.json with every field there and of its type, filled in from config.json where it is missing."""
    notes, config = notes or {}, config or {}

    def text(*values: Any) -> str:
        return next((value for value in values if isinstance(value, str)), "")

    tags = notes.get("tags") if isinstance(notes.get("tags"), list) else config.get("tags")
    return {
        "name": text(notes.get("name"), config.get("name")),
        "tags": [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
        "note": text(notes.get("note")),
        "archived": notes.get("archived") is True,
    }
