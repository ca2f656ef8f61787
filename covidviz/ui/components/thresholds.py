"""A threshold as a slider, or as a cost: everything that follows from it is computed in the browser as it moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.ui.components import component, text

__all__ = ["thresholds"]

_thresholds = component(
    "thresholds",
    text("thresholds.html"),
    parts=("lab_maths", "lab_charts", "lab_results", "thresholds_maths", "thresholds_charts"),
)


def thresholds(
    data: dict[str, Any],
    *,
    key: str,
    on_settled: Callable[[object, object], None],
    on_save: Callable[[object, object], None],
    on_open: Callable[[str], None],
) -> None:
    """Draw it.

    Args:
        data: `id` (another one starts anew), `url` of the scores (see `covidviz.ui.thresholds_data.binary`), `base`
            address of the pictures, `classes`, `single` label or not, `k` the class, `split` in words; `frozen` when
            nothing can be chosen here, `saves` when it can be kept; `threshold` (None: as trained) and `cost` of a miss
            (None: by hand), `saved` {`t`, `cost`, `words`} or None, `replaces` a class; `choices` {`t`, `fp`, `fn`} of
            `covidviz.evaluation.thresholds.Choices` or None; `curves`; `intervals` shown or not.
        on_settled: called before the next script run with threshold and cost when one was let go. Whether they make
            sense must be checked.
        on_save: called with both when they are to be kept.
        on_open: called with the sample id of a clicked picture.
    """

    def told(name: str) -> dict[str, Any]:
        value = st.session_state[key].get(name)
        return value if isinstance(value, dict) else {}

    _thresholds(
        key=key,
        data=data,
        on_settled_change=lambda: on_settled(told("settled").get("t"), told("settled").get("cost")),
        on_save_change=lambda: on_save(told("save").get("t"), told("save").get("cost")),
        on_open_change=lambda: on_open(str(told("open").get("id"))),
    )
