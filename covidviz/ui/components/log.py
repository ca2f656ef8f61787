"""The end of a log: searched, filtered and followed in the browser."""

from __future__ import annotations

from covidviz.ui.components import component, text

__all__ = ["log"]

_log = component("log", text("log.html"))


def log(tail: str, *, live: bool, cut: bool, key: str) -> None:
    """Draw the lines, the newest at the bottom.

    Args:
        tail: the text, one line each; of anyone.
        live: more may come: offer to follow it.
        cut: whether the log began earlier than `tail`.
    """
    _log(key=key, data={"lines": tail.rstrip("\n").split("\n") if tail else [], "live": live, "cut": cut})
