"""Mistakes in evaluating as switches, with what a run's score would have been."""

from __future__ import annotations

from typing import Any

from covidviz.ui.components import component, text

__all__ = ["sandbox"]

_sandbox = component(
    "sandbox",
    text("sandbox.html"),
    parts=("asking", "lab_maths", "lab_charts", "lab_controls", "lab_results", "focal_charts"),
)


def sandbox(data: dict[str, Any], *, key: str) -> None:
    """Draw it; it asks the server (POST /what_if and /lab) by itself.

    Args:
        data: `id` (another one starts anew), `run`, `split`, `token`; `mistakes` [{`name`, `title`, `help`, `cannot`}];
            `n` images and `metrics` [{`name`, `title`, `value`, `low`, `high`}] of the true score, the main one first;
            `matrix` (rows true) with `matrix_classes`, of the label `label` where there are several; `base` address of
            the pictures and `mixed` {`sentence`, `meant`, `shown` [{`id`, `v`, `words`, `meant`}]} or None; `classes`;
            `lab`, a config for two heads, with `lab_words`, or None and why: `no_lab`.
    """
    _sandbox(key=key, data=data)
