"""All runs at a glance, kept up to date by reading only what changed."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from covidviz.store import layout
from covidviz.store.files import read_json, read_lines
from covidviz.store.reader import read_notes
from covidviz.store.status import Status, conclude, parse_status
from covidviz.store.summary import Curves, is_number

__all__ = ["RunIndex", "RunSummary"]

Version = tuple[int, int, int]  # inode, size, mtime in ns
_MISSING: Version = (0, 0, 0)


@dataclass(frozen=True)
class RunSummary:
    """One row of the runs table. Times are seconds since 1970 or None."""

    run_id: str
    name: str
    state: str
    model: str = ""
    weights: str = ""
    trainable: str = ""
    task: str = ""
    loss: str = ""
    focal_gamma: float | None = None
    lr: float | None = None
    data: str = ""
    epochs: int = 0
    epoch: int = 0
    progress: float = 0.0
    eta_s: float | None = None
    monitor: str = ""
    best_epoch: int | None = None
    best: float | None = None  # the monitor there
    metrics: dict[str, float] = field(default_factory=dict)  # of the validation split at the best epoch
    created: float | None = None
    started: float | None = None
    finished: float | None = None
    device: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False
    note: str = ""
    error: str | None = None
    critical: str = ""  # the critical class
    support: int | None = None  # samples of it in the validation split
    curves: Curves = field(default_factory=Curves)  # of the validation split
    settings: dict[str, Any] = field(default_factory=dict)  # config.json as it is

    def document(self) -> dict[str, Any]:
        """What a list of runs says of this one, without its curves and all its settings."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("curves", "settings")}


class RunIndex:
    """Summaries of all runs in a folder. Safe to share between threads."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = Path(runs_dir)
        self._guard = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def refresh(self) -> list[RunSummary]:
        """All runs, newest first; costs about 15 us per run that did not change. Never raises."""
        with self._guard:
            now = time.time()
            found = self._entries
            entries: dict[str, _Entry] = {}
            try:
                with os.scandir(self.runs_dir) as listing:
                    for item in listing:
                        if layout.is_run_id(item.name) and item.is_dir(follow_symlinks=False):
                            entries[item.name] = found.get(item.name) or _Entry(item.path, item.name)
            except OSError:
                pass  # no runs folder yet
            self._entries = entries
            rows = [entry.refresh(now) for entry in entries.values()]
        rows.sort(key=lambda row: (row.created or 0.0, row.run_id), reverse=True)
        return rows


class _Entry:
    """What is known of one run directory, with the versions of the files it was read from."""

    def __init__(self, path: str, run_id: str) -> None:
        self.run_id = run_id
        self.dir = Path(path)
        # Joined once: building a Path per file and refresh would cost more than the stat itself.
        self._paths = {name: f"{path}/{name}" for name in (layout.STATUS, layout.CONFIG, layout.NOTES, layout.METRICS)}
        self._versions: dict[str, Version] = {}
        self._status = Status("broken")
        self._config: dict[str, Any] = {}
        self._monitor = ""
        self._offset = 0
        self._curves = Curves()
        self._row: RunSummary | None = None

    def refresh(self, now: float) -> RunSummary:
        status_changed = self._changed(layout.STATUS)
        # Written once: looked at again only while it is broken.
        config_changed = not self._config and self._changed(layout.CONFIG)
        notes_changed = self._changed(layout.NOTES)
        metrics_changed = self._changed(layout.METRICS)
        if status_changed:
            trainer = self._status.pid
            raw = read_json(self.dir / layout.STATUS)
            self._status = Status("broken", error=f"{layout.STATUS} is missing or can not be read")
            if raw is not None:
                self._status = parse_status(raw)
            if self._status.pid != trainer:  # resumed: it rewound, and may have grown again since
                self._offset, self._curves, metrics_changed = 0, Curves(), True
        if config_changed:
            self._config = read_json(self.dir / layout.CONFIG) or {}
            monitor = self._config.get("monitor")
            self._monitor = monitor if isinstance(monitor, str) else "val_macro_f1"
        if metrics_changed:
            self._read_metrics()
        if self._row is None or status_changed or config_changed or notes_changed or metrics_changed:
            self._row = self._summary()
        if self._row.state == "running":
            status = conclude(self._status, now)
            if status.state != "running":  # lost, and it stays so until the file changes
                self._row = replace(self._row, state=status.state, eta_s=None, error=status.error)
        return self._row

    def _changed(self, name: str) -> bool:
        try:
            found = os.stat(self._paths[name])  # noqa: PTH116 (a third of the time of Path.stat)
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            version = _MISSING
        if self._versions.get(name) == version:
            return False
        self._versions[name] = version
        return True

    def _read_metrics(self) -> None:
        if self._versions[layout.METRICS][1] < self._offset:  # a resumed run rewinds
            self._offset, self._curves = 0, Curves()
        data, self._offset = read_lines(self.dir / layout.METRICS, self._offset)
        self._curves = self._curves.grown(data)

    def _summary(self) -> RunSummary:
        status, config = self._status, self._config
        if not config and status.state != "broken":
            status = replace(status, state="broken", error=f"{layout.CONFIG} is missing or can not be read")
        notes = read_notes(read_json(self.dir / layout.NOTES), config)

        def text(name: str) -> str:
            value = config.get(name)
            return value if isinstance(value, str) else ""

        def number(name: str) -> float | None:
            value = config.get(name)
            return value if is_number(value) else None

        metric = self._monitor.removeprefix("val_")
        at = self._curves.best(metric)
        metrics = {} if at is None else self._curves.at(at)
        critical = text("critical_class")
        support = status.extra.get("support")
        of_val = support.get("val") if isinstance(support, dict) else None
        n = of_val.get(critical) if isinstance(of_val, dict) else None
        return RunSummary(
            run_id=self.run_id,
            name=notes["name"] or self.run_id,
            state=status.state,
            model=text("model"), weights=text("weights"), trainable=text("trainable"), task=text("task"),
            loss=text("loss"), focal_gamma=number("focal_gamma"), lr=number("lr"), data=text("data"),
            epochs=status.epochs or int(number("epochs") or 0),
            epoch=status.epoch, progress=status.progress, eta_s=status.eta_s,
            monitor=self._monitor,
            best_epoch=None if at is None else self._curves.epochs[at],
            best=metrics.get(metric),
            metrics=metrics,
            created=status.created, started=status.started, finished=status.finished, device=status.device,
            tags=tuple(notes["tags"]), archived=notes["archived"], note=notes["note"], error=status.error,
            critical=critical, support=n if isinstance(n, int) and n > 0 else None,
            curves=self._curves, settings=config,
        )  # fmt: skip
