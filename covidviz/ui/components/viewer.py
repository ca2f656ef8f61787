"""One image large: heat map of any class, probabilities, facts, previous and next by button and arrow key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.ui.components import component, text

__all__ = ["viewer"]

_viewer = component("viewer", text("viewer.html").replace("<!-- heatbar -->", text("heatbar.html")))


def viewer(album: dict[str, Any], *, selected: str, key: str, on_pick: Callable[[str], None]) -> None:
    """Show one image of an `covidviz.ui.album.album`. Steps within the album are shown at once, then reported.

    Args:
        selected: sample id to show.
        on_pick: called before the next script run with the sample id that was stepped to, also beyond the album's ends.
    """

    def picked() -> None:
        on_pick(str(st.session_state[key]["picked"]["id"]))

    _viewer(key=key, data={**album, "selected": selected}, on_picked_change=picked)
