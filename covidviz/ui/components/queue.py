"""The queue as a list that can be put in another order, with the mouse or the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from covidviz.ui.components import component

__all__ = ["queue"]

_queue = component("queue", '<ol class="queue cv"></ol>')


def queue(
    items: Sequence[dict[str, str]],
    *,
    key: str,
    on_move: Callable[[str, str | None], None],
    on_cancel: Callable[[str], None],
) -> None:
    """Draw waiting runs, the next one first.

    Args:
        items: `id`, `name`, `note` (such as the device it waits for), all plain text.
        on_move: called with the id of a run and of the one it shall come before, None for the end.
        on_cancel: called with the id of a run.
    """

    def asked() -> None:
        said: dict[str, Any] = st.session_state[key]["asked"]
        if said.get("what") == "cancel":
            on_cancel(str(said["id"]))
        else:
            on_move(str(said["id"]), None if said.get("before") is None else str(said["before"]))

    _queue(key=key, data={"items": list(items)}, on_asked_change=asked)
