"""The course's reports: what they claimed, and what comes out here."""

from covidviz.ui.recipes import page

page.body()
