"""Images that two runs judged, each tile with the heat map of both; a click shows them large, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.explain.overlay import PALETTES
from covidviz.ui.components import component, text

__all__ = ["flips"]

_html = text("flips.html").replace("<!-- viewer -->", text("viewer.html"))
_flips = component("flips", _html.replace("<!-- heatbar -->", text("heatbar.html")), parts=("heat", "store", "viewer"))


def flips(album: dict[str, Any], *, label: str, key: str, on_page: Callable[[int], None]) -> None:
    """Draw a page of images.

    Args:
        album: of `covidviz.ui.compare_flips.pair_album`, with `kind`, `word`, `offset`, `all`, `pages` and `page_at`.
        label: what these images are, for screen readers.
        on_page: called before the next script run with the page (from 0) to show.
    """

    def paged() -> None:
        on_page(int(st.session_state[key]["page"]["to"]))

    data = {**album, "label": label, "palettes": PALETTES, "views": True, "picks": False}
    _flips(key=key, data=data, on_page_change=paged)
