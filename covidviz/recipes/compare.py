"""A run beside the recipe it was made from: what it changed, and whether its data is the course's. Pure Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from covidviz.config import TrainConfig
from covidviz.errors import InputError
from covidviz.recipes.load import Report, find

__all__ = ["PHANTOM_SOURCES", "data_kind", "differences", "made_from"]

# What does not change the experiment, or follows from the dataset.
APART = ("data", "split_column", "name", "tags", "device", "cache", "precision", "recipe", "classes", "critical_class")
PHANTOM_SOURCES = frozenset({"hospital-a", "hospital-b"})


def made_from(settings: Mapping[str, Any]) -> tuple[str, bool] | None:
    """The recipe that a run with these settings was made from, and whether from its described variant; None without."""
    name = settings.get("recipe")
    if not isinstance(name, str) or not name:
        return None
    try:
        recipe, described = find(name)
    except InputError:
        return None  # of a newer version
    return recipe.name, described


def differences(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that are not those of its recipe, by field, with the run's value; empty without a recipe.

    A label rule that only says how the dataset's classes are read is no difference.
    """
    found = made_from(settings)
    if found is None:
        return {}
    recipe = find(found[0])[0].config(".", described=found[1])
    own = recipe.dump()
    changed = {}
    for name in TrainConfig.model_fields:
        value = settings.get(name)
        if name in APART or name not in settings or value == own[name]:
            continue
        if name == "backbone_lr" and value == settings.get("lr"):
            continue  # a run has every default filled in
        if name == "label_rule" and _beyond_reading(value) == _beyond_reading(own[name]):
            continue
        changed[name] = value
    return changed


def _beyond_reading(rule: Any) -> tuple[str, ...]:
    parts = (part.strip() for part in str(rule or "").split(","))
    return tuple(part for part in parts if part and "=" not in part)


def data_kind(report: Report, sets: Mapping[str, Mapping[str, int]], sources: Collection[str]) -> str:
    """`course`, `phantoms` or `other`: whether a run's images can be those that the report was made on.

    Args:
        sets: by split, images by their set of labels, as the run labels them.
        sources: where the images say that they come from.
    """
    if sources and set(sources) <= PHANTOM_SOURCES:
        return "phantoms"
    same = all(dict(sets.get(split, {})) == dict(counts) for split, counts in report.images.items())
    return "course" if same else "other"
