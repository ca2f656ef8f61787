"""A scrubber over the epochs of a run: matrix, order of the images and trajectories, all moved by the browser alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.ui.components import component, text

__all__ = ["on_images", "on_run"]

_replay = component("replay", text("replay.html"), parts=("replay_data",))


def on_run(url: str, run_id: str, *, live: bool, key: str, on_open: Callable[[dict[str, Any]], None]) -> None:
    """With the images that are worst or best in the epoch.

    Args:
        url: where `covidviz.ui.replays.binary` is; another one once there are more epochs.
        live: stay at the latest epoch while there come more.
        on_open: called with `epoch`, `order`, `cell` and `fate` (either None) when the images are to be shown large.
    """

    def opened() -> None:
        if isinstance(asked := st.session_state[key].open, dict):
            on_open(asked)

    data = {"url": url, "run": run_id, "mode": "run", "live": live, "epoch": None, "cell": None, "fate": None}
    _replay(key=key, data=data, on_open_change=opened, on_epoch_change=_nothing, on_cell_change=_nothing,
            on_fate_change=_nothing)  # fmt: skip


def on_images(
    url: str,
    run_id: str,
    *,
    live: bool,
    epoch: int | None,
    cell: str | None,
    fate: str | None,
    opened: bool,
    key: str,
    on_epoch: Callable[[object], None],
    on_cell: Callable[[object], None],
    on_fate: Callable[[object], None],
) -> None:
    """Beside a gallery, which shows the images and says which ones are selected.

    Args:
        url, live: as `on_run`.
        epoch, cell, fate: what the link says; an epoch of None is the run's best, or the latest of a live one.
        opened: one image is shown large, so playing stops.
        on_epoch, on_cell, on_fate: called before the next script run with what was chosen, None for all. Whether there
            is such a thing must be checked.
    """

    def told(name: str) -> object:
        value = st.session_state[key].get(name)
        return value.get(name) if isinstance(value, dict) else None

    data = {"url": url, "run": run_id, "mode": "images", "live": live, "epoch": epoch, "cell": cell, "fate": fate,
            "opened": opened}  # fmt: skip
    _replay(key=key, data=data, on_open_change=_nothing, on_epoch_change=lambda: on_epoch(told("epoch")),
            on_cell_change=lambda: on_cell(told("cell")), on_fate_change=lambda: on_fate(told("fate")))  # fmt: skip


def _nothing() -> None: ...
