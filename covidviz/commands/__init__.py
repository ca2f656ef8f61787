"""The commands of `python -m covidviz`, one module per family; each registers itself with the parser."""
