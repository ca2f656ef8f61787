"""What every test of a page shares: choosing a dataset starts no check of it, which would take seconds beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from covidviz.ui import doctor


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """The datasets and split columns that pages wanted to have checked."""
    asked: list[tuple[Path, str]] = []
    monkeypatch.setattr(doctor, "_begun", set())
    monkeypatch.setattr(doctor, "WAIT_S", 60)  # on a slow machine too
    monkeypatch.setattr(doctor, "_launch", lambda path, split_column: asked.append((path, split_column)))
    return asked
