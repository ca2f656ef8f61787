"""States are told truthfully."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import write_synthetic_run

from covidviz.errors import StoreError
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.locks import Lock
from covidviz.store.status import (
    host_name,
    parse_status,
    process_alive,
    process_start,
    read_status,
    update_status,
)

ME = {"host": host_name(), "pid": os.getpid(), "pid_start": process_start(os.getpid())}


def change(run_dir: Path, **changes: object) -> None:
    write_json_atomic(run_dir / layout.STATUS, {**(read_json(run_dir / layout.STATUS) or {}), **changes})


@pytest.mark.parametrize("state", layout.STATES)
def test_states_are_read_as_written(runs: Path, state: str) -> None:
    assert read_status(write_synthetic_run(runs, 1, state)).state == state


def test_a_stale_heartbeat_is_lost(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    now = time.time()
    change(run_dir, heartbeat=now - 29, host="another machine", pid=1)
    assert read_status(run_dir, now).state == "running"
    change(run_dir, heartbeat=now - 31)
    status = read_status(run_dir, now)
    assert status.state == "lost"
    assert status.error is not None
    assert "resume continues after epoch 5" in status.error
    change(run_dir, heartbeat=None)
    assert read_status(run_dir, now).state == "lost"


def test_a_dead_process_of_this_machine_is_lost_at_once(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    child = subprocess.Popen([sys.executable, "-c", ""])
    start = process_start(child.pid)
    child.wait()
    change(run_dir, heartbeat=time.time(), pid=child.pid, pid_start=start)
    assert read_status(run_dir).state == "lost"
    change(run_dir, host="another machine")
    assert read_status(run_dir).state == "running"


def test_a_later_process_of_the_same_number_is_another_one(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    change(run_dir, **ME)
    assert read_status(run_dir).state == "running"
    if ME["pid_start"] is None:
        pytest.skip("this machine has no /proc")
    change(run_dir, pid_start=int(str(ME["pid_start"])) - 1)
    assert read_status(run_dir).state == "lost"


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 20
    while process_alive(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not process_alive(child.pid)
    child.wait()


def test_process_alive() -> None:
    assert process_alive(os.getpid())
    assert process_alive(os.getpid(), process_start(os.getpid()))
    assert not process_alive(10**30)
    assert process_start(10**9) is None


def test_a_queued_run_is_never_lost(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "queued")
    change(run_dir, heartbeat=1.0, host=host_name(), pid=2**22 + 1)
    assert read_status(run_dir).state == "queued"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"state": "paused"}', b'{"state": 7}', b'{"x": 1}']
)
def test_an_unreadable_status_is_broken(runs: Path, content: bytes) -> None:
    run_dir = write_synthetic_run(runs, 1)
    (run_dir / layout.STATUS).write_bytes(content)
    status = read_status(run_dir)
    assert status.state == "broken"
    assert status.error is not None
    assert layout.STATUS in status.error


def test_a_folder_without_files_is_broken(tmp_path: Path, runs: Path) -> None:
    assert read_status(tmp_path).state == "broken"
    assert read_status(tmp_path / "missing").state == "broken"
    run_dir = write_synthetic_run(runs, 1)
    (run_dir / layout.CONFIG).unlink()
    assert read_status(run_dir).error == "config.json is missing"


def test_times_may_be_texts_and_unknown_fields_are_kept() -> None:
    moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    status = parse_status({"state": "running", "heartbeat": moment.isoformat(), "mood": "fine", "progress": "half"})
    assert status.heartbeat == moment.timestamp()
    assert status.extra == {"mood": "fine"}
    assert status.progress == 0.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=2)
)
FIELDS = ("state", "epoch", "progress", "eta_s", "heartbeat", "host", "pid", "pid_start", "created", "error")


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)), st.sampled_from(layout.STATES))
def test_any_document_can_be_parsed(raw: dict, state: str) -> None:
    for document in (raw, {**raw, "state": state}):
        status = parse_status(document)
        assert status.state in (*layout.STATES, "broken")
        assert 0 <= status.progress <= 1


def test_update_status_keeps_off_a_training(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running")
    lock = Lock.take(run_dir / layout.LOCK)
    assert lock is not None
    with lock, pytest.raises(StoreError, match="being trained"):
        update_status(run_dir, state="failed")
    update_status(run_dir, state="failed", error="x")
    assert read_status(run_dir).error == "x"
    with pytest.raises(StoreError):
        update_status(runs / "gone", state="failed")


def test_the_scheduler_side_of_the_store_is_light() -> None:
    program = (
        "import sys; import covidviz.store.status, covidviz.jobs.scheduler, covidviz.jobs.queue\n"
        "heavy = {'pydantic', 'numpy', 'pandas', 'pyarrow', 'torch', 'streamlit', 'psutil', 'filelock'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "[]"
