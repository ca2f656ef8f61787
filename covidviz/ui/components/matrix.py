"""The confusion matrix as a grid of buttons: a click names its cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import streamlit as st

from covidviz.ui.components import component

__all__ = ["Show", "deepest", "difference", "displayed", "matrix", "matrix_groups"]

Show = Literal["counts", "row", "column"]
Group = dict[str, Any]

_matrix = component("matrix", '<div class="matrix cv"></div>')
_KINDS = (("tp", "fn"), ("fp", "tn"))
_MEANING = {"counts": "number of images", "row": "share of the row", "column": "share of the column"}


def matrix_groups(confusion: dict[str, Any], classes: Sequence[str], task: str) -> list[Group]:
    """The grids to draw: one for single-label, one 2 x 2 per label for multi-label.

    Args:
        confusion: the document of `covidviz.evaluation.metrics.confusion`.

    Returns:
        `title`; `columns` with `name` and `n` (column total); `rows` with `name`, `n` (row total) and `cells`: `id`,
        `name` for people, `n`, `row` and `column` (share of the row and of the column in 0..1, None where that is
        empty), `right`.
    """
    if task == "single-label":
        ids = [[f"{i}-{j}" for j in range(len(classes))] for i in range(len(classes))]
        return [_group("", classes, confusion["matrix"], ids, "true {}, predicted {}")]
    return [
        _group(
            label,
            ("yes", "no"),
            [[confusion[label][kind] for kind in kinds] for kinds in _KINDS],
            [[f"{k}-{kind}" for kind in kinds] for kinds in _KINDS],
            "true {}, predicted {}",
        )
        for k, label in enumerate(classes)
    ]


def _group(
    title: str, names: Sequence[str], counts: Sequence[Sequence[int]], ids: Sequence[Sequence[str]], say: str
) -> Group:
    across = [int(sum(row)) for row in counts]
    down = [int(sum(column)) for column in zip(*counts, strict=True)]
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        cells = []
        for j, other in enumerate(names):
            n = int(counts[i][j])
            said = say.format(name, other)
            cells.append(
                {
                    "id": ids[i][j],
                    "name": f"{title}: {said}" if title else said,
                    "n": n,
                    "row": n / across[i] if across[i] else None,
                    "column": n / down[j] if down[j] else None,
                    "right": i == j,
                }
            )
        rows.append({"name": name, "n": across[i], "cells": cells})
    columns = [{"name": name, "n": n} for name, n in zip(names, down, strict=True)]
    return {"title": title, "columns": columns, "rows": rows}


def difference(minuend: Sequence[Group], subtrahend: Sequence[Group]) -> list[Group]:
    """`minuend - subtrahend`, cell by cell, of two results of `matrix_groups` with the same classes; draw it `signed`.

    A share is None where one of the two has none.
    """
    groups = []
    for a, b in zip(minuend, subtrahend, strict=True):
        rows = []
        for left, right in zip(a["rows"], b["rows"], strict=True):
            cells = []
            for x, y in zip(left["cells"], right["cells"], strict=True):
                shares = {
                    key: None if x[key] is None or y[key] is None else x[key] - y[key] for key in ("row", "column")
                }
                cells.append({**x, "n": x["n"] - y["n"], **shares})
            rows.append({**left, "n": left["n"] - right["n"], "cells": cells})
        columns = [{**x, "n": x["n"] - y["n"]} for x, y in zip(a["columns"], b["columns"], strict=True)]
        groups.append({**a, "columns": columns, "rows": rows})
    return groups


def deepest(groups: Sequence[Group], show: Show = "counts") -> float:
    """The largest value in the grids, for a `top` that several matrices share; at least a little above 0."""
    values = [abs(_value(cell, show) or 0.0) for group in groups for row in group["rows"] for cell in row["cells"]]
    return max([*values, 1e-9])


def displayed(
    groups: Sequence[Group], show: Show = "counts", *, top: float | None = None, signed: bool = False
) -> list[Group]:
    """The grids with what each cell says: `big` and `small` text, `depth` of its colour in -1..1, `label` for readers.

    Args:
        top: the value of the deepest colour; default the largest count, or 1 for shares (for a difference the largest
            change).
    """
    if top is None:
        top = deepest(groups, show) if signed or show == "counts" else 1.0
    out = []
    for group in groups:
        rows = [{**row, "cells": [_cell(cell, show, top, signed) for cell in row["cells"]]} for row in group["rows"]]
        out.append({**group, "rows": rows})
    return out


def _value(cell: dict[str, Any], show: Show) -> float | None:
    return cell["n"] if show == "counts" else cell[show]


def _cell(cell: dict[str, Any], show: Show, top: float, signed: bool) -> dict[str, Any]:
    n, value = cell["n"], _value(cell, show)
    share = "column" if show == "column" else "row"
    count, percent = _count(n, signed), _percent(cell[share], signed)
    depth = 0.0 if value is None else max(-1.0, min(1.0, value / top))
    images = f"{count} {'image' if abs(n) == 1 else 'images'}"
    return {
        "id": cell["id"],
        "n": n,
        "right": cell["right"],
        "big": count if show == "counts" else percent,
        "small": percent if show == "counts" else count,
        "depth": round(depth, 4),
        "label": f"{cell['name']}: {images}, {percent} of the {share}",
    }


def _count(n: int, signed: bool) -> str:
    return f"{_sign(n)}{abs(n):,}" if signed else f"{n:,}"


def _percent(share: float | None, signed: bool) -> str:
    if share is None or not math.isfinite(share):
        return "–"
    size = abs(share)
    text = "<1" if 0 < size < 0.005 else f"{100 * size:.0f}"
    if not signed and 0.995 <= size < 1:
        text = ">99"  # 100 % is said only where it is all
    return f"{_sign(share) if signed else ''}{text} %"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−" if value < 0 else ""


def matrix(
    groups: list[Group],
    *,
    selected: str | None,
    key: str,
    on_pick: Callable[[str | None], None],
    show: Show = "counts",
    top: float | None = None,
    signed: bool = False,
) -> None:
    """Draw the grids of `matrix_groups`, or of `difference`.

    Args:
        selected: the cell to mark.
        on_pick: called before the next script run with the id of the clicked cell, None when it was deselected (clicked
            once more, or Esc).
        show: what the cells say and their colour means: counts, shares of the row or of the column.
        top: the value of the deepest colour, for a scale that several matrices share; see `displayed`.
        signed: the values are differences: + and - are written, and have a colour each.
    """

    def picked() -> None:
        cell = st.session_state[key]["picked"]["id"]
        on_pick(None if cell is None else str(cell))

    meaning = _MEANING[show]
    data = {
        "groups": displayed(groups, show, top=top, signed=signed),
        "selected": selected,
        "signed": signed,
        "column_totals": show == "column",
        "legend": {"more": "+ more", "less": f"− fewer (colour: {meaning})"}
        if signed
        else {"right": "right", "wrong": f"wrong (colour: {meaning})"},
    }
    _matrix(key=key, data=data, on_picked_change=picked)
