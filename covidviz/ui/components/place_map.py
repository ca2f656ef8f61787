"""The images of a run as points: a lasso or a box chooses some, the pointer shows pictures, keys go among them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from covidviz.ui.components import component, text

__all__ = ["place_map"]

_place_map = component("place_map", text("place_map.html"))


def place_map(
    url: str,
    run_id: str,
    *,
    area: list[list[float]] | None,
    key: str,
    on_area: Callable[[object], None],
    on_open: Callable[[str, bool], None],
) -> None:
    """Draw the points that `url` answers (see `covidviz.ui.places.points`).

    Args:
        url: another one when anything about the points changed.
        area: corners of the outline that is chosen, in 0..1; None: nothing is.
        on_area: called before the next script run with an outline (see `covidviz.ui.places.area_of`), None for no
            choice.
        on_open: called with the sample id of an image that is to be shown large, and whether it is among those chosen.
    """

    def outlined() -> None:
        value = st.session_state[key].get("area")
        on_area(value.get("area") if isinstance(value, dict) else None)

    def opened() -> None:
        if isinstance(asked := st.session_state[key].open, dict):
            on_open(str(asked.get("id")), asked.get("chosen") is True)

    _place_map(
        key=key, data={"url": url, "run": run_id, "area": area}, on_area_change=outlined, on_open_change=opened
    )  # fmt: skip
