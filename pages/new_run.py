"""Set up a run and train it."""

import streamlit as st

from covidviz.ui import form as forms
from covidviz.ui import nav
from covidviz.ui.new_run import data, head, network, summary, training

head.go_on()
st.html(nav.ASSETS / "new_run.css")
form = forms.load()
head.show(form)
with st.container(key="new_parts"):
    one, two, three, four = st.columns([1, 1.36, 1, 1], gap="xsmall")
    with one, st.container(border=True, key="new_part_data"):
        manifest = data.show(form)
    with two, st.container(border=True, key="new_part_network"):
        network.show(form, manifest)
    with three, st.container(border=True, key="new_part_training"):
        training.show(form)
    with four, st.container(border=True, key="new_part_summary"):
        summary.show(form, manifest)
training.more(form, manifest)
