"""Start page: all runs."""

import streamlit as st

from covidviz.ui import nav

st.html(nav.ASSETS / "runs.css")
title, corner = st.columns([4, 1], vertical_alignment="center")
title.title("Runs", anchor=False)

from covidviz.ui import runs_page  # noqa: E402  takes a second the first time, in which the title is there already

runs_page.body(corner)
