"""What a run is doing, told truthfully. Standard library only."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from covidviz.errors import StoreError
from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.locks import Lock

__all__ = [
    "STALE_S", "Status", "conclude", "host_name", "parse_status", "process_alive", "process_start", "read_status",
    "update_status",
]  # fmt: skip

STALE_S = 30.0  # the training process beats every 2 s


@dataclass(frozen=True)
class Status:
    """status.json, with `lost` and `broken` concluded. Times are seconds since 1970 (UTC) or None."""

    state: str
    epoch: int = 0  # epochs done
    epochs: int = 0
    progress: float = 0.0  # 0..1
    eta_s: float | None = None
    heartbeat: float | None = None
    device: str = ""
    host: str = ""
    pid: int | None = None
    pid_start: int | None = None
    error: str | None = None
    created: float | None = None
    started: float | None = None
    finished: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # fields this version does not know

    @property
    def live(self) -> bool:
        """Whether more can be expected to happen without anyone's doing."""
        return self.state in ("queued", "running")


def read_status(run_dir: Path, now: float | None = None) -> Status:
    """The status of a run directory; never raises.

    Args:
        now: seconds since 1970, to judge the heartbeat by; default the clock.
    """
    raw = read_json(run_dir / layout.STATUS)
    if raw is None:
        there = (run_dir / layout.STATUS).exists()
        return Status("broken", error=f"{layout.STATUS} {'can not be read' if there else 'is missing'}")
    status = parse_status(raw)
    if status.state != "broken" and not (run_dir / layout.CONFIG).exists():
        return replace(status, state="broken", error=f"{layout.CONFIG} is missing")
    return conclude(status, now)


def parse_status(raw: dict[str, Any]) -> Status:
    """The document as it says, before the heartbeat is judged; values of a wrong type count as missing."""
    state = raw.get("state")
    known = {f.name for f in fields(Status)} - {"extra"}
    status = Status(
        state=state if state in layout.STATES else "broken",
        epoch=int(_number(raw.get("epoch")) or 0),
        epochs=int(_number(raw.get("epochs")) or 0),
        progress=min(1.0, max(0.0, _number(raw.get("progress")) or 0.0)),
        eta_s=_number(raw.get("eta_s")),
        heartbeat=_time(raw.get("heartbeat")),
        device=_text(raw.get("device")),
        host=_text(raw.get("host")),
        pid=_whole(raw.get("pid")),
        pid_start=_whole(raw.get("pid_start")),
        error=_text(raw.get("error")) or None,
        created=_time(raw.get("created")),
        started=_time(raw.get("started")),
        finished=_time(raw.get("finished")),
        extra={key: value for key, value in raw.items() if key not in known},
    )
    if status.state == "broken":
        return replace(status, error=f"{layout.STATUS} says state {state!r}, known are {', '.join(layout.STATES)}")
    return status


def conclude(status: Status, now: float | None = None) -> Status:
    """`status`, or `lost` in its place where it says running and nobody is there.

    Running is believed while the heartbeat is at most `STALE_S` old and, on this host, the process still exists.
    """
    if status.state != "running":
        return status
    now = time.time() if now is None else now
    stale = status.heartbeat is None or now - status.heartbeat > STALE_S
    gone = status.host == host_name() and status.pid is not None and not process_alive(status.pid, status.pid_start)
    if not (stale or gone):
        return status
    since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(status.heartbeat)) if status.heartbeat else ""
    go_on = f"resume continues after epoch {status.epoch}" if status.epoch else "resume starts it again"
    return replace(status, state="lost", eta_s=None, error=f"no sign of the training process{since}; {go_on}")


def update_status(run_dir: Path, **changes: Any) -> None:
    """Changes fields of status.json from outside the training process, which must not be there.

    Raises:
        StoreError: a training process holds the run, or the file can't be written.
    """
    try:
        # A training that has just said how it ended lets go a moment later.
        lock = Lock.take(run_dir / layout.LOCK, wait=2.0)
    except OSError as error:
        raise StoreError(f"run {run_dir.name} can not be changed: {error.strerror}") from error
    if lock is None:
        raise StoreError(f"run {run_dir.name} is being trained right now; stop it first")
    with lock:
        write_json_atomic(run_dir / layout.STATUS, {**(read_json(run_dir / layout.STATUS) or {}), **changes})


def host_name() -> str:
    """This machine's name, as written into status.json."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def process_start(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None where that can't be known (no /proc, or it ended).

    A number that tells a process from a later one with the same pid. An ended process that waits to be collected by
    its parent counts as gone.
    """
    try:
        # The name in field 2 may hold spaces and brackets; what follows its last bracket is regular.
        rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if rest[0] in (b"Z", b"X") else int(rest[19])
    except (OSError, ValueError, IndexError):
        return None


def process_alive(pid: int, start: int | None = None) -> bool:
    """Whether the process still exists on this machine; `start` as given by `process_start`, where known."""
    if os.name == "nt":
        return True  # signal 0 would be Ctrl-C there; the heartbeat decides alone
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    if not Path(f"/proc/{pid}/stat").exists():
        return True  # no /proc, or other people's processes are hidden
    began = process_start(pid)
    return began is not None and (start is None or began == start)


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or abs(value) > 1e18:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    return _number(value)
