"""Tiles of X-rays with their heat maps, and one of them large. Opacity, colours, class and zoom send nothing.

The tiles stay few in the document however many images there are; the browser asks the app's own routes for the pages of
the list, the pictures and the raw heat maps that come into view. See gallery.js and its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.explain.overlay import PALETTES
from covidviz.ui import flash, heat_tasks, pictures
from covidviz.ui.components import component, text

__all__ = ["browser", "gallery"]

ROOM = "640px"

_html = text("gallery.html").replace("<!-- viewer -->", text("viewer.html"))
_gallery = component(
    "gallery", _html.replace("<!-- heatbar -->", text("heatbar.html")), parts=("heat", "store", "look", "viewer")
)


def gallery(
    album: dict[str, Any],
    *,
    selected: str | None,
    label: str,
    key: str,
    on_pick: Callable[[str], None],
    room: str = ROOM,
) -> None:
    """Tiles only: a click says which.

    Args:
        album: of `covidviz.ui.album`.
        selected: sample id to mark.
        label: what these images are, for screen readers.
        on_pick: called before the next script run with the sample id of the clicked tile.
        room: height (CSS) beyond which the tiles scroll.
    """

    def picked() -> None:
        on_pick(str(st.session_state[key]["picked"]["id"]))

    data = {**album, "selected": selected, "label": label, "room": room, "palettes": PALETTES}
    _gallery(key=key, data=data, on_picked_change=picked, on_opened_change=_nothing, on_explain_change=_nothing)


def browser(
    album: dict[str, Any],
    *,
    label: str,
    key: str,
    on_open: Callable[[str | None], None],
    title: str = "",
    explain: dict[str, Any] | None = None,
    on_explain: Callable[[Sequence[str]], None] | None = None,
    select: bool = True,
    room: str = ROOM,
) -> None:
    """Tiles, and a click or Enter shows one of them over the whole window; the arrow keys go on to its neighbours.

    Args:
        album: of `covidviz.ui.album.query_album`; its `opened` is shown large.
        label: what these images are, for screen readers.
        on_open: called before the next script run with the sample id that is shown large, None when it was closed.
        title: head line of a contact sheet.
        explain: how images without a heat map get one: `missing` how many there are, `weights` whether it can be done,
            `task` None or {`busy`, `line`, `share`, `failed`}. None: it is not offered.
        on_explain: called with the sample ids to explain; empty means the first ones.
        select: with check boxes, to export what is selected.
    """

    def opened() -> None:
        on_open(str(st.session_state[key]["opened"]["id"]) or None)

    def explained() -> None:
        asked = st.session_state[key]["explain"]
        if "more" in asked:
            _more(album, asked)
        elif on_explain is not None:
            on_explain([str(name) for name in st.session_state[key]["explain"]["ids"]])

    data = {
        **album, "label": label, "room": room, "palettes": PALETTES, "title": title, "views": True, "picks": select,
        "explain": explain,
    }  # fmt: skip
    _gallery(key=key, data=data, on_picked_change=_nothing, on_opened_change=opened, on_explain_change=explained)


def _more(album: dict[str, Any], asked: dict[str, Any]) -> None:
    """The detail view asks for other methods of one image, or for the lungs of its split."""
    run = pictures.find(str(album["run"]))
    if run is None:
        return
    try:
        if asked["more"] == "lungs":
            heat_tasks.find_lungs(run, str(album["split"]))
        else:
            names = [str(name) for name in asked.get("methods", [])]
            heat_tasks.otherwise(run, str(album["split"]), str(asked["ids"][0]), names)
    except CovidvizError as error:
        flash.say(error, "error")


def _nothing() -> None: ...
