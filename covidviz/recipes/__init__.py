"""The course's experiments as ready configurations, with what their reports claimed. Plain data and its loader."""

from covidviz.recipes.load import Recipe, Report, Reported, find, recipes, reports

__all__ = ["Recipe", "Report", "Reported", "find", "recipes", "reports"]
