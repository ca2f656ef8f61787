"""Where the heat of groups of images lies, as a table: each share as a number and a bar, with its chance level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covidviz.explain.measures import MEASURES
from covidviz.ui.components import component
from covidviz.ui.heat_measures import Group, Share

__all__ = ["TITLES", "heat_shares", "paired_rows", "rows_of"]

TITLES = {
    "lungs": "in the lungs",
    "border": "on the border",
    "corners": "in the corners",
    "lesion": "on the lesion",
    "pointing": "peak on the lesion",
}
HELP = {
    "lungs": "Share of the heat inside the lung mask.",
    "border": "Share of the heat in the outer tenth of the side, along each edge.",
    "corners": "Share of the heat in four squares of a fifth of the side.",
    "lesion": "Share of the heat inside the lesion mask, of images that have a lesion.",
    "pointing": "Share of the images with a lesion whose hottest point lies on it (pointing game).",
}
KINDS = {"all": "All", "class": "True class", "cell": "True → predicted"}

_table = component("heat_shares", '<div class="heatshares cv"></div>')


def rows_of(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One row per group: `kind` heading, `name`, `images`, `cell`, `runs`: its shares per measure, one list entry."""
    return paired_rows([(group,) for group in groups])


def paired_rows(groups: Sequence[Sequence[Group | None]]) -> list[dict[str, Any]]:
    """As `rows_of` for several runs beside each other: of each row one group per run, None where it has none."""
    rows = []
    for per_run in groups:
        one = next(group for group in per_run if group is not None)
        rows.append(
            {
                "kind": KINDS[one.kind], "name": one.name, "cell": one.cell,
                "images": [None if group is None else group.images for group in per_run],
                "runs": [{} if group is None else _shares(group) for group in per_run],
            }
        )  # fmt: skip
    return rows


def _shares(group: Group) -> dict[str, dict[str, Any]]:
    return {name: _share(share) for name, share in group.shares.items()}


def _share(share: Share) -> dict[str, Any]:
    numbers = {key: getattr(share, key) for key in ("value", "low", "high", "chance")}
    rounded = {key: None if value is None else round(value, 4) for key, value in numbers.items()}
    return {**rounded, "n": share.n, "middle": [round(value, 4) for value in share.middle]}


def heat_shares(rows: list[dict[str, Any]], *, runs: Sequence[str] = ("",), intervals: bool = True, key: str) -> None:
    """Draw rows of `rows_of` or `paired_rows`.

    Args:
        runs: short names of the runs, one for each entry of a row's `runs`.
        intervals: draw the 95 % interval of each mean.
    """
    used = [name for name in MEASURES if any(name in run for row in rows for run in row["runs"])]
    columns = [{"key": name, "title": TITLES[name], "help": HELP[name]} for name in used]
    _table(key=key, data={"rows": rows, "columns": columns, "runs": list(runs), "intervals": intervals})
