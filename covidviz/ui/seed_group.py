"""Runs that differ from one another by their seed alone, and how their metrics are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from covidviz.evaluation.seeds import deviation
from covidviz.store.index import RunSummary
from covidviz.ui import queries
from covidviz.ui.results import measured, results

__all__ = ["Member", "group_of", "spread_over", "values_of"]

APART = ("seed", "name", "tags", "recipe", "device")  # settings that may differ within a group
MOST = 40  # runs: of a test split each one's predictions are read


@dataclass(frozen=True)
class Member:
    """One run of a group, its seed, and its metrics on the chosen split."""

    run_id: str
    name: str
    seed: int | None
    values: Mapping[str, float]


def group_of(run_id: str, runs: Sequence[RunSummary]) -> list[RunSummary]:
    """The completed runs with the settings of `run_id`, itself among them, by seed; empty unless there are two seeds.

    Of several runs with one seed the newest counts, but `run_id` before all: they say nothing about the spread.
    """
    own = next((one for one in runs if one.run_id == run_id), None)
    if own is None or not own.settings:
        return []
    wanted = _compared(own.settings)
    by_seed: dict[Any, RunSummary] = {own.settings.get("seed"): own}
    for one in runs:  # newest first
        if one.state == "completed" and one.model == own.model and _compared(one.settings) == wanted:
            by_seed.setdefault(one.settings.get("seed"), one)
    found = sorted(by_seed.values(), key=lambda one: (_seed(one) is None, _seed(one) or 0))
    return found[:MOST] if len(found) > 1 else []


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in APART}


def _seed(one: RunSummary) -> int | None:
    seed = one.settings.get("seed")
    return seed if isinstance(seed, int) else None


def values_of(group: Sequence[RunSummary], split: str) -> list[Member]:
    """The metrics of each run of a group on one split; runs that have none there are left out."""
    members = []
    for one in group:
        values: Mapping[str, float] = one.metrics
        if split != "val":  # the index knows the validation metrics of the best epoch, which are those of the run
            run = queries.run(one.run_id)
            found = None if run is None else results(run)
            values = measured(run, split).metrics if run is not None and found and split in found.splits else {}
        if values:
            members.append(Member(one.run_id, one.name, _seed(one), values))
    return members


def spread_over(members: Sequence[Member], metric: str) -> tuple[float, float] | None:
    """Mean and sample standard deviation of a metric; None where fewer than two have it."""
    values = [one.values[metric] for one in members if metric in one.values]
    spread = deviation(values)
    return None if spread is None else (fmean(values), spread)
