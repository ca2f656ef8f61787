"""The same settings over several seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
from explored import make_dataset

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, InputError
from covidviz.jobs import repeat
from covidviz.jobs.queue import queued
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "ensure_scheduler", lambda runs_dir: None)


def test_one_run_is_left_as_it_is() -> None:
    config = TrainConfig(data="/x", seed=4)
    assert repeat.seeds_of(config, 1) == [config]


def test_seeds_follow_each_other_and_share_the_rest() -> None:
    config = TrainConfig(data="/x", seed=4, name="n" * 200, tags=("a",), lr=0.5)
    made = repeat.seeds_of(config, 3)
    assert [one.seed for one in made] == [4, 5, 6]
    assert len({one.name for one in made}) == 3
    same = {"seed": 0, "name": "", "tags": ()}
    assert {one.replace(**same) for one in made} == {config.replace(**same)}
    assert {one.tags for one in made} == {("a", "seeds 4 to 6")}


def test_a_seed_beyond_the_last_one() -> None:
    with pytest.raises(ConfigError, match="seed"):
        repeat.seeds_of(TrainConfig(data="/x", seed=2**31 - 1), 2)


def test_all_are_queued_in_order(runs: Path, folders: Path) -> None:
    data = make_dataset(folders / "data" / "noise", n=36)
    made = repeat.submit_repeats(TrainConfig(data=str(data), weights="none"), 3, runs)
    assert [row.run_id for row in queued(runs)] == [path.name for path in made]
    assert [config.seed for path in made if (config := Run(path).config())] == [0, 1, 2]


def test_nothing_is_made_where_one_is_refused(runs: Path, folders: Path) -> None:
    data = make_dataset(folders / "data" / "noise", n=36)
    config = TrainConfig(data=str(data), weights="none", monitor="val_recall_nosuch")
    with pytest.raises(InputError, match="nosuch"):
        repeat.submit_repeats(config, 2, runs)
    assert list_run_dirs(runs) == []
