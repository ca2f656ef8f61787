"""The run's curves and settings for `tensorboard --logdir runs`, beside the run's own files.

An epoch is one record, written at once: torch's SummaryWriter takes a record per number and a thread, and its time
would be a large part of an epoch on cached features.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams

from covidviz.config import TrainConfig
from covidviz.store.files import saving
from covidviz.store.status import host_name

__all__ = ["Curves"]

_NUMBER = itertools.count()  # of the files that this process began


class Curves:
    """Writes events.out.tfevents.* into the run directory; tags are METRIC/SPLIT, steps are epochs."""

    def __init__(self, run_dir: Path, config: TrainConfig, *, first_epoch: int = 1) -> None:
        """
        Args:
            first_epoch: what this process writes first; an earlier process's points from there on are disregarded.
        """
        name = f"events.out.tfevents.{int(time.time()):010d}.{host_name()}.{os.getpid()}.{next(_NUMBER)}"
        self._path = run_dir / name
        with saving(self._path):
            self._records = RecordWriter(self._path.open("wb", buffering=0))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=first_epoch, session_log=SessionLog(status=SessionLog.START)))
        settings = {name: _plain(value) for name, value in config.model_dump().items() if name not in _NOT_SETTINGS}
        experiment, session, self._end = hparams(settings, {f"{config.monitor.removeprefix('val_')}/val": 0.0})
        for summary in (experiment, session):
            self._write(Event(wall_time=time.time(), summary=summary))

    def epoch(self, epoch: int, splits: Mapping[str, Mapping[str, float]]) -> None:
        """The metrics of an epoch, on disk when this returns."""
        values = [
            Summary.Value(tag=f"{name}/{split}", simple_value=value)
            for split, row in splits.items()
            for name, value in row.items()
        ]
        self._write(Event(wall_time=time.time(), step=epoch, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        with saving(self._path):
            self._records.write(event.SerializeToString())

    def close(self, *, completed: bool = False) -> None:
        if completed:
            self._write(Event(wall_time=time.time(), summary=self._end))
        self._records.close()

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_NOT_SETTINGS = {"data", "name", "tags", "critical_class", "monitor"}


def _plain(value: object) -> float | str | bool:
    if isinstance(value, (bool, int, float, str)):
        return value
    return ",".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
