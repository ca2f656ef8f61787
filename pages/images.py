"""The images of a run: best, worst, by class and cell, with heat maps; one of them large."""

import streamlit as st

from covidviz.ui import images_view, nav, state
from covidviz.ui.results import results
from covidviz.ui.run_picker import pick_run

run = pick_run("Images", finished=True)
found = results(run)
if found is None:
    st.info(
        "The images of a run can be judged when it is completed: then its predictions are there.",
        icon=":material/schedule:",
    )
    st.page_link(nav.RUN, label="See what the run is doing", icon=":material/monitoring:", query_params={"run": run.id})
    st.stop()
choice = images_view.choose(run, found)
images_view.show(run, found, choice)
st.page_link(
    nav.RUN,
    label="Back to the confusion matrix",
    icon=":material/grid_on:",
    query_params=state.params(run=run.id, order=None, cls=None, img=None),
)
