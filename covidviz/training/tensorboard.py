"""The run's curves and settings for `tensorboard --logdir runs`, beside the run's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from covidviz.config import TrainConfig

__all__ = ["Curves"]


class Curves:
    """Writes events.out.tfevents.* into the run directory; tags are METRIC/SPLIT, steps are epochs."""

    def __init__(self, run_dir: Path, config: TrainConfig, *, first_epoch: int = 1) -> None:
        """
        Args:
            first_epoch: what this process writes first; an earlier process's points from there on are disregarded.
        """
        self._writer = SummaryWriter(str(run_dir), purge_step=first_epoch, max_queue=1000, flush_secs=3600)
        settings = {name: _plain(value) for name, value in config.model_dump().items() if name not in _NOT_SETTINGS}
        experiment, session, self._end = hparams(settings, {f"{config.monitor.removeprefix('val_')}/val": 0.0})
        for summary in (experiment, session):
            self._writer._get_file_writer().add_summary(summary)
        self._writer.flush()

    def epoch(self, epoch: int, splits: Mapping[str, Mapping[str, float]]) -> None:
        """The metrics of an epoch, on disk when this returns."""
        for split, values in splits.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{name}/{split}", value, epoch)
        self._writer.flush()

    def close(self, *, completed: bool = False) -> None:
        if completed:
            self._writer._get_file_writer().add_summary(self._end)
        self._writer.close()

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
