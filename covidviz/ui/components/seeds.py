"""Runs that differ by their seed: mean and spread of a metric, and each run as a dot to click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from covidviz.ui.components import component

__all__ = ["seeds"]

_seeds = component("seeds", '<div class="seeds cv"></div>')


def seeds(metrics: Sequence[dict[str, Any]], *, title: str, key: str, on_pick: Callable[[str], None]) -> None:
    """Draw a line per metric.

    Args:
        metrics: `name`, `mean`, `spread`, and `points`: `id`, `name` (of the run), `value`, `here` (it is the one
            being looked at).
        title: what the runs have in common.
        on_pick: called before the next script run with the id of the clicked run.
    """

    def picked() -> None:
        if isinstance(asked := st.session_state[key].picked, dict):
            on_pick(str(asked["id"]))

    _seeds(key=key, data={"metrics": list(metrics), "title": title}, on_picked_change=picked)
