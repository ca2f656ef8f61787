"""The browser parts that Streamlit has not: matrix, gallery, viewer, plot. JavaScript and CSS lie beside, as text."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

__all__ = ["PLOTLY", "component", "text"]

HERE = Path(__file__).resolve().parent
PLOTLY = "/vendor/plotly.min.js"


def text(name: str) -> str:
    """A file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def component(name: str, html: str, *, isolate_styles: bool = True) -> ComponentRenderer:
    """Register `<name>.js` and `<name>.css`, with what all components share, as `covidviz.<name>`. Once, at import."""
    return st.components.v2.component(
        f"covidviz.{name}",
        html=html,
        css=(text("common.css") if isolate_styles else "") + text(f"{name}.css"),
        js=text("common.js") + text(f"{name}.js"),
        isolate_styles=isolate_styles,
    )
