"""A loss over the probability that is said, drawn anew in the browser as its sliders move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.ui.components import component, text

__all__ = ["focal"]

_focal = component(
    "focal",
    text("focal.html"),
    parts=(
        "lab_maths", "lab_charts", "lab_controls", "thresholds_maths", "thresholds_charts",
        "focal_maths", "focal_charts",
    ),
)  # fmt: skip


def focal(data: dict[str, Any], *, key: str, on_settled: Callable[[dict[str, Any]], None]) -> None:
    """Draw it.

    Args:
        data: `id` (another one starts anew), `controls` as of `covidviz.ui.lab_settings.controls`, `settings` that
            differ from their defaults; `classes`, `k` the one that is looked at, `counts` [yes, no] of each; and either
            `url` of scores (`covidviz.ui.thresholds_data.binary`) or `made_up` {`n`, `c`, `prob`, `truth`} row by row.
        on_settled: called before the next script run with the settings that differ, when a slider was let go. Whether
            they make sense must be checked.
    """

    def settled() -> None:
        said = st.session_state[key].get("settled")
        on_settled(said if isinstance(said, dict) else {})

    _focal(key=key, data=data, on_settled_change=settled)
