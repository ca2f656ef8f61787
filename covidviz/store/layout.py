"""Names of everything in a runs folder. Standard library only: the scheduler lives on this.

The files and their fields are described in docs/run-directory.md.
"""

from __future__ import annotations

import re
import secrets
import time
import unicodedata
from pathlib import Path

# one run directory
CONFIG = "config.json"
STATUS = "status.json"
NOTES = "notes.json"
SAMPLES = "samples.parquet"
METRICS = "metrics.jsonl"
STEPS = "steps.jsonl"
SYSTEM = "system.jsonl"
PREDICTIONS = "predictions.parquet"
HISTORY = "history.npz"
CAMS = "cams"
CHECKPOINTS = "checkpoints"
BEST = "checkpoints/best.safetensors"
LAST = "checkpoints/last.pt"
ENVIRONMENT = "environment.json"
EVENTS = "events.out.tfevents.*"
LOG = "train.log"
STOP = "stop"
LOCK = "train.lock"

# the runs folder itself; names with a dot are never runs
QUEUE = ".queue"
CLAIMED = ".queue/claimed"
SCHEDULER_LOCK = ".queue/scheduler.lock"
SCHEDULER_LOG = ".queue/scheduler.log"
TRASH = ".trash"

STATES = ("queued", "running", "completed", "failed", "stopped")
DERIVED_STATES = ("lost", "broken")  # never written, only concluded by readers
FINISHED = ("completed", "failed", "stopped")
RESUMABLE = ("stopped", "failed", "lost")

SPLITS = ("train", "val", "test")
MAX_STEP_LINES = 2000

RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{4}")


def slug(name: str) -> str:
    """`"VGG-16, gamma 2.5"` to `"vgg-16-gamma-2-5"`: lower-case ASCII words, at most 40 characters, never empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "run"


def new_run_id(name: str, now: float | None = None) -> str:
    """A fresh `<YYYYMMDD-HHMMSS>-<slug>-<4 hex>` in local time, for a run called `name`."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{stamp}-{slug(name)}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Whether `text` has the form of a run id (and so is safe as a folder name)."""
    return RUN_ID.fullmatch(text) is not None


def queue_marker(run_dir: Path) -> Path:
    """The file that says: this run waits for a device."""
    return run_dir.parent / QUEUE / run_dir.name


def claimed_marker(run_dir: Path) -> Path:
    """The file that says: a training process was started for this run. It is locked while that process lives."""
    return run_dir.parent / CLAIMED / run_dir.name
