"""The pages and where they stand in the navigation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from covidviz.paths import PROJECT

__all__ = ["ICON", "IMAGES", "LOGO", "NEW_RUN", "RUN", "RUNS", "STYLE", "navigation"]

PAGES = PROJECT / "pages"
# Absolute path strings: what st.switch_page, st.page_link and AppTest.switch_page take.
RUNS, RUN, IMAGES, NEW_RUN = (str(PAGES / name) for name in ("runs.py", "run.py", "images.py", "new_run.py"))

ASSETS = Path(__file__).resolve().parent / "assets"
ICON = ASSETS / "icon.svg"  # a local file: a material icon as favicon would be fetched from fonts.gstatic.com
LOGO = ASSETS / "logo.svg"
STYLE = ASSETS / "app.css"


def navigation() -> StreamlitPage:
    """Show the navigation and return the page that was asked for."""
    return st.navigation(
        {
            "Explore": [
                st.Page(RUNS, title="Runs", icon=":material/table_rows:", default=True),
                st.Page(RUN, title="Run", icon=":material/monitoring:", url_path="run"),
                st.Page(IMAGES, title="Images", icon=":material/imagesmode:", url_path="images"),
            ],
            "Train": [
                st.Page(NEW_RUN, title="New run", icon=":material/tune:", url_path="new_run"),
            ],
        }
    )
