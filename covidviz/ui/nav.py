"""The pages and where they stand in the navigation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from covidviz.paths import PROJECT

__all__ = [
    "COMPARE", "DATA", "FOCAL", "ICON", "IMAGES", "LAB", "LESSONS", "LOGO", "NEW_RUN", "PREDICT", "RECIPES", "RUN",
    "RUNS", "STYLE", "SYSTEM", "navigation",
]  # fmt: skip

PAGES = PROJECT / "pages"
# Absolute path strings: what st.switch_page, st.page_link and AppTest.switch_page take.
RUNS, RUN, IMAGES, COMPARE, PREDICT, NEW_RUN, LAB, LESSONS, RECIPES, FOCAL, DATA, SYSTEM = (
    str(PAGES / f"{name}.py")
    for name in ("runs", "run", "images", "compare", "predict", "new_run", "lab", "lessons", "recipes", "focal", "data",
                 "system")
)  # fmt: skip

ASSETS = Path(__file__).resolve().parent / "assets"
ICON = ASSETS / "icon.svg"  # a local file: a material icon as favicon would be fetched from fonts.gstatic.com
LOGO = ASSETS / "logo.svg"
STYLE = ASSETS / "app.css"


def navigation() -> StreamlitPage:
    """Show the navigation and return the page that was asked for."""
    # A flat list: with sections Streamlit puts div elements into the list, which screen readers then miscount.
    return st.navigation(
        [
            st.Page(RUNS, title="Runs", icon=":material/table_rows:", default=True),
            st.Page(RUN, title="Run", icon=":material/monitoring:", url_path="run"),
            st.Page(IMAGES, title="Images", icon=":material/imagesmode:", url_path="images"),
            st.Page(COMPARE, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
            st.Page(PREDICT, title="Predict", icon=":material/upload_file:", url_path="predict"),
            st.Page(NEW_RUN, title="New run", icon=":material/tune:", url_path="new_run"),
            st.Page(LAB, title="Live lab", icon=":material/science:", url_path="lab"),
            st.Page(LESSONS, title="Lessons", icon=":material/school:", url_path="lessons"),
            st.Page(RECIPES, title="Recipes", icon=":material/menu_book:", url_path="recipes"),
            st.Page(FOCAL, title="Focal loss", icon=":material/center_focus_strong:", url_path="focal"),
            st.Page(DATA, title="Data", icon=":material/dataset:", url_path="data"),
            st.Page(SYSTEM, title="System", icon=":material/memory:", url_path="system"),
        ]
    )
