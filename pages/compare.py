"""Several runs side by side."""

from covidviz.ui import compare_page

compare_page.body()
