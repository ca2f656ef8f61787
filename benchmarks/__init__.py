"""Measurements that stand behind claims in the README: `python -m benchmarks.<name> --help`."""
