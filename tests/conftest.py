"""What every test shares: its own runs, data and cache folders, and the real X-rays where they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read when torch is loaded: threads that spin while they wait make parallel tests several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Of each parallel process its share of the cores: otherwise their threads wait for each other longer than they work.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


@pytest.fixture(scope="session", autouse=True)
def shared_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same for what several tests share: a run of a module's fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_RUNS_DIR", str(tmp_path_factory.mktemp("shared") / "runs"))
        patch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path_factory.mktemp("shared") / "cache"))
        yield


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's runs or caches."""
    monkeypatch.setenv("COVIDVIZ_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COVIDVIZ_DATA_ROOTS", str(tmp_path / "data"))
    # Streamlit's AppTest leaves its script there, which a process started later would run.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path


@pytest.fixture
def runs(folders: Path) -> Path:
    """An empty runs folder."""
    (folders / "runs").mkdir()
    return folders / "runs"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real labelled X-rays (`xray/`) and real weights (`weights/`), or skip."""
    given = os.environ.get("COVIDVIZ_TEST_DATA")
    if not given:
        pytest.skip("COVIDVIZ_TEST_DATA is not set")
    return Path(given)


@pytest.fixture(scope="session")
def tiny_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 60-image phantom dataset, made once per test session; read only."""
    from covidviz.data.phantoms import PhantomOptions, make_phantoms

    return make_phantoms(tmp_path_factory.mktemp("phantoms") / "tiny", PhantomOptions(size="tiny", seed=0))
