"""The images of a run: best, worst, by class and cell, in each epoch, with heat maps; one of them large."""

import streamlit as st

from covidviz.ui import images_view, nav, state
from covidviz.ui.run_picker import pick_run

run = pick_run("Images", finished=True)
images_view.images(run)
st.page_link(
    nav.RUN,
    label="Back to the confusion matrix",
    icon=":material/grid_on:",
    query_params=state.params(
        run=run.id, order=None, seed=None, cls=None, pred=None, source=None, epoch=None, fate=None, area=None, img=None
    ),
)
