"""Putting the queue in another order, beside a scheduler that takes runs out of it."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from covidviz.jobs import queue as jobs_queue
from covidviz.jobs.queue import claims, dequeue, enqueue, queued, reorder
from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic


def _order(runs: Path) -> list[str]:
    return [row.run_id[-1] for row in queued(runs)]


@pytest.fixture
def four(runs: Path) -> dict[str, str]:
    """Four markers a, b, c, d, a second apart; by the last letter of their ids."""
    ids = {letter: f"20260101-00000{i}-x-000{letter}" for i, letter in enumerate("abcd")}
    for i, run_id in enumerate(ids.values()):
        _mark(runs, run_id, 100.0 + i)
    return ids


def _mark(runs: Path, run_id: str, since: float) -> None:
    (runs / run_id).mkdir(exist_ok=True)
    write_json_atomic(runs / run_id / layout.CONFIG, {"device": "cuda:1"})
    enqueue(runs / run_id, since=since)


@pytest.mark.parametrize(
    ("moved", "before", "order"),
    [("c", "a", "cabd"), ("a", None, "bcda"), ("a", "d", "bcad"), ("d", "c", "abdc"), ("b", "c", "abcd"),
     ("b", "a", "bacd"), ("d", None, "abcd")],
)  # fmt: skip
def test_a_run_comes_before_another(
    runs: Path, four: dict[str, str], moved: str, before: str | None, order: str
) -> None:
    assert reorder(runs, four[moved], four[before] if before else None)
    assert "".join(_order(runs)) == order
    assert {row.device for row in queued(runs)} == {"cuda:1"}  # the rest of the marker stays
    assert sorted(path.name for path in (runs / layout.QUEUE).iterdir()) == sorted(four.values())


def test_whoever_is_queued_later_still_comes_last(runs: Path, four: dict[str, str]) -> None:
    reorder(runs, four["a"])
    _mark(runs, "20260101-000009-x-000e", read_json(runs / layout.QUEUE / four["a"])["since"] + 0.01)  # type: ignore[index]
    assert "".join(_order(runs)) == "bcdae"


def test_moving_often_between_the_same_two_never_gets_stuck(runs: Path, four: dict[str, str]) -> None:
    for k in range(150):  # halving a second so often would need more digits than a float has
        assert reorder(runs, four["cd"[k % 2]], four["b"])
        assert "".join(_order(runs)) == ("acdb" if k % 2 else "adcb" if k else "acbd")


def test_runs_queued_in_the_same_instant_can_be_put_in_order(runs: Path) -> None:
    ids = [f"20260101-000000-x-000{letter}" for letter in "abcd"]
    for run_id in ids:
        _mark(runs, run_id, 100.0)
    assert reorder(runs, ids[3], ids[1])
    assert "".join(_order(runs)) == "adbc"


def test_what_does_not_wait_can_not_be_moved(runs: Path, four: dict[str, str]) -> None:
    before = queued(runs)
    assert not reorder(runs, "20260101-000000-x-ffff", four["a"])
    assert not reorder(runs, four["a"], "20260101-000000-x-ffff")
    assert not reorder(runs, four["a"], four["a"])
    assert queued(runs) == before
    for letter in "bcd":
        dequeue(runs / four[letter])
    assert reorder(runs, four["a"])  # alone: it is where it should be
    assert _order(runs) == ["a"]


def test_a_run_taken_meanwhile_does_not_come_back(
    runs: Path, four: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_json_atomic

    def taken_while_writing(path: Path, value: object) -> None:
        real(path, value)
        claim = layout.claimed_marker(runs / four["c"])
        claim.parent.mkdir(exist_ok=True)
        layout.queue_marker(runs / four["c"]).rename(claim)  # what a scheduler does

    monkeypatch.setattr(jobs_queue, "write_json_atomic", taken_while_writing)
    assert not reorder(runs, four["c"], four["a"])
    assert "".join(_order(runs)) == "abd"
    assert [claim.run_id for claim in claims(runs)] == [four["c"]]
    assert not [path for path in (runs / layout.QUEUE).iterdir() if path.name.startswith(".")]


def test_a_full_disk_leaves_the_queue_as_it_was(
    runs: Path, four: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def renames(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", renames)
    with pytest.raises(jobs_queue.StoreError, match="disk full"):
        reorder(runs, four["c"], four["a"])
    assert "".join(_order(runs)) == "abcd"


def test_the_scheduler_takes_them_in_the_new_order(queue) -> None:
    dirs = {name: queue.create(name) for name in ("one", "two", "three", "four")}
    for run_dir in dirs.values():
        enqueue(run_dir)
    assert reorder(queue.runs, dirs["four"].name, dirs["one"].name)
    assert reorder(queue.runs, dirs["one"].name)
    queue.start()
    queue.until(lambda: queue.states() == ["completed"] * 4)
    assert queue.starts() == ["four", "two", "three", "one"]


def test_reordering_while_the_scheduler_works_starts_each_run_once(queue) -> None:
    """Two people shuffle all the time; nothing is lost, nothing runs twice."""
    dirs = [queue.add(f"n{i}") for i in range(8)]
    done = threading.Event()

    def shuffle(step: int) -> None:
        while not done.is_set():
            waiting = [row.run_id for row in queued(queue.runs)]
            for k, run_id in enumerate(waiting):
                reorder(queue.runs, run_id, waiting[(k + step) % len(waiting)])

    people = [threading.Thread(target=shuffle, args=(step,)) for step in (1, 3)]
    for person in people:
        person.start()
    try:
        queue.start()
        queue.until(lambda: queue.states() == ["completed"] * len(dirs))
    finally:
        done.set()
        for person in people:
            person.join()
    assert Counter(queue.starts()) == Counter(f"n{i}" for i in range(8))
    queue.until(lambda: not queued(queue.runs))
