"""What a finished run says about new images."""

from covidviz.ui import predict_page
from covidviz.ui.run_picker import pick_run

predict_page.body(pick_run("Predict", finished=True))
