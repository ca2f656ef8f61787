"""The documents say what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def test_the_settings_table_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("settings", PROJECT / "docs/settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (PROJECT / "docs/settings.md").read_text(encoding="utf-8") == module.settings_table()
