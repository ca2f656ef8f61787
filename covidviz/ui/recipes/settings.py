"""A new run that starts from a recipe: its settings, fitted to the dataset that was chosen. No streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from covidviz.config import TrainConfig
from covidviz.errors import InputError
from covidviz.recipes.fit import fitted
from covidviz.recipes.load import DESCRIBED, find, recipes
from covidviz.setting_names import DEFAULT_LOSS

__all__ = ["names", "settings_of", "taken", "title"]

KEPT = ("data", "split_column", "device", "precision", "cache", "tags")  # the person's, whatever the recipe


@cache
def names() -> tuple[str, ...]:
    """All recipes, each followed by its described variant."""
    return tuple(
        name for one in recipes().values()
        for name in (one.name, *([f"{one.name}/{DESCRIBED}"] if one.described is not None else []))
    )  # fmt: skip


def title(name: str) -> str:
    """`bscs17028/vgg16-fc: VGG-16, the new head alone learns`; plain text."""
    try:
        recipe, described = find(name)
    except InputError:
        return name
    return f"{recipe.name}, as described" if described else f"{recipe.name}: {recipe.summary}"


def settings_of(name: str, data: str) -> tuple[dict[str, Any], str]:
    """The settings of a recipe for the dataset at `data` (`""`: none yet), and a sentence on how it fits.

    Where the dataset lacks classes the settings are the recipe's own, and the sentence tells the mapping.

    Raises:
        InputError: there is no such recipe.
    """
    recipe, described = find(name)
    said = ""
    values = recipe.variant(described=described)
    if data:
        try:
            values, said = fitted(name, {"data": data})
        except InputError as error:
            said = str(error)
    values = {key: value for key, value in values.items() if key != "data"}
    found = TrainConfig.parse({"data": ".", **values}).model_dump(exclude={"data"})
    if found["loss"] == DEFAULT_LOSS[found["task"]]:
        found["loss"] = None  # what the form calls the default
    return found, said


def taken(before: Mapping[str, Any], name: str | None, data: str) -> tuple[dict[str, Any], list[str]]:
    """The form's values after recipe `name` was chosen (None: no recipe any more, the settings stay), and what to say.

    Raises:
        InputError: there is no such recipe.
    """
    if not name:
        rest = {key: value for key, value in before.items() if key != "recipe"}
        if before.get("name") == before.get("recipe"):
            rest.pop("name", None)
        return rest, []
    values, said = settings_of(name, data)
    kept = {key: before[key] for key in KEPT if key in before}
    return {**values, **kept}, [said] if said else []
