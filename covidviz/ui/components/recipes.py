"""The table of a report: published numbers, what their matrices say, and runs made here; a row opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from covidviz.ui.components import component

__all__ = ["recipes"]

_recipes = component("recipes", '<div class="recipes cv"></div>', parts=("wide",))


def recipes(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[dict[str, str]],
    *,
    split: str,
    can_run: bool,
    links: Mapping[str, str],
    key: str,
    on_run: Callable[[str, bool], None],
) -> None:
    """Draw the rows of `covidviz.ui.recipes.rows`.

    Args:
        split: the one that the published numbers are of.
        can_run: whether recipes can be run: a dataset was chosen.
        links: by recipe, the New run page with its settings.
        on_run: called before the next script run with the name of a recipe, and whether its described variant is meant.
    """

    def asked() -> None:
        said: dict[str, Any] = st.session_state[key]["asked"]
        on_run(str(said.get("name", "")), said.get("described") is True)

    data = {"rows": list(rows), "columns": list(columns), "split": split, "canRun": can_run, "links": dict(links)}
    _recipes(key=key, data=data, on_asked_change=asked)
