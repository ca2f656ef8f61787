"""The images of a run: best, worst, by class and cell, with heat maps; one of them large."""

import streamlit as st

from covidviz.ui import images_view, nav, state
from covidviz.ui.results import results
from covidviz.ui.run_picker import pick_run

run = pick_run("Images", finished=True)
found = results(run)
if found is None:
    images_view.not_yet(run)
else:
    images_view.images(run, found)
    st.page_link(
        nav.RUN,
        label="Back to the confusion matrix",
        icon=":material/grid_on:",
        query_params=state.params(run=run.id, order=None, seed=None, cls=None, pred=None, source=None, img=None),
    )
