"""The browser parts that Streamlit has not: matrix, gallery, plot. JavaScript and CSS lie beside, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

__all__ = ["PLOTLY", "component", "text"]

HERE = Path(__file__).resolve().parent
PLOTLY = "/vendor/plotly.min.js"


def text(name: str) -> str:
    """A file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def component(name: str, html: str, *, parts: Sequence[str] = (), isolate_styles: bool = True) -> ComponentRenderer:
    """Register `<name>.js` and `<name>.css`, with what all components share, as `covidviz.<name>`. Once, at import.

    Args:
        parts: names of more scripts, put before its own; their style sheets too, where they have one.
    """
    own = [part for part in parts if (HERE / f"{part}.css").exists()]
    styles = [*(["common"] if isolate_styles else []), *own, name]
    return st.components.v2.component(
        f"covidviz.{name}",
        html=html,
        css="".join(text(f"{style}.css") for style in styles),
        js="".join(text(f"{script}.js") for script in ("common", *parts, name)),
        isolate_styles=isolate_styles,
    )
