"""The System page: devices, queue, disk, versions, and what is said about the GPU."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.errors import StoreError
from covidviz.jobs import diagnosis
from covidviz.jobs.devices import Slot
from covidviz.jobs.diagnosis import Facts, Gpu
from covidviz.jobs.queue import Claim, Waiting, enqueue, queued
from covidviz.jobs.versions import TorchBuild
from covidviz.store import layout
from covidviz.store.files import write_json_atomic
from covidviz.store.index import RunSummary
from covidviz.store.runs import delete_run
from covidviz.store.status import read_status
from covidviz.ui import flash, nav, server, system_data, system_page
from covidviz.ui.system_data import Meter, places, queue_items, size

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"
HOSTILE = "<img src=x> ![b](http://evil.example/x.png) **bold**"
SLOTS = [Slot("cuda:0", "H200", "0"), Slot("cuda:1", "H200", "1"), Slot("cpu", "CPU", "")]


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with queued runs would start a real one."""
    monkeypatch.setattr(server, "ensure_scheduler", lambda runs_dir: False)
    server.keep_queue.clear()


def page() -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.switch_page(nav.SYSTEM).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    parts = [*at.title, *at.subheader, *at.markdown, *at.error, *at.success, *at.caption, *at.metric, *at.code]
    shown = "\n".join(f"{getattr(part, 'label', '')} {part.value}" for part in parts)
    return shown.replace("\\", "").replace("\u2060", "")


def waiting_list(at: AppTest) -> list[dict[str, str]]:
    given = [node.proto.json for node in at.get("bidi_component") if node.proto.id.endswith("-system_queue_list")]
    return json.loads(given[0])["items"] if given else []


def machine(monkeypatch: pytest.MonkeyPatch, facts: Facts, slots: list[Slot] | None = None) -> None:
    monkeypatch.setattr(diagnosis, "look", lambda: facts)
    if slots is not None:
        monkeypatch.setattr(system_page, "slots", lambda: slots)
    system_page._machine.clear()


@pytest.fixture(autouse=True)
def fresh_machine() -> Any:
    yield
    system_page._machine.clear()


# --- plain values ---


@pytest.mark.parametrize(
    ("n", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_400, "999 kB"), (999_600, "1.0 MB"), (3_440_000, "3.4 MB"),
     (999_960_000, "1.00 GB"), (1_200_000_000, "1.20 GB"), (5_000_000_000_000, "5.00 TB")],
)  # fmt: skip
def test_sizes_for_people(n: int, shown: str) -> None:
    assert size(n) == shown


def _run(name: str, state: str = "running", device: str = "cuda:0") -> RunSummary:
    return RunSummary(name, name, state, device=device)


def test_the_claim_says_which_gpu_not_the_training_that_sees_only_its_own() -> None:
    runs = [_run("a"), _run("b"), _run("c", "completed"), _run("d", "queued")]
    found, elsewhere = places(SLOTS, runs, [Claim("a", "cuda:1"), Claim("b", "cuda:0")], lambda _: True)
    assert [(place.slot.name, place.run.run_id if place.run else None) for place in found] == [
        ("cuda:0", "b"), ("cuda:1", "a"), ("cpu", None),
    ]  # fmt: skip
    assert elsewhere == []


def test_a_training_in_a_terminal_has_its_device_too() -> None:
    queued_one, terminal, remote, other = _run("a"), _run("b", device="cpu"), _run("r"), _run("x", device="cuda:0 H200")
    found, elsewhere = places(
        SLOTS, [terminal, remote, queued_one, other], [Claim("a", "cuda:0")], lambda run_id: run_id != "r"
    )
    assert [place.run.run_id if place.run else None for place in found] == ["a", None, "b"]
    assert {run.run_id for run in elsewhere} == {"r", "x"}  # another machine; and a second one on the same GPU


def test_the_queue_in_words() -> None:
    runs = {name: _run(name, "queued") for name in "abc"} | {"d": _run("d", "running")}
    waiting = [Waiting("b", 1, "auto"), Waiting("gone", 2, "auto"), Waiting("d", 3, "cpu"), Waiting("a", 4, "cuda:1")]
    assert [(row["id"], row["note"]) for row in queue_items(waiting, runs)] == [("b", "any device"), ("a", "cuda:1")]


