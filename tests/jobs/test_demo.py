"""The demo: three runs that differ in one setting, made once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from fake_worker import COMMAND

from covidviz import demo, weights_cache
from covidviz.jobs import scheduler, submit
from covidviz.store.reader import Run
from covidviz.store.runs import delete_run, list_run_dirs


@pytest.fixture
def said(queue, tiny_phantoms: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Phantoms are there, no weights are, and trainings are quick. Gives the lines that people are told."""
    data = queue.runs.parent / "data"
    data.mkdir(exist_ok=True)
    (data / "phantoms-small").symlink_to(tiny_phantoms)
    monkeypatch.setattr(demo, "data_dir", lambda: data)
    monkeypatch.setattr(weights_cache, "is_cached", lambda model: False)
    monkeypatch.setattr(weights_cache, "can_fetch", lambda model: False)
    quick = partial(scheduler.ensure_scheduler, command=COMMAND)
    monkeypatch.setattr(scheduler, "ensure_scheduler", quick)
    monkeypatch.setattr(submit, "ensure_scheduler", quick)
    return []


def test_three_runs_that_differ_in_one_setting(queue, said: list[str]) -> None:
    made = demo.make_demo(queue.runs, wait=True, on_progress=said.append)
    assert [run["state"] for run in made["runs"]] == ["completed"] * 3
    assert "from scratch" in made["weights"]
    assert made["weights"] in said
    configs = [Run(path).config() for path in list_run_dirs(queue.runs)]
    assert len(configs) == 3
    dumps = [config.dump() for config in configs if config is not None]
    differing = {key for key in dumps[0] if len({str(dump[key]) for dump in dumps}) > 1}
    assert differing == {"name", "lr", "backbone_lr"}
    assert all(dump["weights"] == "none" and dump["tags"] == ["demo"] for dump in dumps)
    assert any("completed" in line for line in said)


def test_a_second_time_makes_only_what_is_missing(queue, said: list[str]) -> None:
    first = demo.make_demo(queue.runs, wait=True, on_progress=said.append)
    delete_run(queue.runs / first["runs"][1]["run_id"])
    second = demo.make_demo(queue.runs, wait=False, on_progress=said.append)
    ids = [[run["run_id"] for run in made["runs"]] for made in (first, second)]
    assert (ids[0][0], ids[0][2]) == (ids[1][0], ids[1][2])
    assert ids[0][1] != ids[1][1]
    assert len(list_run_dirs(queue.runs)) == 3


def test_imagenet_weights_are_used_where_they_can_be_had(
    queue, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_cache, "can_fetch", lambda model: True)
    made = demo.make_demo(queue.runs, wait=False, on_progress=said.append)
    assert "downloaded" in made["weights"]
    assert {getattr(Run(path).config(), "weights", "") for path in list_run_dirs(queue.runs)} == {"imagenet"}
    monkeypatch.setattr(weights_cache, "is_cached", lambda model: True)
    assert "on this machine" in demo.make_demo(queue.runs, wait=False, on_progress=said.append)["weights"]


def test_phantoms_are_drawn_where_there_are_none(
    queue, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covidviz.data import phantoms

    drawn: list[tuple[Path, str]] = []

    def make(out: Path, options: phantoms.PhantomOptions, *, on_progress) -> Path:
        drawn.append((out, options.size))
        for i in range(100):
            on_progress(i + 1, 100)
        return (tmp_path / "data" / "phantoms-small").resolve()

    monkeypatch.setattr(demo, "data_dir", lambda: tmp_path / "fresh")
    monkeypatch.setattr(phantoms, "make_phantoms", make)
    demo.make_demo(queue.runs, wait=False, on_progress=said.append)
    assert drawn == [(tmp_path / "fresh" / "phantoms-small", "small")]
    assert "drawing phantoms: 100 %" in said
    assert len(said) < 20
