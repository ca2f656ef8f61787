"""A small line chart, drawn as SVG: what a setting does, beside the setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covidviz.ui.components import component

__all__ = ["curve"]

_curve = component("curve", '<div class="curve cv"></div>')


def curve(series: Sequence[dict[str, Any]], *, key: str, label: str, x: str, y: str, top: float | None = None,
          height: int = 76) -> None:  # fmt: skip
    """Draw lines from 0.

    Args:
        series: `name`, `x`, `y`, and `kind`: `first`, `second` or `quiet`, told apart by colour and dash.
        label: what it shows, for screen readers.
        x, y: names of the axes.
        top: the highest y shown; default: the highest there is.
        height: of the drawing, pixels.
    """
    _curve(key=key, data={"series": list(series), "label": label, "x": x, "y": y, "top": top, "height": height})