# --- the page ---


def test_an_empty_machine(runs: Path) -> None:
    said = texts(page())
    for part in ("GPU set-up", "Devices", "○ free", "Nothing waits.", "0 runs", "Trash 0 B", "Versions", "streamlit"):
        assert part in said
    assert "torch" in said


@pytest.mark.parametrize(
    ("facts", "word", "says"),
    [
        (Facts(TorchBuild("2.15.0+cu132", "13.2"), (Gpu(0, "NVIDIA H200"),), "580.82.07"), "✓ ready", "fit together"),
        (Facts(TorchBuild("2.15.0+cpu", None), (Gpu(0, "<b>GPU</b>"),), "580.82.07"), "! not used", "What helps:"),
        (Facts(TorchBuild("2.15.0+cu132", "13.2")), "○ no GPU", "trainings run on the CPU"),
        (Facts(None), "! not used", "requirements.txt"),
    ],
)
def test_the_gpu_is_judged(runs: Path, monkeypatch: pytest.MonkeyPatch, facts: Facts, word: str, says: str) -> None:
    machine(monkeypatch, facts)
    at = page()
    assert word in texts(at)
    assert says in texts(at)
    assert not any("<b>" in str(part.value).replace("\\<", "") for part in at.markdown)


def test_look_again_asks_anew(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, Facts(TorchBuild("2.15.0+cu132", "13.2")))
    at = page()
    monkeypatch.setattr(diagnosis, "look", lambda: Facts(TorchBuild("2.15.0+cu132", "13.2"), plugged=1))
    at.run()
    assert "no driver for it" not in texts(at)  # kept: asking takes a second
    at.button(key="system_again").click().run()
    assert "no driver for it" in texts(at)


def test_each_device_with_its_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = (Gpu(0, "H200", 143_771), Gpu(1, "H200"))
    machine(monkeypatch, Facts(TorchBuild("2.15.0+cu132", "13.2"), gpus, "580.82.07"), SLOTS)
    here = write_synthetic_run(runs, 1, "running", name=HOSTILE)
    (runs / layout.CLAIMED).mkdir(parents=True)
    write_json_atomic(layout.claimed_marker(here), {"since": 1, "device": "auto", "slot": "cuda:1"})
    away = write_synthetic_run(runs, 2, "running", name="far away")
    status = json.loads((away / layout.STATUS).read_text())
    write_json_atomic(away / layout.STATUS, {**status, "host": "cluster-7"})
    (here / layout.SYSTEM).write_text(
        '{"time": 1, "cpu_percent": 42.0, "gpu_percent": 97.4, "gpu_memory_mb": 2048.0}\n'
    )
    at = page()
    said = texts(at)
    assert "H200 (cuda:0)" in said
    assert said.count("GiB memory") == 1
    assert "140 GiB memory" in said
    assert said.count("○ free") == 2
    assert f"► {HOSTILE[:20]}" in said
    assert "GPU 97 % · GPU memory 2,048 MB · CPU 42 %" in said
    assert "far away" in said
    assert "on cluster-7" in said
    at.button(key=f"system_stop_{here.name}").click().run()
    assert (here / layout.STOP).exists()


def test_the_queue_is_listed_in_its_order(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i, "queued", name=f"n{i}") for i in (1, 2, 3)]
    for i in (2, 0, 1):
        enqueue(dirs[i], since=100.0 + (i + 1) % 3)
    at = page()
    assert [row["name"] for row in waiting_list(at)] == ["n3", "n1", "n2"]
    assert "3 waiting" in texts(at)


