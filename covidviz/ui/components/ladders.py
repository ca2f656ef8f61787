"""The values of one setting, each with its runs as dots, and what it changed against the first."""

from __future__ import annotations

from typing import Any

from covidviz.ui.components import component

__all__ = ["ladders"]

_ladders = component("ladders", '<div class="ladders cv"></div>', parts=("wide",))


def ladders(tables: list[dict[str, Any]], *, metric: str, setting: str, key: str) -> None:
    """Draw one table per ladder.

    Args:
        tables: `title` (empty: none), `rows` of `value`, `runs` [{`title`, `value`}], `mean`, `sd` or None, and against
            the first row `diff`, `low`, `high` (None where unknown), `said` in words; the first row has `diff` None.
        metric, setting: names for people.
    """
    _ladders(key=key, data={"tables": tables, "metric": metric, "setting": setting})
