"""The gates that `python -m benchmarks` measures, one module for each part of the project."""
