"""What the data doctor found: one line per check; an open one shows images side by side, bars, tables and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from covidviz.ui.components import component

__all__ = ["doctor"]

_doctor = component("doctor", '<div class="doctor cv"></div>')


def doctor(
    lines: Sequence[dict[str, Any]],
    *,
    opened: str | None,
    base: str,
    step: int,
    key: str,
    on_open: Callable[[str | None], None],
    on_more: Callable[[str], None],
) -> None:
    """Draw the lines.

    Args:
        lines: of `covidviz.ui.data_page_checks.view`.
        opened: id of the open check.
        base: where the pictures are: `{base}{sample_id}.webp` small, `{base}{sample_id}.f.webp` large.
        step: how many more "Show more" brings.
        on_open: called before the next script run with the id of the check that was opened, None when it was closed.
        on_more: called likewise with the id of the check of which more images are wanted.
    """

    def opens() -> None:
        on_open(str(st.session_state[key]["opened"]["id"]) or None)

    def more() -> None:
        on_more(str(st.session_state[key]["more"]["id"]))

    data = {"lines": list(lines), "opened": opened, "base": base, "step": step}
    _doctor(key=key, data=data, on_opened_change=opens, on_more_change=more)
