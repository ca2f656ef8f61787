"""One run: what it is doing, its curves, its confusion matrix and the images behind each cell."""

from covidviz.ui import results_view, run_view
from covidviz.ui.run_picker import pick_run

run = pick_run("")
run_view.progress_and_curves(run)
results_view.matrix_and_images(run)
run_view.settings(run)
run_view.log(run)
