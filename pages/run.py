"""One run: what it is doing, its curves, its confusion matrix and the images behind each cell."""

from covidviz.ui import replay_view, results_view, run_details, run_view
from covidviz.ui.run_picker import pick_run

run = pick_run("", back=True)
run_view.head_and_curves(run)
results_view.section(run)
replay_view.replay_part(run)
run_details.details(run)
