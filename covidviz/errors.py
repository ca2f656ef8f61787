"""Every error a person can cause. The text is one clear sentence; pages and the CLI show it as it is.

CovidvizError            exit code 1: it was asked for rightly, and failed
├── DeviceError          no such device, its driver is too old, its memory is full
├── StoreError           a run directory is missing, broken, busy, or the disk is full
└── InputError           exit code 2: wrong use or bad input
    ├── ConfigError      a setting is out of range or does not fit the others
    ├── DataError        the dataset can't be used as it is
    └── WeightsError     the starting weights are missing, unsafe or do not fit
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "CovidvizError",
    "DataError",
    "DeviceError",
    "InputError",
    "StoreError",
    "WeightsError",
]


class CovidvizError(Exception):
    """Base of all errors with a message fit for the person in front of the screen."""

    exit_code = 1


class DeviceError(CovidvizError):
    """The device that was asked for can't be used."""


class StoreError(CovidvizError):
    """A run directory can't be read or written."""


class InputError(CovidvizError):
    """Wrong use or bad input."""

    exit_code = 2


class ConfigError(InputError):
    """A setting is out of range, unknown, or does not fit the others."""


class DataError(InputError):
    """The dataset can't be used as it is."""


class WeightsError(InputError):
    """The starting weights are missing, unsafe, or do not fit the model."""
