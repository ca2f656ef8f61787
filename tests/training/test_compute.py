"""The compute worker: whose turn it is, features opened once for all, and the process itself on a tiny dataset."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeRun

from covidviz.config import TrainConfig
from covidviz.errors import CovidvizError, StoreError
from covidviz.jobs.submit import prepare
from covidviz.paths import PROJECT
from covidviz.store.reader import Run
from covidviz.training import lab, shelf
from covidviz.training.beside import Cancelled, beside
from covidviz.training.shelf import Shelf
from covidviz.training.turns import Job, Turns
from covidviz.training.worker import work

Event = dict[str, Any]


# --- whose turn it is


@dataclass
class Room:
    """Jobs that take a known time on a clock that only they move."""

    now: float = 0.0
    told: list[tuple[int, Event]] = field(default_factory=list)
    turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        self.turns = Turns(lambda job_id, event: self.told.append((job_id, event)), clock=lambda: self.now)

    def ask(self, job_id: int, seconds: float, session: str = "", kind: str = "lab", **more: Any) -> Job:
        def events() -> Generator[Event | None, None, None]:
            for _ in range(round(seconds * 100)):
                self.now += 0.01
                yield None
            yield {"event": "done"}

        job = Job(job_id, session or f"s{job_id}", kind, kind in ("sweep", "lr_range"), events(), **more)
        self.turns.add(job)
        return job

    def ended(self) -> list[int]:
        return [job_id for job_id, event in self.told if event["event"] == "done"]

    def cancelled(self) -> list[int]:
        return [job_id for job_id, event in self.told if event["event"] == "cancelled"]

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(100_000):
            if condition():
                return
            self.turns.turn()
        pytest.fail("it did not happen")


def test_short_jobs_run_to_their_end_in_the_order_of_asking() -> None:
    room = Room()
    for k in range(10):
        room.ask(k, 0.7)
    finished: list[float] = []
    for k in range(10):
        room.until(lambda k=k: len(room.ended()) > k)
        finished.append(room.now)
    assert room.ended() == list(range(10))
    assert finished == pytest.approx([0.7 * (k + 1) for k in range(10)])


def test_ten_long_jobs_share_alike() -> None:
    room = Room()
    jobs = [room.ask(k, 30) for k in range(10)]
    room.until(lambda: room.now >= 105)
    shares = [job.attained for job in jobs]
    assert not room.ended()
    assert sum(shares) == pytest.approx(room.now)
    assert max(shares) - min(shares) <= 1.3


def test_a_short_job_passes_a_long_one_and_the_long_one_is_not_stopped() -> None:
    room = Room()
    long = room.ask(1, 1_000)
    room.until(lambda: long.attained > 5)
    began = room.now
    room.ask(2, 0.5)
    room.until(lambda: 2 in room.ended())
    assert room.now - began < 0.8
    # people who drag all the time leave it a fifth
    before, began = long.attained, room.now
    for k in range(100):
        room.ask(10 + k, 0.2, session="drags")
        room.until(lambda k=k: 10 + k in room.ended())
    assert 0.1 < (long.attained - before) / (room.now - began) < 0.3


def test_what_somebody_waits_for_comes_before_the_background() -> None:
    room = Room()
    sweep = room.ask(1, 3, kind="sweep")
    room.until(lambda: sweep.attained > 0.2)
    before = sweep.attained
    room.ask(2, 2)
    room.until(lambda: 2 in room.ended())
    assert sweep.attained == before
    room.until(lambda: 1 in room.ended())


def test_a_newer_question_replaces_the_older_one_of_its_session() -> None:
    room = Room()
    gone: list[int] = []
    for k, (session, kind) in enumerate(
        [("a", "open"), ("a", "sweep"), ("b", "lab"), ("a", "lr_range"), ("a", "lab"), ("a", "sweep"), ("a", "lab")]
    ):
        room.ask(k, 1, session=session, kind=kind, ended=lambda k=k: gone.append(k))
        room.turns.turn()
    assert room.cancelled() == [0, 1, 4] == gone
    room.until(lambda: not room.turns.jobs)
    assert sorted(room.ended()) == [2, 3, 5, 6]
    assert sorted(gone) == list(range(7))


def test_a_question_interrupts_a_turn_and_cancels_at_once() -> None:
    room = Room()
    job = room.ask(1, 10)
    room.turns.turn(lambda: True)
    assert job.attained == pytest.approx(0.01)
    room.turns.cancel(1)
    room.turns.cancel(1)
    room.turns.cancel(77)
    assert room.told == [(1, {"event": "cancelled"})]
    room.turns.turn()  # nothing to do


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("the disk is full"), "the disk is full"),
        (MemoryError(), "the machine's memory is too small for these settings"),
        (KeyError("x"), "unexpected KeyError: 'x'"),
        (None, "the computation ended without a result"),
    ],
)
def test_a_failure_is_one_sentence_and_the_others_go_on(error: Exception | None, said: str) -> None:
    def fails() -> Generator[Event | None, None, None]:
        if error is not None:
            raise error
        return
        yield None

    room = Room()
    room.turns.add(Job(1, "a", "lab", False, fails()))
    room.ask(2, 0.1)
    room.until(lambda: not room.turns.jobs)
    assert room.told == [(1, {"event": "error", "message": said}), (2, {"event": "done"})]


# --- work in a thread


def test_a_thread_goes_on_only_in_its_turn_and_gives_its_result() -> None:
    came = []

    def job(emit: Callable[[Event | None], None]) -> int:
        for k in range(3):
            came.append(k)
            emit({"event": "progress", "k": k})
        return 7

    steps = beside(job)
    assert not came
    seen = [next(event for event in steps if event is not None)]
    assert came == [0]
    result = None
    while result is None:
        try:
            event = next(steps)
        except StopIteration as end:
            result = end.value
        else:
            seen += [event] if event is not None else []
    assert (result, came, [event["k"] for event in seen]) == (7, [0, 1, 2], [0, 1, 2])


def test_a_failing_thread_fails_its_generator() -> None:
    def job(emit: Callable[[Event | None], None]) -> None:
        raise StoreError("no room")

    with pytest.raises(StoreError, match="no room"):
        list(beside(job))


def test_a_closed_generator_ends_its_thread_at_the_next_word() -> None:
    ended = threading.Event()

    def job(emit: Callable[[Event | None], None]) -> None:
        try:
            emit(None)
        except Cancelled:
            ended.set()

    steps = beside(job)
    next(steps)
    steps.close()
    assert ended.wait(60)


# --- features


@dataclass
class Fake:
    """Features of a size, without any."""

    nbytes: int


@dataclass
class Opener:
    """Stands for `lab.open_lab`."""

    opened: list[str] = field(default_factory=list)
    given_up: threading.Event = field(default_factory=threading.Event)
    error: CovidvizError | None = None

    def __call__(self, config: Any, tell: Callable[[str, int, int], None]) -> Fake:
        self.opened.append(config)
        try:
            for k in range(3):
                tell("reading images", k + 1, 3)
            tell("computing features, train", 1, 1)
        except Cancelled:
            self.given_up.set()
            raise
        if self.error is not None:
            raise self.error
        return Fake(10)


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    one = Opener()
    monkeypatch.setattr(shelf.lab, "open_lab", one)
    monkeypatch.setattr(shelf, "TELL_S", 0.0)
    return one


def drive(*waiting: Generator[Event | None, None, Any]) -> tuple[list[Any], list[Event]]:
    """All of them in turns, to their ends: what they return, and what they yield."""
    found: dict[int, Any] = {}
    events = []
    while len(found) < len(waiting):
        for k, one in enumerate(waiting):
            if k not in found:
                try:
                    events.append(next(one))
                except StopIteration as end:
                    found[k] = end.value
                except CovidvizError as error:
                    found[k] = error
    return [found[k] for k in range(len(waiting))], [event for event in events if event is not None]


def test_who_asks_at_the_same_time_gets_the_same_features_computed_once(opener: Opener) -> None:
    one = Shelf(100)
    found, events = drive(*(one.obtain("key", "key") for _ in range(3)))  # type: ignore[arg-type]
    assert found[0] is found[1] is found[2]
    assert opener.opened == ["key"]
    assert {"event": "progress", "what": "reading images", "done": 3, "total": 3} in events
    assert drive(one.obtain("key", "key"))[0] == [found[0]]  # type: ignore[arg-type]
    assert opener.opened == ["key"]


def test_a_failure_reaches_all_who_wait_and_is_not_kept(opener: Opener) -> None:
    one, opener.error = Shelf(100), StoreError("no room")
    found, _ = drive(*(one.obtain("key", "key") for _ in range(2)))  # type: ignore[arg-type]
    assert found == [opener.error] * 2
    opener.error = None
    assert drive(one.obtain("key", "key"))[0][0].nbytes == 10  # type: ignore[arg-type]


def test_the_longest_unused_go_when_there_are_too_many_or_too_large(opener: Opener) -> None:
    one = Shelf(35, most=4)
    for key in ("a", "b", "c", "a", "d"):
        drive(one.obtain(key, key))  # type: ignore[arg-type]
    assert list(one.kept) == ["c", "a", "d"]
    few = Shelf(1_000, most=2)
    for key in ("a", "b", "c"):
        drive(few.obtain(key, key))  # type: ignore[arg-type]
    assert list(few.kept) == ["b", "c"]
    small = Shelf(1)
    drive(small.obtain("a", "a"))  # type: ignore[arg-type]
    assert list(small.kept) == ["a"]


def test_what_nobody_wants_any_more_is_given_up_and_what_somebody_wants_is_not(opener: Opener) -> None:
    one = Shelf(100)
    one.want("key", 1)
    first = one.obtain("key", "key")  # type: ignore[arg-type]
    next(first)
    one.want("key", 2)  # the next question of the same session
    first.close()
    one.leave("key", 1)
    second = one.obtain("key", "key")  # type: ignore[arg-type]
    next(second)
    assert opener.opened == ["key"]
    second.close()
    one.leave("key", 2)
    assert opener.given_up.wait(60)
    assert drive(one.obtain("key", "key"))[0][0].nbytes == 10  # type: ignore[arg-type]
    assert opener.opened == ["key", "key"]


# --- the process


class Process:
    """The worker, asked as the client asks it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "covidviz.training.compute"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=PROJECT, env={**os.environ, "COVIDVIZ_CACHE_DIR": str(cache)},
        )  # fmt: skip
        self.came: queue.SimpleQueue[Event] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.count = 0

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.came.put(json.loads(line))

    def send(self, **message: Any) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(message).encode() + b"\n")
        self.popen.stdin.flush()

    def ask(self, kind: str, config: Any, session: str = "s", **more: Any) -> int:
        self.count += 1
        self.send(id=self.count, session=session, background=kind == "sweep", kind=kind, config=config, **more)
        return self.count

    def until_end(self, job_id: int) -> list[Event]:
        """The events up to the end of a job, of all jobs."""
        events: list[Event] = []
        while not events or events[-1].get("id") != job_id or events[-1]["event"] not in ("done", "error", "cancelled"):
            events.append(self.came.get(timeout=120))
        return events

    def answer(self, kind: str, config: Any, **more: Any) -> list[Event]:
        job_id = self.ask(kind, config, **more)
        return [event for event in self.until_end(job_id) if event.get("id") == job_id]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    one = Process(tmp_path_factory.mktemp("cache"))
    yield one
    one.popen.kill()
    one.popen.wait()


