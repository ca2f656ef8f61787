"""The confusion matrix as a grid of buttons: a click names its cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from covidviz.ui.components import component

__all__ = ["matrix", "matrix_groups"]

_matrix = component("matrix", '<div class="matrix cv"></div>')


def _cell(name: str, n: int, total: int, right: bool, label: str) -> dict[str, Any]:
    share = n / total if total else 0.0
    percent = "–" if not total else "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
    return {"id": name, "n": n, "share": round(share, 4), "percent": percent, "right": right,
            "label": f"{label}: {n} {'image' if n == 1 else 'images'}, {percent} of the row"}  # fmt: skip


def matrix_groups(confusion: dict[str, Any], classes: Sequence[str], task: str) -> list[dict[str, Any]]:
    """The grids to draw: one for single-label, one 2 x 2 per label for multi-label.

    Args:
        confusion: the document of `covidviz.evaluation.metrics.confusion`.

    Returns:
        `title`, `columns`, and `rows` with `name`, `n` (row total) and `cells` (`id`, `n`, `share` of the row,
        `percent`, `right`, `label` for screen readers).
    """
    if task == "single-label":
        rows = []
        for i, (name, counts) in enumerate(zip(classes, confusion["matrix"], strict=True)):
            total = int(sum(counts))
            cells = [
                _cell(f"{i}-{j}", int(n), total, i == j, f"true {name}, predicted {classes[j]}")
                for j, n in enumerate(counts)
            ]
            rows.append({"name": name, "n": total, "cells": cells})
        return [{"title": "", "columns": list(classes), "rows": rows}]
    groups = []
    for k, name in enumerate(classes):
        counts = {kind: int(confusion[name][kind]) for kind in ("tp", "fn", "fp", "tn")}
        rows = []
        for true, kinds in (("yes", ("tp", "fn")), ("no", ("fp", "tn"))):
            total = sum(counts[kind] for kind in kinds)
            cells = [
                _cell(f"{k}-{kind}", counts[kind], total, true == said, f"{name}: true {true}, predicted {said}")
                for kind, said in zip(kinds, ("yes", "no"), strict=True)
            ]
            rows.append({"name": true, "n": total, "cells": cells})
        groups.append({"title": name, "columns": ["yes", "no"], "rows": rows})
    return groups


def matrix(
    groups: list[dict[str, Any]], *, selected: str | None, key: str, on_pick: Callable[[str | None], None]
) -> None:
    """Draw the grids of `matrix_groups`.

    Args:
        selected: the cell to mark.
        on_pick: called before the next script run with the id of the clicked cell, None when it was deselected.
    """

    def picked() -> None:
        cell = st.session_state[key]["picked"]["id"]
        on_pick(None if cell is None else str(cell))

    legend = {"right": "right", "wrong": "wrong (colour: share of the row)"}
    _matrix(key=key, data={"groups": groups, "selected": selected, "legend": legend}, on_picked_change=picked)
