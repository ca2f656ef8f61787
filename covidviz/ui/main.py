"""The main script: page config, navigation, what every page has. It runs before each page."""

import streamlit as st

from covidviz.paths import runs_dir
from covidviz.ui import announce, flash, nav, server, state
from covidviz.ui.components.wake import wake

st.set_page_config(page_title="covidviz", page_icon=nav.ICON, layout="wide", initial_sidebar_state=220)
st.html(nav.STYLE)
st.logo(nav.LOGO, icon_image=nav.ICON, size="large")
page = nav.navigation()
with st.sidebar:
    st.caption("For learning and research, never for clinical use.")
    wake()
state.arrive(page.url_path)
page.run()
# After the page, since somebody waits for that.
with st.sidebar:
    announce.watch()
server.freeze()
server.resume_queue(runs_dir())
flash.show()  # at the end: a toast of a run that is broken off for another one would be lost
