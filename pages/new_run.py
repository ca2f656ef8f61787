"""Set up a run and train it."""

import streamlit as st

from covidviz.ui import form as forms
from covidviz.ui import new_run_form as page

page.go_on()
form = forms.load()
page.head_line(form)
settings, side = st.columns([2.7, 1], gap="small")
with settings:
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, key="new_part_data"):
        manifest = page.data(form)
    with right, st.container(border=True, key="new_part_network"):
        page.network(form)
    with st.container(border=True, key="new_part_training"):
        page.training(form)
    page.advanced(form, manifest)
with side, st.container(border=True, key="new_part_summary"):
    page.summary(form, manifest)
