"""The faulty loss of a course report over the mean cross-entropy of a batch, and a descent on it to scrub through."""

from __future__ import annotations

from typing import Any

from covidviz.ui.components import component, text

__all__ = ["batch_focal"]

_batch_focal = component(
    "batch_focal",
    text("batch_focal.html"),
    parts=("lab_maths", "lab_charts", "lab_controls", "focal_maths", "focal_charts"),
)


def batch_focal(data: dict[str, Any], *, key: str) -> None:
    """Draw it.

    Args:
        data: `controls` named `gamma`, `start` and `lr`, as of `covidviz.ui.lab_settings.controls`.
    """
    _batch_focal(key=key, data=data)
