"""Which datasets are offered, and which typed paths are accepted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from covidviz.data.datasets import datasets, resolve_dataset
from covidviz.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setattr("covidviz.paths.PROJECT", tmp_path / "project")
    return root


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_every_layout_is_offered(root: Path, tmp_path: Path) -> None:
    put(
        root / "table/labels.csv", root / "splits/Train/covid/1.jpg", root / "classes/a/1.png", root / "classes/b/1.JPG"
    )
    put(
        root / "one/a/1.png",
        root / "texts/a/1.txt",
        root / "texts/b/1.txt",
        root / "loose.png",
        root / ".hidden/labels.csv",
    )
    (root / "empty").mkdir()
    put(tmp_path / "project/data/phantoms/labels.csv")
    found = datasets()
    assert found == [tmp_path / "project/data/phantoms", root / "classes", root / "splits", root / "table"]


def test_a_root_may_be_a_dataset(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "xray/labels.csv", tmp_path / "xray/images/1.png", root / "x/labels.csv")
    monkeypatch.setenv(
        "COVIDVIZ_DATA_ROOTS", os.pathsep.join([str(tmp_path / "xray"), str(root), str(tmp_path / "gone")])
    )
    assert datasets() == [tmp_path / "xray", root / "x"]


def test_no_roots(root: Path) -> None:
    root.rmdir()
    assert datasets() == []


def test_typed_paths_below_a_root(root: Path) -> None:
    put(root / "x/labels.csv")
    for anywhere in (False, True):
        assert resolve_dataset(str(root / "x"), anywhere=anywhere) == root / "x"
        assert resolve_dataset(" x ", anywhere=anywhere) == root / "x"
        assert resolve_dataset("x/labels.csv", anywhere=anywhere) == root / "x/labels.csv"
        with pytest.raises(DataError, match="'y'"):
            resolve_dataset("y", anywhere=anywhere)


@pytest.mark.parametrize("text", ["../elsewhere", "{root}/../elsewhere", "/etc", "x/../../elsewhere", "~", "link"])
def test_typed_paths_outside_the_roots(root: Path, tmp_path: Path, text: str) -> None:
    put(root / "x/labels.csv", tmp_path / "elsewhere/labels.csv")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"is not below a data folder of this server, accepted below: "):
        resolve_dataset(text.format(root=root), anywhere=False)


def test_anywhere_on_loopback(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/labels.csv")
    assert resolve_dataset(str(tmp_path / "elsewhere"), anywhere=True) == tmp_path / "elsewhere"
    with pytest.raises(DataError, match="does not exist"):
        resolve_dataset(str(tmp_path / "gone"), anywhere=True)


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_no_path_at_all(root: Path, text: str) -> None:
    with pytest.raises(DataError, match="dataset"):
        resolve_dataset(text, anywhere=True)
