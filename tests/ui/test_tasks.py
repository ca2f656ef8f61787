"""Work that pages start in the background."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from covidviz.ui import background, tasks


def wait(name: str, seconds: float = 60) -> tasks.Task:
    until = time.monotonic() + seconds
    while (task := tasks.look(name)) is None or task.alive:
        assert time.monotonic() < until, "it did not end"
        time.sleep(0.1)
    return task


def test_work_runs_beside_the_page_and_ends(runs: Path, tmp_path: Path) -> None:
    assert tasks.look("phantoms") is None
    tasks.start("phantoms", "phantoms", str(tmp_path / "made"), "tiny")
    assert tasks.look("phantoms") is not None
    tasks.start("phantoms", "phantoms", str(tmp_path / "again"), "tiny")  # one at a time
    task = wait("phantoms")
    assert (task.failed, task.share) == (None, 1.0)
    assert (tmp_path / "made" / "labels.csv").is_file()
    assert not (tmp_path / "again").exists()
    tasks.forget("phantoms")
    assert tasks.look("phantoms") is None


def test_a_failure_is_one_sentence(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    tasks.start("phantoms", "phantoms", str(tmp_path / "full"), "tiny")
    task = wait("phantoms")
    assert task.failed is not None
    assert "not an empty folder" in task.failed


def test_after_a_restart_of_the_server_a_dead_process_is_seen(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.start("work", "nothing of the kind")
    wait("work")
    monkeypatch.setattr(tasks, "_PROCESSES", {})
    task = tasks.look("work")
    assert task is not None
    assert not task.alive


def test_wrong_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert background.main(["dance"]) == 2
    assert "accepted" in capsys.readouterr().out


def test_the_demo_is_queued_not_waited_for(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("covidviz.demo.make_demo", lambda *args, **kwargs: asked.append((args, kwargs["wait"])))
    assert background.main(["demo", str(runs)]) == 0
    assert asked == [((runs,), False)]
