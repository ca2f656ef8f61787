"""Brings an open page back to life after the server was started again.

The browser reconnects by itself, but the page is not run for the new session, which therefore does not know the page's
callbacks yet: the first click would be lost.
"""

from __future__ import annotations

import secrets

import streamlit as st

from covidviz.ui.components import component

__all__ = ["wake"]

_wake = component("wake", '<span class="wake"></span>')


def wake(*, key: str = "wake") -> None:
    """Draws nothing; runs the page once when the browser is connected again."""
    if "_session_name" not in st.session_state:
        st.session_state["_session_name"] = secrets.token_hex(8)
    _wake(key=key, data={"session": st.session_state["_session_name"]}, on_back_change=lambda: None)
