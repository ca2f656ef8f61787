"""The live lab's own page in the browser: sliders, curves, matrix, flipped images and the strip of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covidviz.ui.components import component, text

__all__ = ["lab"]

_lab = component(
    "lab", text("lab.html"), parts=("asking", "lab_maths", "lab_charts", "lab_controls", "lab_results", "lab_sweep")
)


def lab(
    data: dict[str, Any], *, key: str, on_settled: Callable[[], None], on_make_run: Callable[[], None],
    on_new_run: Callable[[], None],
) -> None:  # fmt: skip
    """Draw the lab; it asks the server (POST /lab) by itself.

    Args:
        data: `token` of `covidviz.ui.lab_answers`; `base`, the settings that the features depend on, as JSON, `version`
            of the dataset's folder and `title` for people; `controls` and `sweeps` of `covidviz.ui.lab_settings`;
            `settings`, what differs from the defaults by the link; `echo`, the number `at` of the last `settled`, if
            the link says the same, else None.
        on_settled: session state's `settled` holds {`values`, `at`}: what differs from the defaults, a while after
            the last change.
        on_make_run, on_new_run: session state's `make_run` or `new_run` holds what differs from the defaults.
    """
    _lab(key=key, data=data, on_settled_change=on_settled, on_make_run_change=on_make_run, on_new_run_change=on_new_run)
