"""Making, finding, editing and deleting run directories."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covidviz.errors import InputError, StoreError
from covidviz.store import layout
from covidviz.store.files import read_json, saving, write_json_atomic
from covidviz.store.locks import Lock
from covidviz.store.reader import Run
from covidviz.store.status import host_name, process_start, read_status

if TYPE_CHECKING:
    import pandas as pd

    from covidviz.config import TrainConfig

__all__ = [
    "clone_config", "create_run", "delete_run", "edit_notes", "export_csv", "find_run", "list_run_dirs", "restore_run",
    "trashed",
]  # fmt: skip


def create_run(
    config: TrainConfig, runs_dir: Path, *, state: str = "queued", samples: pd.DataFrame | None = None
) -> Path:
    """A new run directory, there as a whole or not at all; two at once never meet.

    Args:
        config: resolved (see `TrainConfig.resolve`).
        state: `queued`, or `running` when this process goes on to train it.
        samples: written as samples.parquet where given.

    Raises:
        StoreError: the disk is full or `runs_dir` may not be written.
    """
    now = time.time()
    status: dict[str, Any] = {
        "state": state, "epoch": 0, "epochs": config.epochs, "progress": 0.0, "eta_s": None, "heartbeat": None,
        "device": config.device, "host": None, "pid": None, "pid_start": None, "error": None, "created": now,
        "started": None, "finished": None,
    }  # fmt: skip
    if state == "running":
        status |= {
            "heartbeat": now, "started": now, "host": host_name(), "pid": os.getpid(),
            "pid_start": process_start(os.getpid()),
        }  # fmt: skip
    with saving(runs_dir):
        runs_dir.mkdir(parents=True, exist_ok=True)
    temporary = runs_dir / f".new-{secrets.token_hex(8)}"
    try:
        with saving(temporary):
            temporary.mkdir()
        write_json_atomic(temporary / layout.CONFIG, config.dump())
        write_json_atomic(temporary / layout.NOTES, _first_notes(config))
        write_json_atomic(temporary / layout.STATUS, status)
        if samples is not None:
            with saving(temporary / layout.SAMPLES):
                samples.to_parquet(temporary / layout.SAMPLES, index=False)
        while True:
            run_dir = runs_dir / layout.new_run_id(config.name or config.describe(), now)
            if not run_dir.exists():
                with saving(run_dir):
                    temporary.rename(run_dir)
                return run_dir
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _first_notes(config: TrainConfig) -> dict[str, Any]:
    return {"name": config.name or config.describe(), "tags": list(config.tags), "note": "", "archived": False}


def list_run_dirs(runs_dir: Path) -> list[Path]:
    """The run directories in `runs_dir`, oldest first by name; a folder of another name, or a link, is none."""
    try:
        with os.scandir(runs_dir) as entries:
            names = [e.name for e in entries if layout.is_run_id(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [runs_dir / name for name in sorted(names)]


def find_run(runs_dir: Path, text: str) -> Path:
    """The run directory with the id `text`, or whose id alone begins so; a path of a folder in `runs_dir` is fine too.

    Raises:
        InputError: no run or several, naming candidates.
    """
    given = Path(text)
    if len(given.parts) > 1 and given.resolve().parent == runs_dir.resolve():
        text = given.name
    found = [path for path in list_run_dirs(runs_dir) if text and path.name.startswith(text)]
    for path in found:
        if path.name == text:
            return path
    if len(found) == 1:
        return found[0]
    candidates = [path.name for path in (found or list_run_dirs(runs_dir))]
    shown = ", ".join(candidates[-5:]) + (f" and {len(candidates) - 5} more" if len(candidates) > 5 else "")
    if found:
        raise InputError(f"run: {text!r} fits several runs, accepted: one of {shown}")
    if candidates:
        raise InputError(f"run: {text!r} given, accepted: the id of a run or the beginning of one, such as {shown}")
    raise InputError(f"run: {text!r} given, but there are no runs in {runs_dir}")


def edit_notes(run_dir: Path, **changes: Any) -> dict[str, Any]:
    """Changes what a person may edit later: `name`, `tags`, `note`, `archived`, and the chosen `thresholds` (see
    `covidviz.store.thresholds`). Returns the notes as they are now.

    Raises:
        InputError: another field, or a value of a wrong type.
        StoreError: the run is gone or can't be written.
    """
    kinds: dict[str, Any] = {
        "name": str,
        "tags": (list, tuple),
        "note": str,
        "archived": bool,
        "thresholds": dict,
    }
    for field, value in changes.items():
        if field not in kinds:
            raise InputError(f"notes: {field!r} given, accepted: {', '.join(kinds)}")
        if not isinstance(value, kinds[field]):
            raise InputError(f"notes: {value!r} given for {field}, accepted: {_KINDS[field]}")
    if "tags" in changes:
        changes["tags"] = list(dict.fromkeys(str(tag).strip() for tag in changes["tags"] if str(tag).strip()))
    if not run_dir.is_dir():
        raise StoreError(f"run {run_dir.name} is gone")
    kept = read_json(run_dir / layout.NOTES) or {}
    write_json_atomic(run_dir / layout.NOTES, {**kept, **Run(run_dir).notes(), **changes})
    return Run(run_dir).notes()


_KINDS = {
    "name": "a text",
    "tags": "a list of words",
    "note": "a text",
    "archived": "true or false",
    "thresholds": "a threshold for each class",
}


def delete_run(run_dir: Path) -> Path:
    """Moves a run to the trash beside it; `restore_run` brings it back. Returns where it lies now.

    Raises:
        InputError: it is queued or running.
        StoreError: a training process holds it, or it can't be moved.
    """
    if read_status(run_dir).live:
        raise InputError(f"run {run_dir.name} is {read_status(run_dir).state}; stop it before deleting it")
    trash = run_dir.parent / layout.TRASH
    with saving(run_dir / layout.LOCK):
        lock = Lock.take(run_dir / layout.LOCK, wait=2.0)
    if lock is None:
        raise StoreError(f"run {run_dir.name} is being trained right now; stop it before deleting it")
    with lock, saving(trash / run_dir.name):
        trash.mkdir(exist_ok=True)
        return run_dir.rename(trash / run_dir.name)


def trashed(runs_dir: Path) -> list[Path]:
    """The deleted runs that can be restored, oldest first by name."""
    return list_run_dirs(runs_dir / layout.TRASH)


def restore_run(runs_dir: Path, text: str) -> Path:
    """Brings a deleted run back, by id or the beginning of one.

    Raises:
        InputError: no or several such runs in the trash.
        StoreError: it can't be moved, or a run of that id exists.
    """
    lying = find_run(runs_dir / layout.TRASH, text)
    if (runs_dir / lying.name).exists():
        raise StoreError(f"run {lying.name} can not be restored: there is one of that id already")
    with saving(runs_dir / lying.name):
        return lying.rename(runs_dir / lying.name)


def clone_config(run_dir: Path, **changes: Any) -> TrainConfig:
    """The settings of a run as a start for another one.

    What had been filled in by default from other settings is left open again, so that it follows `changes`.

    Raises:
        StoreError: the run's config.json can't be read.
        ConfigError: a change is out of range or does not fit.
    """
    from covidviz.config import TrainConfig

    config = Run(run_dir).config()
    if config is None:
        raise StoreError(f"run {run_dir.name} can not be cloned: its {layout.CONFIG} can not be read")
    values = config.model_dump()
    if config.backbone_lr == config.lr:
        values["backbone_lr"] = None
    if config.name == config.describe():
        values["name"] = ""
    if "task" in changes and changes["task"] != config.task:
        values["loss"] = None
    if "data" in changes and changes["data"] != config.data:
        values |= {"classes": (), "critical_class": None}
    return TrainConfig.parse({**values, **changes})


def export_csv(run_dir: Path, out: Path) -> list[Path]:
    """Writes metrics.csv, predictions.csv and config.json of a run into the folder `out`, where the run has them.

    predictions.csv also says what each sample is (path and labels). Returns the files written.

    Raises:
        StoreError: `out` can't be written, or the run has none of these.
    """
    run = Run(run_dir)
    with saving(out):
        out.mkdir(parents=True, exist_ok=True)
    written = []
    metrics, predictions, samples = run.metrics(), run.predictions(), run.samples()
    known = samples.drop(columns=[name for name in predictions.columns if name in samples and name != "sample_id"])
    predictions = predictions.merge(known, on="sample_id", how="left")
    for name, frame in (("metrics.csv", metrics), ("predictions.csv", predictions)):
        if len(frame):
            with saving(out / name):
                frame.to_csv(out / name, index=False)
            written.append(out / name)
    if (config := read_json(run_dir / layout.CONFIG)) is not None:
        write_json_atomic(out / layout.CONFIG, config)
        written.append(out / layout.CONFIG)
    if not written:
        raise StoreError(f"run {run_dir.name} has nothing to export yet")
    return written
