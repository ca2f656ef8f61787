"""The figure of a lesson: bars with intervals, large enough for a projector. Plotly's JSON for `components.plot`."""

from __future__ import annotations

from typing import Any

from covidviz.lessons.shape import Outcome

__all__ = ["bars_figure", "height_of", "in_words"]

_BAR = 40  # pixels


def height_of(outcome: Outcome) -> int:
    return 70 + _BAR * len(outcome.bars)


def bars_figure(outcome: Outcome) -> dict[str, Any]:
    """One bar below the other; what is compared with is paler, and its text is not bold."""
    bars = outcome.bars[::-1]  # Plotly begins at the bottom
    names = [bar.name for bar in bars]
    trace = {
        "type": "bar", "orientation": "h", "y": names, "x": [round(bar.value, 4) for bar in bars], "width": 0.62,
        "marker": {"color": ["@primary" if bar.tone == "main" else "@text/35" for bar in bars]},
        "hoverinfo": "skip", "showlegend": False,
        "error_x": {
            "type": "data", "symmetric": False, "color": "@text", "thickness": 1.6, "width": 5,
            "array": [round(bar.high - bar.value, 4) if bar.high is not None else None for bar in bars],
            "arrayminus": [round(bar.value - bar.low, 4) if bar.low is not None else None for bar in bars],
        },
    }  # fmt: skip
    notes: list[dict[str, Any]] = [
        {
            "x": max(bar.value, bar.high or 0), "y": bar.name,
            "text": f"<b>{bar.text}</b>" if bar.tone == "main" else bar.text,
            "showarrow": False, "xanchor": "left", "xshift": 8, "font": {"size": 16},
        }
        for bar in bars
    ]  # fmt: skip
    shapes = []
    if outcome.line is not None:
        at, words = outcome.line
        shapes.append({
            "type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "layer": "above",
            "line": {"color": "@text", "width": 1.5, "dash": "dot"},
        })  # fmt: skip
        notes.append({"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "text": words, "showarrow": False,
                      "font": {"size": 13}})  # fmt: skip
    layout = {
        "margin": {"l": 8, "r": 8, "t": 26, "b": 28}, "shapes": shapes, "annotations": notes, "hovermode": False,
        "xaxis": {"range": [0, 1.32 * outcome.most], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1],
                  "zeroline": False, "fixedrange": True},
        "yaxis": {"automargin": True, "showgrid": False, "fixedrange": True, "tickfont": {"size": 15},
                  "ticksuffix": "  "},
    }  # fmt: skip
    return {"data": [trace], "layout": layout}


def in_words(outcome: Outcome) -> str:
    """What the figure shows, for whoever does not see it."""
    return f"{outcome.title}. " + "; ".join(f"{bar.name}: {bar.text}" for bar in outcome.bars)
