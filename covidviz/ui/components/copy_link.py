"""A button that copies a link into this app."""

from __future__ import annotations

from covidviz.ui.components import component

__all__ = ["copy_link"]

_copy = component(
    "copy_link", '<span class="copy cv"><button type="button"></button><span class="said" role="status"></span></span>'
)


def copy_link(link: str, *, key: str, label: str = "Copy link") -> None:
    """The button.

    Args:
        link: path and query below the address of this app, such as `new_run?s=...`.
    """
    _copy(key=key, data={"link": link, "label": label}, width="content")
