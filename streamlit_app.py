"""Launcher only: `streamlit run streamlit_app.py`. The main script lies outside the folder that holds `pages/`."""

import streamlit as st

from covidviz.ui import server
from covidviz.ui.routes import ROUTES

server.warm_up()
app = st.App("covidviz/ui/main.py", routes=ROUTES)