SETTINGS = {"model": "resnet18", "weights": "none", "image_size": 64, "head": "8", "batch_size": 6, "epochs": 3,
            "trainable": "head", "device": "cpu", "precision": "fp32", "lr": 0.01}  # fmt: skip


def settings(bars: Path, **more: Any) -> dict[str, Any]:
    return prepare(TrainConfig.parse({"data": str(bars), **SETTINGS, **more}))[0].dump()


def test_the_lab_gives_the_numbers_of_a_run(
    process: Process, bars: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(process.cache))
    opened = process.answer("open", settings(bars))
    done = opened[-1]
    assert [done[name] for name in ("event", "n_train", "features", "critical")] == ["done", 18, 512, "covid19"]
    assert done["classes"] == ["covid19", "normal", "pneumonia"]
    assert {event["event"] for event in opened[:-1]} <= {"progress"}
    run_dir = make_run(**SETTINGS)
    assert work(run_dir) == "completed"
    log = (run_dir / "train.log").read_text()
    assert "train found" in log  # the lab's features are the run's
    assert "val found" in log
    run = Run(run_dir)
    samples, said = run.samples(), run.predictions()
    assert samples is not None
    assert said is not None
    val = samples[samples["split"] == "val"]
    assert done["val"]["ids"] == val["sample_id"].tolist()
    assert done["val"]["paths"] == val["path"].tolist()
    columns = list(done["classes"])
    assert done["val"]["labels"] == val[[f"label_{name}" for name in columns]].to_numpy().tolist()
    answer = process.answer("lab", settings(bars))
    epochs = [event for event in answer if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    logged = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for split in ("train", "val"):
        for row, event in zip([row for row in logged if row["split"] == split], epochs, strict=True):
            for name, value in event[split].items():
                assert value == pytest.approx(row[name], abs=1e-6), (split, name)
    best = json.loads((run_dir / "status.json").read_text())["best_epoch"]
    assert (answer[-1]["event"], answer[-1]["best_epoch"], answer[-1]["epochs"]) == ("done", best, 3)
    truth = said.set_index("sample_id").loc[done["val"]["ids"], [f"prob_{name}" for name in columns]]
    np.testing.assert_allclose(np.float32(answer[-1]["prob"]), truth.to_numpy(), atol=1e-6)


def test_a_sweep_tells_the_best_epoch_of_each_value(process: Process, bars: Path) -> None:
    *points, done = process.answer("sweep", settings(bars), field="lr", values=[0.001, 0.05])
    assert done["event"] == "done"
    assert [(event["value"], event["diverged"]) for event in points] == [(0.001, False), (0.05, False)]
    for event in points:
        epochs = process.answer("lab", settings(bars, lr=event["value"]))
        best = epochs[-1]["best_epoch"]
        assert event["val"] == next(one["val"] for one in epochs if one.get("epoch") == best)


def test_what_diverges_says_so_and_the_worker_lives_on(process: Process, bars: Path) -> None:
    wild = settings(bars, lr=10.0, momentum=0.99, epochs=200, dropout=0.0, head="")
    # Ten is the largest rate that is accepted; together with wild weights it is enough.
    wild["weight_decay"] = 1.0
    error = process.answer("lab", wild)[-1]
    assert (error["event"], error["diverged"]) == ("error", True)
    assert "became" in error["message"]
    points = process.answer("sweep", wild, field="lr", values=[10.0, 0.001])
    assert (points[0]["diverged"], points[0]["val"]) == (True, None)
    assert process.answer("lab", settings(bars))[-1]["event"] == "done"


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("dance", {}, "kind: 'dance' given"),
        ("lab", {"config": 7}, "unexpected"),
        ("lab", {"config": {"data": "/x", "lr": 1e6}}, "lr: 1000000.0 given"),
        ("lab", {"change": {"data": "/nowhere"}}, "/nowhere"),
        ("lab", {"change": {"trainable": "all"}}, "accepted in the lab: head"),
        ("lab", {"change": {"head": [8192] * 4000}}, "weights given"),
        ("sweep", {"field": "image_size", "values": [96]}, "leaves the features as they are"),
        ("sweep", {"field": "__class__", "values": [1]}, "field: '__class__' given"),
        ("sweep", {"field": "lr", "values": []}, "a list of 1 to 64 values"),
        ("sweep", {"field": "lr", "values": [-1]}, "lr: -1 given"),
        ("sweep", {}, "field: None given"),
    ],
)
def test_what_cant_be_used_is_an_error(
    process: Process, bars: Path, kind: str, more: dict[str, Any], said: str
) -> None:
    changed = {**settings(bars), **more.pop("change", {})} if "change" in more else settings(bars)
    more = {key: value for key, value in more.items() if key != "change"}
    error = process.answer(kind, more.pop("config", changed), **more)[-1]
    assert error["event"] == "error"
    assert said in error["message"]
    assert not error.get("diverged")


