"""What the routes answer about the images of a run. Beside the routes, because pandas takes long to import."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from covidviz.store.reader import Run
from covidviz.ui import pictures
from covidviz.ui.album import PER_PAGE, items_of
from covidviz.ui.image_export import SHEET_LIMIT, Heat, chosen, contact_sheet, table
from covidviz.ui.image_query import query_of, rows_of
from covidviz.ui.replays import found_at

__all__ = ["exported", "listed"]


def listed(run: Run, get: Callable[[str], str | None]) -> bytes | None:
    """One page of the images of a query, or with `ids=1` the ids of all, as JSON.

    Args:
        get: a parameter of the address, None where it is missing.

    Returns:
        {`items`, `heat_v`} as of `covidviz.ui.album.album`, or {`ids`}; None for a run without results.
    """
    base = found_at(run, None)
    if base is None:
        return None
    query = query_of(get, base, run)
    found = found_at(run, query.epoch) or base
    rows = rows_of(run, query)
    if get("ids"):
        return json.dumps({"ids": rows["sample_id"].astype(str).tolist()}).encode()
    page = get("page") or ""
    first = int(page) * PER_PAGE if page.isascii() and page.isdigit() and len(page) < 8 else 0
    items = items_of(run, rows.iloc[first : first + PER_PAGE], found.classes, found.task, query.judged(found))
    return json.dumps({"items": items, "heat_v": pictures.heat_key(run, query.split)}, allow_nan=False).encode()


def exported(run: Run, kind: str, asked: dict[str, Any]) -> bytes | None:
    """A table (`csv`) or a contact sheet (`png`) of the images `asked["ids"]`; None where there are none of them."""
    found = found_at(run, asked.get("epoch") if isinstance(asked.get("epoch"), int) else None)
    if found is None:
        return None
    ids = [str(name) for name in asked["ids"]]
    rows = chosen(found, ids if kind == "csv" else ids[:SHEET_LIMIT])
    if not len(rows):
        return None
    if kind == "csv":
        return table(run, found, rows)
    return contact_sheet(run, found, rows, Heat.of(asked.get("heat")), str(asked.get("title") or run.id))
