"""The scheduler: order, slots, death of a training, death of the scheduler, two at once, idling."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fake_worker import COMMAND
from synthetic import write_synthetic_run

from covidviz.errors import StoreError
from covidviz.jobs.queue import enqueue, has_work, is_claimed, queued, request_stop, requeue
from covidviz.jobs.scheduler import run_scheduler
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.status import process_alive, read_status

GPUS = (("cuda:0", "0"), ("cuda:1", "1"), ("cpu", ""))


def backdate(run_dir: Path, seconds: float) -> None:
    raw = read_json(run_dir / layout.STATUS) or {}
    write_json_atomic(run_dir / layout.STATUS, {**raw, "created": raw["created"] - seconds})


def test_a_queued_run_is_trained(queue) -> None:
    run_dir = queue.add()
    queue.start()
    queue.until_state(run_dir, "completed")
    queue.until(lambda: not is_claimed(run_dir))
    assert not has_work(queue.runs)
    assert (run_dir / layout.LOG).exists()
    assert queue.starts() == ["quick"]


def test_first_come_first_served(queue) -> None:
    names = [f"r{i}" for i in (3, 1, 2, 5, 4)]
    dirs = [queue.create(name) for name in names]
    for run_dir in reversed(dirs):  # the order of creation counts, not that of the markers
        enqueue(run_dir)
    assert [row.run_id for row in queued(queue.runs)] == [path.name for path in dirs]
    queue.start()
    queue.until(lambda: queue.states() == ["completed"] * 5)
    assert queue.starts() == names


def test_each_device_trains_one_run_and_the_rest_waits(queue) -> None:
    dirs = {name: queue.add(f"slow {name}", device=device) for name, device in (
        ("a", "auto"), ("b", "cuda:0"), ("c", "cuda:1"), ("d", "auto"), ("e", "cpu"), ("f", "cuda")
    )}  # fmt: skip
    queue.start(*GPUS)
    queue.until(lambda: len(queue.starts()) == 3)
    time.sleep(0.3)
    # a takes the first GPU, so b waits for it; c was second to ask for the other one; d waits though the CPU is free.
    assert queue.visible() == {"slow_a": "0", "slow_c": "1", "slow_e": ""}
    (dirs["c"] / "finish").touch()
    queue.until(lambda: "slow_d" in queue.visible())
    assert queue.visible()["slow_d"] == "1"
    assert "slow_b" not in queue.visible()
    (dirs["a"] / "finish").touch()
    queue.until(lambda: "slow_b" in queue.visible())
    assert queue.visible()["slow_b"] == "0"
    for run_dir in dirs.values():
        (run_dir / "finish").touch()
    queue.until(lambda: queue.states() == ["completed"] * 6)


def test_without_a_gpu_auto_is_the_cpu_and_a_gpu_is_refused(queue) -> None:
    good, bad = queue.add("quick", device="auto"), queue.add("quick", device="cuda:3")
    queue.start()
    queue.until_state(good, "completed")
    queue.until_state(bad, "failed")
    assert read_status(bad).error == "device: 'cuda:3' given, this machine has cpu"
    assert queue.starts() == ["quick"]


def test_a_killed_training_is_failed_with_a_reason(queue) -> None:
    run_dir, after = queue.add("killed"), queue.add()
    queue.start()
    queue.until_state(run_dir, "failed")
    error = read_status(run_dir).error
    assert error == (
        "the training process was killed (signal 9) in epoch 2; it may have run out of memory; "
        "resume continues after epoch 1"
    )
    queue.until_state(after, "completed")
    assert read_status(run_dir).finished is not None


def test_a_training_that_never_began_is_failed_with_its_last_words(queue) -> None:
    early, silent = queue.add("exit early"), queue.add("silent")
    queue.start()
    queue.until_state(early, "failed")
    assert read_status(early).error == (
        "the training process ended with exit code 3 before the first epoch: "
        "ModuleNotFoundError: No module named 'torch'; resume starts it again"
    )
    queue.until_state(silent, "failed")
    assert "exit code 0" in str(read_status(silent).error)


def test_a_training_that_can_not_be_started_stays_queued(queue) -> None:
    run_dir = queue.add()
    program = (
        "import sys; from pathlib import Path; from covidviz.jobs.scheduler import run_scheduler\n"
        "run_scheduler(Path(sys.argv[1]), command=['/no/such/program'], tick=0.05)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(queue.runs)], cwd=PROJECT, stderr=subprocess.PIPE)
    queue.children.append(child)
    assert child.stderr is not None
    child.stderr.readline()
    assert b"no/such/program" in child.stderr.readline()
    child.kill()
    child.wait()
    assert read_status(run_dir).state == "queued"
    queue.start()
    queue.until_state(run_dir, "completed")


def test_a_training_outlives_its_scheduler_and_is_taken_over(queue) -> None:
    first, second = queue.add("slow first"), queue.add("second")
    queue.start().kill()
    if not queue.starts():  # killed before it got that far
        queue.start()
        queue.until(lambda: queue.starts())
        queue.children[-1].kill()
    queue.until_state(first, "running")
    queue.children[-1].wait()
    pid = read_status(first).pid
    queue.start()
    time.sleep(0.5)
    # Its slot is taken, so nothing else starts, and it does not start again.
    assert queue.starts() == ["slow_first"]
    assert read_status(first).pid == pid
    assert read_status(second).state == "queued"
    (first / "finish").touch()
    queue.until(lambda: queue.states() == ["completed", "completed"])
    assert queue.starts() == ["slow_first", "second"]
    queue.until(lambda: not has_work(queue.runs))


def test_a_training_that_died_unwatched_is_lost_and_can_be_resumed(queue) -> None:
    run_dir = queue.add("slow")
    queue.start()
    queue.until_state(run_dir, "running")
    queue.children[-1].kill()
    queue.children[-1].wait()
    os.kill(read_status(run_dir).pid or 0, signal.SIGKILL)
    queue.until_state(run_dir, "lost")
    queue.start()
    queue.until(lambda: not is_claimed(run_dir))
    assert read_status(run_dir).state == "lost"
    (run_dir / "finish").touch()
    requeue(run_dir)
    queue.until_state(run_dir, "completed")


def test_a_run_resumed_while_its_process_still_ends_is_not_taken_for_dead(queue) -> None:
    run_dir = queue.add("lingers")
    queue.start(*GPUS)
    queue.until_state(run_dir, "stopped")
    requeue(run_dir)
    queue.until_state(run_dir, "completed")
    assert queue.starts() == ["lingers", "lingers"]
    assert read_status(run_dir).error is None


def test_a_claim_whose_process_never_came_is_queued_again(queue) -> None:
    run_dir, other = queue.add("first"), queue.add("other")
    layout.claimed_marker(run_dir).parent.mkdir()
    layout.queue_marker(run_dir).rename(layout.claimed_marker(run_dir))
    queue.start()
    queue.until(lambda: queue.states() == ["completed", "completed"])
    assert queue.starts() == ["first", "other"]
    queue.until(lambda: not is_claimed(other))


def test_a_run_whose_submitter_died_before_queueing_it_is_found(queue) -> None:
    run_dir = queue.create()
    backdate(run_dir, 60)
    fresh = queue.create("fresh")  # may be queued by its submitter any moment
    queue.start()
    queue.until_state(run_dir, "completed")
    assert read_status(fresh).state == "queued"


def test_markers_of_runs_that_are_gone_or_broken_are_dropped(queue) -> None:
    gone, broken, good = queue.add(), queue.add(), queue.add("good")
    shutil.rmtree(gone)
    (broken / layout.STATUS).write_text("{")
    layout.queue_marker(good).write_text("{half")
    queue.start()
    queue.until_state(good, "completed")
    queue.until(lambda: not has_work(queue.runs))
    assert queue.starts() == ["good"]


def test_fifty_runs_finish_though_the_scheduler_is_killed_and_everyone_left(queue) -> None:
    # Submitted by a process that ends at once, as a closed app or terminal.
    program = (
        "import sys; from pathlib import Path\n"
        "from covidviz.config import TrainConfig\n"
        "from covidviz.jobs.queue import enqueue\n"
        "from covidviz.jobs.scheduler import ensure_scheduler\n"
        "from covidviz.store.runs import create_run\n"
        "for i in range(50):\n"
        "    config = TrainConfig(data='/data', name=f'r{i}', epochs=3).resolve(('a', 'b'))\n"
        "    run_dir = create_run(config, Path(sys.argv[1]))\n"
        "    enqueue(run_dir)\n"
        "    ensure_scheduler(run_dir.parent, command=sys.argv[2:])\n"
    )
    subprocess.run([sys.executable, "-c", program, str(queue.runs), *COMMAND], cwd=PROJECT, check=True, timeout=120)
    for share in (5, 20):
        queue.until(lambda share=share: queue.states().count("completed") >= share, 120)
        queue.kill_scheduler()
    queue.until(lambda: queue.states() == ["completed"] * 50, 200)
    assert sorted(queue.starts()) == sorted(f"r{i}" for i in range(50))  # each once


def test_a_killed_scheduler_is_replaced_at_once_and_an_ended_one_is_not(queue) -> None:
    run_dir = queue.add("slow")
    queue.ensure()
    queue.until_state(run_dir, "running")
    first = queue.pid()
    os.kill(first, signal.SIGKILL)
    queue.until(lambda: queue.pid() not in (None, first) and queue.log().count("goes on on cpu"), 20)
    second = queue.pid()
    os.kill(second, signal.SIGTERM)
    queue.until(lambda: queue.pid() is None, 20)
    time.sleep(1)
    assert queue.pid() is None
    (run_dir / "finish").touch()
    queue.until_state(run_dir, "completed")
    assert queue.starts() == ["slow"]


def test_the_standby_is_there_again_when_it_was_killed(queue) -> None:
    queue.add("slow")
    queue.ensure()
    queue.until(lambda: queue.pid() and psutil.Process(queue.pid()).children())
    scheduler = psutil.Process(queue.pid())

    def standby() -> int | None:
        for child in scheduler.children():
            with contextlib.suppress(psutil.Error):  # a killed one is a zombie until the scheduler looks
                if "standby.py" in " ".join(child.cmdline()):
                    return child.pid
        return None

    queue.until(standby)
    first = standby()
    os.kill(first, signal.SIGKILL)
    queue.until(lambda: standby() not in (None, first), 40)


def test_without_scheduler_and_standby_the_next_training_to_end_starts_one(queue) -> None:
    first, second = queue.add("slow"), queue.add()
    child = queue.start()  # in the foreground: has no standby
    queue.until_state(first, "running")
    child.kill()
    child.wait()
    (first / "finish").touch()
    queue.until_state(second, "completed")
    assert queue.starts() == ["slow", "quick"]


def test_a_second_scheduler_is_told_so(queue) -> None:
    child = queue.start()
    with pytest.raises(StoreError, match=f"process {child.pid}"):
        run_scheduler(queue.runs, command=COMMAND)
    assert child.poll() is None


def test_many_launches_at_once_give_one_scheduler(queue) -> None:
    run_dir = queue.add("slow")
    program = (
        "import sys; from pathlib import Path; from covidviz.jobs.scheduler import ensure_scheduler\n"
        "sys.stdin.readline(); print(ensure_scheduler(Path(sys.argv[1]), command=sys.argv[2:]))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(queue.runs), *COMMAND],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
        )
        for _ in range(4)
    ]  # fmt: skip
    answers = [child.communicate("go\n")[0].strip() for child in children]
    assert sorted(answers) == ["False", "False", "False", "True"]
    queue.until_state(run_dir, "running")
    assert queue.log().count("scheduler for") == 1
    assert queue.starts() == ["slow"]
    assert not queue.ensure()


def test_no_scheduler_without_work(queue) -> None:
    assert not queue.ensure()
    assert queue.pid() is None


def test_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="can not be used"):
        run_scheduler(tmp_path / "file")


def test_the_scheduler_ends_with_its_folder(queue) -> None:
    child = queue.start()
    shutil.rmtree(queue.runs)
    assert child.wait(timeout=20) == 0
    queue.runs.mkdir()


def test_the_scheduler_ends_when_asked_and_leaves_trainings_alone(queue) -> None:
    run_dir = queue.add("slow")
    child = queue.start()
    queue.until_state(run_dir, "running")
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=20) == 0
    assert process_alive(read_status(run_dir).pid or 0)
    request_stop(run_dir)
    queue.until_state(run_dir, "stopped")


def test_an_idle_scheduler_costs_next_to_nothing(queue) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("this machine has no /proc")
    for i in range(1000):
        (queue.runs / f"20260101-{i:06}-synthetic-{i:04x}").mkdir()
    write_synthetic_run(queue.runs, 1, "completed")
    last = queue.add("last")
    backdate(last, 60)
    queue.ensure()
    queue.until_state(last, "completed")
    queue.until(lambda: not has_work(queue.runs))
    scheduler = psutil.Process(queue.pid())
    processes = [scheduler, *scheduler.children()]
    assert len(processes) == 2  # itself and its standby
    before, began = sum(cpu_seconds(process.pid) for process in processes), time.monotonic()
    time.sleep(5)
    share = (sum(cpu_seconds(process.pid) for process in processes) - before) / (time.monotonic() - began)
    rss = [process.memory_info().rss / 2**20 for process in processes]
    print(f"idle scheduler: {rss[0]:.1f} MB + standby {rss[1]:.1f} MB, {share:.2%} of a core")
    assert sum(rss) < 40
    assert share < 0.01


def cpu_seconds(pid: object) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_scheduler_imports_nothing_heavy(queue) -> None:
    program = (
        "import sys\n"
        "import covidviz.jobs.scheduler as scheduler\n"
        "from covidviz.cli import main\n"
        "scheduler.run_scheduler = lambda *_, **__: None\n"
        "code = main(['scheduler', '--runs-dir', sys.argv[1]])\n"
        "heavy = {'pydantic', 'numpy', 'pandas', 'pyarrow', 'torch', 'streamlit', 'psutil', 'PIL'}\n"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(queue.runs)], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert done.stdout.strip() == "0 []"
