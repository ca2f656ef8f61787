"""The thresholds that a person chose for a run, kept in its notes.json."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from covidviz.errors import InputError
from covidviz.store import layout
from covidviz.store.files import read_json
from covidviz.store.runs import edit_notes
from covidviz.store.summary import is_number

__all__ = ["Chosen", "read_thresholds", "save_thresholds"]


@dataclass(frozen=True)
class Chosen:
    """A threshold of one class: it is decided where its probability is at least `value`.

    Args:
        value: 0 to 1.
        split: the images it was chosen on.
        cost_ratio: what a miss was to cost, compared with a false alarm; None where it was chosen by hand.
        epoch: of the weights it was chosen for, None where unknown.
        saved: when, seconds since 1970.
    """

    value: float
    split: str = "val"
    cost_ratio: float | None = None
    epoch: int | None = None
    saved: float | None = None


def read_thresholds(run_dir: Path) -> dict[str, Chosen]:
    """The saved thresholds by class; empty where there are none. What makes no sense is passed over."""
    raw = (read_json(run_dir / layout.NOTES) or {}).get("thresholds")
    if not isinstance(raw, dict):
        return {}
    return {name: found for name, one in raw.items() if (found := _parsed(one)) is not None}


def save_thresholds(run_dir: Path, chosen: Mapping[str, Chosen]) -> None:
    """Replace the saved thresholds by these, by class; an empty mapping takes them away.

    Raises:
        InputError: a value that is not 0 to 1, or a cost that is not above 0.
        StoreError: the run is gone or can't be written.
    """
    for name, one in chosen.items():
        if _parsed(asdict(one)) != one:
            raise InputError(f"threshold of {name}: {one.value} given, accepted: 0 to 1, with a cost above 0")
    now = time.time()
    documents = {name: {**asdict(one), "saved": one.saved or now} for name, one in chosen.items()}
    edit_notes(run_dir, thresholds=documents)


def _parsed(raw: Any) -> Chosen | None:
    if not isinstance(raw, dict):
        return None
    value, split, ratio, epoch, saved = (raw.get(key) for key in ("value", "split", "cost_ratio", "epoch", "saved"))
    if not is_number(value) or not 0 <= value <= 1 or not isinstance(split, str):
        return None
    if ratio is not None and not (is_number(ratio) and ratio > 0):
        return None
    return Chosen(
        float(value),
        split,
        None if ratio is None else float(ratio),
        epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None,
        float(saved) if is_number(saved) else None,
    )
