"""Images given by a person, and what a run's network says about each: its own page in the browser."""

from __future__ import annotations

from typing import Any

from covidviz.explain.overlay import PALETTES
from covidviz.ui.components import component, text

__all__ = ["predict"]

_predict = component(
    "predict",
    text("predict.html").replace("<!-- heatbar -->", text("heatbar.html")),
    parts=("asking", "heat", "predict_card"),
)


def predict(data: dict[str, Any], *, key: str) -> None:
    """Draw it; it asks the server (POST /predicting) by itself, and sends the script nothing.

    Args:
        data: `run` and its `name`; `classes`, whether an image may have several (`multi`), the saved `thresholds` (one
            per class, None where there is none); `side` of the network's input; `limit_mb` of a file; `token` of
            `covidviz.ui.lab_answers`.
    """
    _predict(key=key, data={**data, "palettes": PALETTES})
