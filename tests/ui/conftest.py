"""What every test of a page shares: what would take seconds beside it is left out, or done once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner

from covidviz.ui import doctor


@pytest.fixture(scope="session", autouse=True)
def packages_are_read_once() -> Iterator[None]:
    """AppTest looks into every installed package for components at each run: half of its time."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", once)
        yield


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """The datasets and split columns that pages wanted to have checked; choosing one starts no check."""
    asked: list[tuple[Path, str]] = []
    monkeypatch.setattr(doctor, "_begun", set())
    monkeypatch.setattr(doctor, "WAIT_S", 60)  # on a slow machine too
    monkeypatch.setattr(doctor, "_launch", lambda path, split_column: asked.append((path, split_column)))
    return asked
