"""Start page: all runs."""

from covidviz.ui import runs_page

runs_page.body()
