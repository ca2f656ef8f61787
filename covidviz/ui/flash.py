"""Short messages from callbacks, shown as toasts by the run that follows.

A callback of a fragment must not draw anything itself: it would replace the first elements of the page.
"""

from __future__ import annotations

from typing import Literal

import streamlit as st

from covidviz.ui.text import md

__all__ = ["say", "show"]

ICONS = {"done": ":material/check:", "note": ":material/info:", "error": ":material/error:"}


def say(text: object, kind: Literal["done", "note", "error"] = "done") -> None:
    """Have `text` (plain, of anyone) shown once."""
    st.session_state.setdefault("_flash", []).append((str(text), kind))


def show() -> None:
    """Show what was said since. The main script does; a fragment with callbacks of its own does too."""
    for text, kind in st.session_state.pop("_flash", []):
        st.toast(md(text), icon=ICONS[kind], duration="long" if kind == "error" else "short")
