"""Eight short lessons: guess first, then look."""

from covidviz.ui.lessons import page

page.body()
