"""A Plotly figure that keeps zoom, legend and hover while its data grow."""

from __future__ import annotations

from typing import Any

from covidviz.ui.components import PLOTLY, component

__all__ = ["plot"]

_plot = component(
    "plot", '<div class="plot"></div>', isolate_styles=False
)  # Plotly writes its styles into the document


def plot(figure: dict[str, Any], *, key: str, label: str, height: int = 300, keep: str = "keep") -> None:
    """Draw a figure of `covidviz.ui.charts`.

    Args:
        figure: Plotly's JSON, `data` and `layout`; colours may be theme names such as `@0` or `@text`.
        label: what it shows, for screen readers.
        height: pixels.
        keep: zoom and legend are kept as long as this text stays the same, such as the run id.
    """
    data = {"figure": figure, "label": label, "height": height, "keep": keep, "library": PLOTLY}
    _plot(key=key, data=data, height=height)  # the room is there before the script is: nothing jumps
