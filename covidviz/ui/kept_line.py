"""What a run did not compute again in each epoch, in one line."""

from __future__ import annotations

from typing import Any

from covidviz.store.status import Status
from covidviz.ui.system_data import size

__all__ = ["kept_line"]


def kept_line(status: Status) -> str | None:
    """A sentence on `frozen_cache` of status.json; None where nothing was kept or it can't be read."""
    document = status.extra.get("frozen_cache")
    if not isinstance(document, dict):
        return None
    splits, before, taken = document.get("splits"), document.get("before"), document.get("bytes")
    if not isinstance(splits, dict) or not splits or not isinstance(taken, int | float):
        return None
    known = [part for part in splits.values() if isinstance(part, dict)]
    of = "" if "train" in splits else f" for {' and '.join(map(str, splits))}"
    if any(part.get("computed") for part in known):
        text = f"computed once{of}: {size(taken)} in the cache"
    else:
        text = f"taken from the cache{of}: {size(taken)}"
    return f"Frozen part before {before} {text}{_saved(document, status)}"


def _saved(document: dict[str, Any], status: Status) -> str:
    saved = document.get("saved_s")
    if not isinstance(saved, int | float) or saved < 1:
        return ""
    return f", {'saves' if status.live else 'saved'} about {_about(saved)}"


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
