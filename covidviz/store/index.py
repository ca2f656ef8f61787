"""All runs at a glance, kept up to date by reading only what changed."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from covidviz.store import index_file, layout
from covidviz.store.files import read_json, read_lines
from covidviz.store.index_file import Kept
from covidviz.store.reader import read_notes
from covidviz.store.status import Status, conclude, parse_status
from covidviz.store.summary import Curves, RunSummary, is_number

__all__ = ["RunIndex", "RunSummary"]

_MISSING = (0, 0, 0)
_UNKNOWN, _NO_CURVES = Status("broken"), Curves()
_FILES = (layout.CONFIG, layout.STATUS, layout.NOTES, layout.METRICS)
_SIZE_OF_METRICS = 3 * _FILES.index(layout.METRICS) + 1

SETTLED_S = 2.0  # as git has it: what changed less long ago may change again without its times telling
LOOK_S = 10.0
KEEP_FROM = 20  # new rows that are worth writing the file on disk


class RunIndex:
    """Summaries of all runs in a folder. Safe to share between threads.

    Everything that covidviz writes to a run that has ended takes the place of a file, which changes the time of the
    run's folder: one look there tells that nothing happened. What another program changes inside a file is seen
    `LOOK_S` seconds later at most, when all files are looked at. The rows of such runs are also kept on disk
    (`index_file`) for the next process, which looks at all files before it believes them.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = Path(runs_dir)
        self._guard = threading.Lock()
        self._entries: dict[str, _Entry] | None = None
        self._looked = 0.0

    def refresh(self) -> list[RunSummary]:
        """All runs, newest first; costs about 5 us per run that has ended and did not change. Never raises."""
        with self._guard:
            now = time.time()
            thorough = abs(now - self._looked) >= LOOK_S
            if thorough:
                self._looked = now
            first = self._entries is None
            self._entries = self._listed(self._entries or {}, index_file.load(self.runs_dir) if first else {})
            rows = [
                # At first the only rows are those from the disk, for which all files have just been looked at.
                entry.row if first and entry.row is not None else entry.refresh(now, thorough)
                for entry in self._entries.values()
            ]
            self._keep()
        rows.sort(key=lambda row: (row.created or 0.0, row.run_id), reverse=True)
        return rows

    def _listed(self, found: dict[str, _Entry], kept: dict[str, Kept]) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        try:
            with os.scandir(self.runs_dir) as listing:
                for item in listing:
                    name = item.name
                    if (name in found or layout.is_run_id(name)) and item.is_dir(follow_symlinks=False):
                        entries[name] = found.get(name) or _Entry(item.path, name, kept.get(name))
        except OSError:
            pass  # no runs folder yet
        return entries

    def _keep(self) -> None:
        entries = self._entries or {}
        new = [entry for entry in entries.values() if entry.settled and not entry.offered]
        if len(new) < max(KEEP_FROM, len(entries) // 20):
            return
        index_file.save(self.runs_dir, (entry.kept() for entry in entries.values() if entry.settled))
        for entry in new:
            entry.offered = True  # also where it could not be kept: trying again would not change that


class _Entry:
    """What is known of one run directory, with the versions of the files it was read from.

    row: None until it was looked at.
    settled: the run has ended, and the time of its folder tells whether anything happened since.
    offered: its row was given to the file on disk.
    """

    def __init__(self, path: str, run_id: str, kept: Kept | None = None) -> None:
        self.run_id = run_id
        self.settled = self.offered = False
        self._path = path  # no Path: that would cost more than the stat itself
        self._folder: tuple[int, ...] = _MISSING
        self._versions: tuple[int, ...] = ()
        self._status = _UNKNOWN
        self._config: dict[str, Any] = {}
        self._monitor = ""
        self._offset = 0
        self._curves = _NO_CURVES
        self.row: RunSummary | None = None
        self._taken = kept is not None and self._take(kept)

    def _take(self, kept: Kept) -> bool:
        row, versions = kept
        found = _versions(self._path)
        if found != versions[3:]:
            return False
        self._folder, self._versions, self.row = versions[:3], found, row
        self.settled = self.offered = True
        return True

    def kept(self) -> Kept:
        """What the file on disk is told."""
        assert self.row is not None
        return self.row, (*self._folder, *self._versions)

    def refresh(self, now: float, thorough: bool) -> RunSummary:
        if self.settled and not thorough and self.row is not None and _folder(self._path) == self._folder:
            return self.row
        folder = _folder(self._path)  # before the files: what comes later changes it
        row = self._look(now)
        self._folder = folder
        changed_ns = max(*folder[1:], *self._versions[2::3])
        self.settled = row.state in layout.FINISHED and now - changed_ns / 1e9 >= SETTLED_S
        return row

    def _look(self, now: float) -> RunSummary:
        known, self._versions = self._versions, _versions(self._path)
        changed = {
            name for k, name in enumerate(_FILES) if known[3 * k : 3 * k + 3] != self._versions[3 * k : 3 * k + 3]
        }
        if changed and self._taken:
            changed, self._taken = set(_FILES), False  # only its row is known
        if layout.STATUS in changed:
            trainer = self._status.pid
            raw = read_json(self._file(layout.STATUS))
            self._status = Status("broken", error=f"{layout.STATUS} is missing or can not be read")
            if raw is not None:
                self._status = parse_status(raw)
            if self._status.pid != trainer:  # resumed: it rewound, and may have grown again since
                self._offset, self._curves = 0, _NO_CURVES
                changed.add(layout.METRICS)
        if layout.CONFIG in changed:
            self._config = read_json(self._file(layout.CONFIG)) or {}
            monitor = self._config.get("monitor")
            self._monitor = monitor if isinstance(monitor, str) else "val_macro_f1"
        if layout.METRICS in changed:
            self._read_metrics()
        if self.row is None or changed:
            self.row = self._summary()
            self.offered = False
        if self.row.state == "running":
            status = conclude(self._status, now)
            if status.state != "running":  # lost, and it stays so until the file changes
                self.row = replace(self.row, state=status.state, eta_s=None, error=status.error)
        return self.row

    def _file(self, name: str) -> Path:
        return Path(self._path, name)

    def _read_metrics(self) -> None:
        if self._versions[_SIZE_OF_METRICS] < self._offset:  # a resumed run rewinds
            self._offset, self._curves = 0, _NO_CURVES
        data, self._offset = read_lines(self._file(layout.METRICS), self._offset)
        self._curves = self._curves.grown(data)

    def _summary(self) -> RunSummary:
        status, config = self._status, self._config
        if not config and status.state != "broken":
            status = replace(status, state="broken", error=f"{layout.CONFIG} is missing or can not be read")
        notes = read_notes(read_json(self._file(layout.NOTES)), config)

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


def _versions(path: str) -> tuple[int, ...]:
    """Inode, size and mtime in ns of each of `_FILES`."""
    try:  # a third of the time of Path.stat; a loop over all that follows would take a tenth longer
        a, b, c, d = [os.stat(f"{path}/{name}") for name in _FILES]  # noqa: PTH116
    except OSError:
        return tuple(number for name in _FILES for number in _version(f"{path}/{name}"))
    return (
        a.st_ino, a.st_size, a.st_mtime_ns, b.st_ino, b.st_size, b.st_mtime_ns,
        c.st_ino, c.st_size, c.st_mtime_ns, d.st_ino, d.st_size, d.st_mtime_ns,
    )  # fmt: skip


def _version(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return _MISSING
    return found.st_ino, found.st_size, found.st_mtime_ns


def _folder(path: str) -> tuple[int, ...]:
    """Inode, and mtime and ctime in ns."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return _MISSING
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns
