"""What a dataset holds, and what the data doctor found in it."""

from covidviz.ui import data_page

data_page.body()
