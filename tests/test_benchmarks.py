from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks
from benchmarks.table import machine, markdown, wilson


@pytest.mark.parametrize(("right", "low", "high"), [(19, 0.49, 0.82), (21, 0.57, 0.87), (0, 0.0, 0.12)])
def test_wilson_interval_of_28_images(right: int, low: float, high: float):
    assert wilson(right, 28) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


def test_table():
    assert markdown(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    assert "torch 2." in machine()


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_every_benchmark_fits_the_code_it_measures(name: str):
    """Imports only: what they measure takes minutes."""
    module = importlib.import_module(f"benchmarks.{name}")
    assert name == "table" or callable(module.main)
