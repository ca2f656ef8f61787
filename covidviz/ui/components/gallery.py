"""Tiles of X-rays with their heat maps; the opacity slider is a CSS variable and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.ui.components import component, text

__all__ = ["gallery"]

_gallery = component("gallery", text("heatbar.html") + '<div class="tiles cv"></div>')


def gallery(
    album: dict[str, Any],
    *,
    selected: str | None,
    label: str,
    key: str,
    on_pick: Callable[[str], None],
    bar: bool = True,
    room: str = "640px",
) -> None:
    """Draw the images of an `covidviz.ui.album.album`.

    Args:
        selected: sample id to mark.
        label: what these images are, for screen readers.
        on_pick: called before the next script run with the sample id of the clicked tile.
        bar: with its own heat map slider; a viewer on the same page has one that counts for both.
        room: height (CSS) beyond which the tiles scroll.
    """

    def picked() -> None:
        on_pick(str(st.session_state[key]["picked"]["id"]))

    data = {**album, "selected": selected, "label": label, "bar": bar, "room": room}
    _gallery(key=key, data=data, on_picked_change=picked)
