"""The server's side of the compute worker: started when wanted, asked from many threads, started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from covidviz.errors import CovidvizError
from covidviz.jobs import compute
from covidviz.jobs.compute import Worker

# A worker that answers what it is told to: `say` are events, `hold` leaves the job open, `eat` takes memory.
FAKE = """
import json, sys
kept = []
def say(**event): print(json.dumps(event), flush=True)
say(event="ready")
for line in sys.stdin:
    asked = json.loads(line)
    if "cancel" in asked:
        say(id=asked["cancel"], event="cancelled")
        continue
    kept.append(b"x" * asked.get("eat", 0))
    for event in asked.get("say", []):
        say(id=asked["id"], **event)
    if not asked.get("hold"):
        say(id=asked["id"], event="done", asked=asked)
"""
COMMAND = (sys.executable, "-c", FAKE)
PATIENCE_S = 60


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def worker() -> Iterator[Worker]:
    one = Worker(COMMAND)
    yield one
    one.end()


def test_nothing_runs_before_somebody_asks_and_one_process_serves_all(worker: Worker) -> None:
    assert worker.pid is None
    worker.warm()
    pid = worker.pid
    assert pid is not None
    worker.warm()
    events = list(worker.ask("lab", "s1", config={"lr": 0.1}, say=[{"event": "epoch", "epoch": 1}]))
    assert events[0] == {"event": "epoch", "epoch": 1}
    asked = events[1]["asked"]
    assert asked["config"] == {"lr": 0.1}
    assert (asked["kind"], asked["session"], asked["background"]) == ("lab", "s1", False)
    for kind in ("sweep", "lr_range"):
        assert list(worker.ask(kind, "s1"))[-1]["asked"]["background"] is True
    assert worker.pid == pid


def test_each_gets_its_own_answers(worker: Worker) -> None:
    found: dict[int, list[Any]] = {}

    def ask(k: int) -> None:
        say = [{"event": "epoch", "epoch": k * 100 + i} for i in range(20)]
        found[k] = [event.get("epoch") for event in worker.ask("lab", f"s{k}", say=say)]

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == {k: [*(k * 100 + i for i in range(20)), None] for k in range(10)}


def test_events_can_be_delivered_instead_of_read(worker: Worker) -> None:
    came: list[Any] = []
    ended = threading.Event()

    def deliver(event: dict[str, Any]) -> None:
        came.append(event["event"])
        if event["event"] == "done":
            ended.set()
            raise RuntimeError("Event loop is closed")  # as asyncio says it; nobody else is harmed

    worker.ask("lab", "s", deliver, say=[{"event": "epoch"}])
    assert ended.wait(PATIENCE_S)
    assert came == ["epoch", "done"]
    assert list(worker.ask("lab", "s"))[-1]["event"] == "done"


def test_waiting_has_an_end_and_so_has_a_job(worker: Worker) -> None:
    job = worker.ask("lab", "s", hold=True)
    with pytest.raises(TimeoutError):
        job.read(0.01)
    job.cancel()
    assert job.read(PATIENCE_S) == {"event": "cancelled"}
    job.cancel()  # nothing to cancel
    with pytest.raises(TimeoutError):
        job.read(0.01)


def test_a_killed_worker_is_started_again_and_who_waited_is_told(worker: Worker) -> None:
    list(worker.ask("lab", "s"))
    jobs = [worker.ask("lab", f"s{k}", hold=True, say=[{"event": "epoch"}]) for k in range(3)]
    assert all(job.read(PATIENCE_S)["event"] == "epoch" for job in jobs)
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for job in jobs:
        assert job.read(PATIENCE_S) == {"event": "error", "message": compute.DIED}
        assert job.ended
    assert worker.pid not in (None, pid)
    assert list(worker.ask("lab", "s"))[-1]["event"] == "done"


def test_a_worker_that_was_killed_while_idle_is_not_noticed(worker: Worker) -> None:
    list(worker.ask("lab", "s"))
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid))
    assert list(worker.ask("lab", "s"))[-1]["event"] == "done"
    assert worker.pid != pid


def test_a_worker_that_can_not_start_says_so() -> None:
    with pytest.raises(CovidvizError, match="can't be started"):
        Worker(("/nowhere/python",)).ask("lab", "s")
    with pytest.raises(CovidvizError, match="can't be asked"):
        Worker(COMMAND).ask("lab", "s", config={"data": "\udcff"})
    broken = Worker((sys.executable, "-c", "raise SystemExit(3)"))
    assert list(broken.ask("lab", "s")) == [{"event": "error", "message": compute.NEVER}]
    until(lambda: broken.pid is None)
    broken.end()


def test_one_that_keeps_too_much_memory_is_started_anew_when_it_is_idle() -> None:
    worker = Worker(COMMAND, most_bytes=150 << 20)
    list(worker.ask("lab", "s"))
    pid = worker.pid
    assert pid is not None
    open_job = worker.ask("lab", "a", hold=True, say=[{"event": "epoch"}])
    open_job.read(PATIENCE_S)
    list(worker.ask("lab", "b", eat=300 << 20))
    assert worker.pid == pid  # somebody still waits for it
    open_job.cancel()
    assert open_job.read(PATIENCE_S)["event"] == "cancelled"
    assert worker.pid not in (None, pid)
    until(lambda: gone(pid))
    assert list(worker.ask("lab", "b"))[-1]["event"] == "done"
    worker.end()


def test_the_end_is_told_and_final(worker: Worker) -> None:
    job = worker.ask("lab", "s", hold=True, say=[{"event": "epoch"}])
    job.read(PATIENCE_S)
    pid = worker.pid
    assert pid is not None
    worker.end()
    assert job.read(PATIENCE_S) == {"event": "error", "message": compute.ENDED}
    until(lambda: gone(pid))
    with pytest.raises(CovidvizError, match="ended with the server"):
        worker.ask("lab", "s")


def test_half_a_line_is_no_answer() -> None:
    program = 'import os, sys\nprint(\'{"event": "ready"}\', flush=True)\nsys.stdin.readline()\n'
    worker = Worker((sys.executable, "-c", f"{program}print('{{\"id\": 1, \"ev', end='', flush=True)\nos._exit(1)"))
    assert list(worker.ask("lab", "s")) == [{"event": "error", "message": compute.DIED}]
    worker.end()


def test_the_real_one_answers_and_is_ended_with_its_server() -> None:
    """In a server of its own, since there is one per server; torch is not in it."""
    program = (
        "import sys\n"
        "from covidviz.jobs.compute import worker\n"
        "assert worker() is worker()\n"
        "print(list(worker().ask('lab', 's', config={'data': '/nowhere'})))\n"
        "print([name for name in ('torch', 'streamlit', 'pandas') if name in sys.modules])\n"
        "print(worker().pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=compute.PROJECT, capture_output=True, text=True, check=True
    )
    said, imported, pid = done.stdout.splitlines()
    assert "/nowhere" in said
    assert imported == "[]"
    until(lambda: gone(int(pid)))
