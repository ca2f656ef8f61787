"""What focal loss and its kin ask of a network, a faulty one, and what mistakes in evaluating do to a score."""

from covidviz.ui.focal import page

page.body()