def test_moving_and_cancelling(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(flash, "say", lambda text, kind="done": said.append(f"{kind}: {text}"))
    dirs = [write_synthetic_run(runs, i, "queued") for i in (1, 2, 3)]
    for run_dir in dirs:
        enqueue(run_dir)
    ids = [path.name for path in dirs]
    system_page._move(ids[2], ids[0])
    assert [row.run_id for row in queued(runs)] == [ids[2], ids[0], ids[1]]
    assert said == []
    system_page._cancel(ids[0])
    assert read_status(dirs[0]).state == "stopped"
    said.clear()
    system_page._move(ids[0], ids[1])
    system_page._move("../../etc/passwd", None)
    system_page._move(ids[1], "../x")
    assert len(said) == 3
    assert all("note: The queue has changed" in text for text in said)
    assert [row.run_id for row in queued(runs)] == [ids[2], ids[1]]

    def full(*_: object) -> bool:
        raise StoreError("disk full: it could not be written")

    monkeypatch.setattr(system_page, "reorder", full)
    system_page._move(ids[2], None)
    assert said[-1] == "error: disk full: it could not be written"


def test_it_is_polled_only_while_something_lives(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = st.fragment
    monkeypatch.setattr(st, "fragment", lambda func=None, *, run_every=None, **more: asked.append(run_every)
                        or real(func, run_every=run_every, **more))  # fmt: skip
    write_synthetic_run(runs, 1)
    page()
    assert asked
    assert not any(asked)
    write_synthetic_run(runs, 2, "running")
    page()
    assert system_page.POLL_S in asked


# --- disk ---


def _with_checkpoint(runs: Path, i: int, state: str = "completed") -> Path:
    run_dir = write_synthetic_run(runs, i, state, name=f"n{i}")
    (run_dir / layout.CHECKPOINTS).mkdir()
    (run_dir / layout.LAST).write_bytes(b"x" * 2_000_000)
    return run_dir


def test_nothing_is_deleted_before_it_is_confirmed(runs: Path) -> None:
    kept, failed = _with_checkpoint(runs, 1), _with_checkpoint(runs, 2, "failed")
    gone = delete_run(_with_checkpoint(runs, 3))
    at = page()
    said = texts(at)
    assert "2 runs 4.0 MB" in said
    assert "1 deleted run that can be restored" in said
    assert "Drop 1 checkpoint: frees 2.0 MB." in said
    assert (kept / layout.LAST).exists()
    assert gone.exists()
    at.button(key="system_clean_last_yes").click().run()
    assert not (kept / layout.LAST).exists()
    assert (failed / layout.LAST).exists()
    assert gone.exists()
    assert "Freed 2.0 MB." in texts(at)
    at.button(key="system_clean_trash_yes").click().run()
    assert not gone.exists()
    assert failed.is_dir()
    assert "No deleted runs." in texts(at)


def test_a_clean_up_that_fails_is_said(runs: Path, tmp_path: Path) -> None:
    def refuse() -> int:
        raise StoreError("no")

    meter = Meter(runs, tmp_path / "cache", tmp_path / "data")
    meter.clear("Emptying", refuse)
    meter.wait(10)
    assert meter.said == ("no", False)
    assert meter.usage is not None
    assert meter.doing == ""


def test_one_clean_up_at_a_time(tmp_path: Path) -> None:
    meter, go, done = Meter(tmp_path, tmp_path, tmp_path), threading.Event(), []

    def slow() -> int:
        go.wait(10)
        done.append("slow")
        return 5

    meter.clear("Slow", slow)
    assert meter.doing == "Slow"
    meter.clear("Second", lambda: done.append("second") or 0)
    meter.measure()
    assert meter.doing == "Slow"
    go.set()
    meter.wait(10)
    assert done == ["slow"]
    assert meter.said == ("Freed 5 B.", True)


def test_a_slow_disk_does_not_hold_up_the_page(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), system_data.measure

    def slow(*folders: Path) -> Any:
        go.wait(30)
        return real(*folders)

    monkeypatch.setattr(system_data, "measure", slow)
    write_synthetic_run(runs, 1)
    at = page()
    assert "Measuring the disk …" in texts(at)
    assert "Versions" in texts(at)
    assert not at.metric
    go.set()
    meter = at_meter()
    meter.wait(10)
    at.run()
    assert next(metric.label for metric in at.metric) == "1 run"
    assert "Measuring" not in texts(at)


def at_meter() -> Meter:
    from covidviz.paths import cache_dir, data_dir, runs_dir
    from covidviz.ui import system_disk

    return system_disk._meter(str(runs_dir()), str(cache_dir()), str(data_dir()))
