"""Several recipes as queued runs: which there is anything to do for, in which order, and how long that will take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covidviz import layers
from covidviz.config import TrainConfig
from covidviz.jobs.devices import Slot
from covidviz.jobs.estimate import Estimate, Measured, estimate, front
from covidviz.jobs.queue import enqueue
from covidviz.jobs.scheduler import ensure_scheduler
from covidviz.jobs.submit import prepare
from covidviz.recipes.fit import label_rule
from covidviz.recipes.load import Recipe, Report
from covidviz.store.index import RunSummary
from covidviz.store.runs import create_run

__all__ = ["APART", "Plan", "config_for", "in_order", "plan", "submit_all"]

APART = ("name", "tags", "device", "cache", "backbone_lr", "recipe")  # settings that make no other experiment
ON_THE_WAY = ("queued", "running", "completed")


@dataclass(frozen=True)
class Plan:
    """What "run all of this report" means here and now.

    todo: in the order to queue. skipped: name of the recipe and why it is left out.
    seconds: for all of `todo`, with `low` and `high`; None without an earlier run on such a device.
    alike: how many of `todo` find what an earlier one of them kept.
    """

    todo: tuple[TrainConfig, ...]
    skipped: tuple[tuple[str, str], ...]
    seconds: float | None
    low: float | None
    high: float | None
    alike: int


def config_for(
    report: Report, recipe: Recipe, data: str, classes: Sequence[str], *, described: bool = False, **changes: Any
) -> TrainConfig:
    """The settings of `recipe` on the dataset at `data`, which has these `classes`, with the label rule it needs.

    Raises:
        DataError: the dataset lacks classes; says the mapping.
        InputError: `described`, and there is no such variant.
    """
    own = recipe.variant(described=described).get("label_rule")
    rule = label_rule(report, recipe.name, own, classes, data)
    return recipe.config(data, described=described, **{"label_rule": rule, **changes})


def plan(
    configs: Iterable[TrainConfig],
    runs: Iterable[RunSummary],
    counts: Mapping[str, int],
    known: Mapping[str, Iterable[Measured]],
    slots: Iterable[Slot],
    *,
    memory: float | None = None,
    missing_weights: Collection[str] = (),
) -> Plan:
    """What to queue of `configs`, and what not.

    Args:
        runs: those that are here; a recipe with the same settings on the same dataset among them is left out.
        counts: images per split.
        known: by network, from `jobs.estimate.learn`.
        memory: bytes of this machine; what needs more is left out.
        missing_weights: networks whose ImageNet weights are neither here nor to be had.
    """
    there = {_signature(one.settings): one.state for one in runs if one.state in ON_THE_WAY and one.settings}
    places = list(slots)
    todo: list[TrainConfig] = []
    skipped: list[tuple[str, str]] = []
    found: list[Estimate] = []
    kept: list[tuple[object, ...]] = []
    alike = 0
    for config in in_order(configs):
        state = there.get(_signature(config.dump()))
        if state is not None:
            skipped.append((config.name, f"a run with these settings is {state}"))
            continue
        if config.weights == "imagenet" and config.model in missing_weights:
            skipped.append((config.name, "its ImageNet weights are neither on this machine nor to be had from here"))
            continue
        before = front(config) in kept
        one = estimate(config, counts, len(config.classes), known.get(config.model, ()), places, after_alike=before)
        if memory is not None and not one.on_gpu and one.memory > memory:
            skipped.append(
                (config.name, f"needs about {one.memory / 1e9:.1f} GB of memory, here are {memory / 1e9:.1f}")
            )
            continue
        alike += before and one.kept
        kept.append(front(config))
        todo.append(config)
        found.append(one)
    return Plan(tuple(todo), tuple(skipped), *_sums(found), alike)


def _sums(found: Sequence[Estimate]) -> tuple[float | None, float | None, float | None]:
    parts = [(one.seconds, one.low, one.high) for one in found]
    if not parts or any(value is None for part in parts for value in part):
        return None, None, None
    seconds, low, high = (sum(value for value in column if value is not None) for column in zip(*parts, strict=True))
    return seconds, low, high


def in_order(configs: Iterable[TrainConfig]) -> list[TrainConfig]:
    """So that what an earlier one left in the cache is still there: one network after the other, at one image size, the
    deepest frozen part first and equal ones together."""
    given = list(configs)
    models = list(dict.fromkeys(config.model for config in given))

    def key(config: TrainConfig) -> tuple[Any, ...]:
        learns, rows = layers.learning(config), layers.network(config.model).layers
        frozen = next((i for i, row in enumerate(rows) if row.name in learns), len(rows))
        return models.index(config.model), config.image_size, config.weights, config.augment, -frozen

    return sorted(given, key=key)  # stable: the report's own order within


def _signature(settings: Mapping[str, Any]) -> str:
    values = {name: value for name, value in settings.items() if name not in APART and name in TrainConfig.model_fields}
    return repr(sorted((name, list(v) if isinstance(v, tuple) else v) for name, v in values.items()))


def submit_all(configs: Iterable[TrainConfig], runs_dir: Path) -> list[Path]:
    """Checks all of them against their dataset first, then makes and queues them in this order.

    Raises:
        InputError: the dataset or a setting is wrong for one of them; nothing was made.
        StoreError: a run directory can't be written; those before it are queued.
    """
    ready = [prepare(one)[0] for one in configs]
    made = []
    for one in ready:
        run_dir = create_run(one, runs_dir)
        enqueue(run_dir)
        made.append(run_dir)
    if made:
        ensure_scheduler(runs_dir)
    return made
