"""What one setting did: completed runs that differ in nothing else but their seed, and the noise between seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from covidviz.catalog import LOSSES
from covidviz.config import TrainConfig
from covidviz.evaluation.seeds import Effect, deviation, effect, pooled, t_quantile
from covidviz.setting_names import DEFAULT_LOSS, setting
from covidviz.store.index import RunSummary
from covidviz.store.summary import is_number

__all__ = ["Ladder", "Noise", "Step", "effect_of", "ladders", "noise_of", "summary_of"]

# What the numbers are about: runs that differ here are not compared at all.
SUBJECT = ("data", "split_column", "classes", "task", "label_rule")
# What does not move a metric, or is not chosen.
APART = ("seed", "name", "tags", "recipe", "device", "cache", "critical_class")
SLIDERS = tuple(name for name in TrainConfig.model_fields if name not in (*SUBJECT, *APART))


@dataclass(frozen=True)
class Step:
    """One value of the setting: `title` for people, and (run id, metric) of one run per seed, by seed."""

    value: Any
    title: str
    runs: tuple[tuple[str, float], ...]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.runs]


@dataclass(frozen=True)
class Ladder:
    """Runs that differ in `setting` alone, by its values; `others`: their other settings, to tell ladders apart."""

    setting: str
    steps: tuple[Step, ...]
    others: Mapping[str, str]

    @property
    def run_ids(self) -> set[str]:
        return {run_id for step in self.steps for run_id, _ in step.runs}


@dataclass(frozen=True)
class Noise:
    """Standard deviation between seeds of one setting, pooled over `groups` of runs; `degrees` of freedom."""

    deviation: float
    groups: int
    degrees: int


def ladders(runs: Iterable[RunSummary], metric: str) -> list[Ladder]:
    """Every setting that differs alone somewhere, in the order of the form; those with most runs first.

    Args:
        runs: newest first. Only completed ones count, and of several with the same settings and seed the newest.
        metric: of the validation split at the best epoch, such as `macro_f1`.
    """
    groups = _groups(runs, metric)
    found: list[Ladder] = []
    for at, name in enumerate(SLIDERS):
        apart: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for key in groups:
            place = at + len(SUBJECT)
            apart.setdefault((*key[:place], *key[place + 1 :]), []).append(key)
        own = [_ladder(name, [groups[key] for key in keys], metric) for keys in apart.values() if len(keys) > 1]
        found += sorted(own, key=lambda ladder: -len(ladder.run_ids))
    return found


def noise_of(runs: Iterable[RunSummary], metric: str) -> Noise | None:
    """The noise between seeds over all groups of at least two; None where there is no such group."""
    values = [[row.metrics[metric] for row in group] for group in _groups(runs, metric).values()]
    several = [group for group in values if len(group) > 1]
    spread = pooled(several)
    return None if spread is None else Noise(spread, len(several), sum(len(group) - 1 for group in several))


def effect_of(a: Sequence[float], b: Sequence[float], noise: Noise | None) -> tuple[Effect, bool]:
    """B against A, and whether the noise had to be borrowed from `noise`, because neither side has two seeds."""
    own = effect(a, b)
    if own.noise is not None or noise is None:
        return own, False
    half = t_quantile(0.975, noise.degrees) * noise.deviation * (1 / len(a) + 1 / len(b)) ** 0.5
    return Effect(own.diff, own.diff - half, own.diff + half, noise.deviation), True


def _groups(runs: Iterable[RunSummary], metric: str) -> dict[tuple[str, ...], list[RunSummary]]:
    """Runs by all their settings but the seed, in each group one run per seed, by seed."""
    found: dict[tuple[str, ...], dict[Any, RunSummary]] = {}
    for row in runs:
        if row.state == "completed" and row.settings and is_number(row.metrics.get(metric)):
            settings = _effective(row.settings)
            key = tuple(repr(settings.get(name)) for name in (*SUBJECT, *SLIDERS))
            found.setdefault(key, {}).setdefault(row.settings.get("seed"), row)
    return {
        key: [by_seed[seed] for seed in sorted(by_seed, key=lambda seed: (not is_number(seed), str(seed).zfill(12)))]
        for key, by_seed in found.items()
    }


def _effective(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with what a run did not use as if nobody had touched it."""
    used = {name: field.default for name, field in TrainConfig.model_fields.items() if not field.is_required()}
    used = {**used, **settings}
    loss = LOSSES.get(str(used["loss"]))
    if loss is None or not loss.focal:
        used |= {name: TrainConfig.model_fields[name].default for name in ("focal_gamma", "focal_alpha")}
    if used["trainable"] == "head" or used["backbone_lr"] == used["lr"]:
        used["backbone_lr"] = None
    if used["schedule"] != "step":
        used["lr_steps"] = None
    return used


def _ladder(name: str, groups: Sequence[Sequence[RunSummary]], metric: str) -> Ladder:
    steps = []
    for group in groups:
        settings = _effective(group[0].settings)
        value = settings.get(name)
        runs = tuple((row.run_id, row.metrics[metric]) for row in group)
        steps.append(Step(value, _title(name, value, str(settings["task"])), runs))
    settings = _effective(groups[0][0].settings)
    others = {
        other: _title(other, settings.get(other), str(settings["task"]))
        for other in (*SUBJECT, *SLIDERS) if other != name
    }  # fmt: skip
    return Ladder(name, tuple(sorted(steps, key=lambda step: _order(step.value))), others)


def _title(name: str, value: Any, task: str) -> str:
    given = tuple(value) if isinstance(value, list) else value
    return setting(name, given, task if task in DEFAULT_LOSS else "single-label")


def _order(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if is_number(value) or isinstance(value, bool) else (1, 0.0, str(value))


def summary_of(step: Step) -> tuple[float, float | None]:
    """Mean and sample standard deviation over the seeds of a step."""
    return fmean(step.values), deviation(step.values)
