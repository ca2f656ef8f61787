"""The learning-rate range test as a button: the loss against the rate as it comes in, and one click takes it over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.ui.components import component

__all__ = ["lr_range"]

_lr_range = component("lr_range", '<div class="range cv"></div>', parts=("asking",))


def lr_range(config: dict[str, Any] | None, *, key: str, token: str, on_use: Callable[[float], None]) -> None:
    """Draw the button; the compute worker does the rest when it is pressed.

    Args:
        config: settings of a run, as JSON; None while they can't be used, which disables the button.
        token: of `covidviz.ui.lab_answers`.
        on_use: called with the rate that a person takes over.
    """

    def used() -> None:
        value = st.session_state[key].use
        if isinstance(value, int | float) and 0 < value <= 10:
            on_use(float(value))

    _lr_range(key=key, data={"config": config, "token": token}, on_use_change=used)
