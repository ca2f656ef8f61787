"""Which datasets the form offers and reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from explored import make_dataset
from synthetic import write_synthetic_run

from covidviz.config import TrainConfig
from covidviz.errors import DataError
from covidviz.ui import datasets


@pytest.fixture
def here(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=18)


def address(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.setattr(st, "get_option", lambda name: value if name == "server.address" else None)


def test_data_roots_then_recently_used(here: Path, runs: Path, tmp_path: Path) -> None:
    used = make_dataset(tmp_path / "elsewhere" / "mine", n=18)
    write_synthetic_run(runs, 1, data=used)
    write_synthetic_run(runs, 2, data=tmp_path / "gone")
    offered = datasets.offered()
    assert str(here) in offered
    assert offered[-1] == str(used)
    assert datasets.title(str(used)) == "mine (elsewhere)"
    assert datasets.title(str(used / "labels.csv")) == "mine (elsewhere)"


@pytest.mark.parametrize("listening", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_any_readable_path_will_do(
    listening: str, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make_dataset(tmp_path / "elsewhere" / "mine", n=18)
    address(monkeypatch, listening)
    assert datasets.find(str(mine)) == mine


@pytest.mark.parametrize("listening", ["0.0.0.0", None, "myhost.example"])
def test_a_server_for_others_stays_within_its_roots(
    listening: str | None, here: Path, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make_dataset(tmp_path / "elsewhere" / "mine", n=18)
    address(monkeypatch, listening)
    assert datasets.find(str(here)) == here
    for path in (str(mine), "/etc", f"{here}/../../elsewhere/mine"):
        with pytest.raises(DataError, match="not below"):
            datasets.find(path)


def test_a_manifest_is_read_again_when_the_folder_changed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address(monkeypatch, "127.0.0.1")
    config = TrainConfig(data=str(here))
    first = datasets.of_config(config)
    assert datasets.of_config(config) is first
    table = (here / "labels.csv").read_text().splitlines()
    (here / "labels.csv").write_text("\n".join(table[:-1]) + "\n")
    assert len(datasets.of_config(config).samples) == len(first.samples) - 1
