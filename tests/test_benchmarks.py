from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks
from benchmarks.table import machine, markdown


def test_table():
    assert markdown(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    assert "torch 2." in machine()


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_every_benchmark_fits_the_code_it_measures(name: str):
    """Imports only: what they measure takes minutes."""
    module = importlib.import_module(f"benchmarks.{name}")
    assert name == "table" or callable(module.main)