def test_the_range_test_answers_too(process: Process, bars: Path) -> None:
    for more in ({}, {"model": "squeezenet1_1", "trainable": "all"}):  # a head on features, and a whole network
        answer = process.answer("lr_range", settings(bars, **more))
        assert {"lr", "loss"} <= set(next(event for event in answer if event["event"] == "lr"))
        assert answer[-1]["event"] == "done"
        assert "suggested" in answer[-1]


def test_newer_questions_and_cancelling_end_what_runs(process: Process, bars: Path) -> None:
    endless = settings(bars, epochs=1000, seed=0)
    stale = process.ask("lab", endless)
    other = process.ask("lab", endless, session="other")
    sweep = process.ask("sweep", endless, field="lr", values=[0.001] * 60)
    newer = process.ask("lab", settings(bars))
    events = process.until_end(newer)
    assert [event["event"] for event in events if event["id"] == stale][-1] == "cancelled"
    assert [event["event"] for event in events if event["id"] == newer][-1] == "done"
    process.send(cancel=other)
    process.send(cancel=sweep)
    ends = {event["id"]: event["event"] for event in process.until_end(sweep)}
    assert (ends[sweep], ends.get(other, "cancelled")) == ("cancelled", "cancelled")
    assert process.answer("lab", settings(bars))[-1]["event"] == "done"


def test_it_ends_with_its_server() -> None:
    server = subprocess.Popen(
        [
            sys.executable, "-c",
            "import subprocess, sys, time\n"
            "worker = subprocess.Popen([sys.executable, '-m', 'covidviz.training.compute'], stdin=subprocess.PIPE)\n"
            "print(worker.pid, flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE, cwd=PROJECT,
    )  # fmt: skip
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    server.send_signal(signal.SIGKILL)
    server.wait()
    with contextlib.suppress(ProcessLookupError):
        while True:
            # An orphan is collected by another process; until then it is still listed.
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] in "ZX":
                break
            os.kill(pid, 0)


def test_the_key_of_the_features_holds_what_they_depend_on() -> None:
    base = TrainConfig.parse({"data": "/x", **SETTINGS})
    assert lab.key_of(base.replace(lr=0.5, head="", loss="focal", epochs=3)) == lab.key_of(base)
    assert lab.key_of(base.replace(image_size=96)) != lab.key_of(base)
