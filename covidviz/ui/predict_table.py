"""The table of the Predict page, to keep: a line per image. No streamlit."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson

from covidviz.errors import InputError, StoreError
from covidviz.store.reader import Run
from covidviz.ui.spreadsheet import cell

__all__ = ["table"]

MOST_ROWS = 10_000


def table(run: Run, body: bytes) -> bytes:
    """CSV (UTF-8 with a mark, which Excel wants): a line per image, in the order of `rows`.

    Args:
        body: JSON {`rows`: [{`name`, `prob`, `called`, `answer`, `error`}]}, as the page holds them.

    Raises:
        InputError: it is something else.
        StoreError: the run is gone.
    """
    config = run.config()
    if config is None:
        raise StoreError(f"run {run.id} is gone")
    try:
        rows = orjson.loads(body)["rows"]
        given = [dict(row) for row in rows]
    except (ValueError, TypeError, KeyError):
        raise InputError("rows: accepted: a list of objects") from None
    if len(given) > MOST_ROWS:
        raise InputError(f"rows: {len(given)} given, accepted: at most {MOST_ROWS:,}")
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    classes = config.classes
    head = [
        "file", "called", *(f"prob_{name}" for name in classes), "distance_to_training", "share_of_validation_nearer",
        "hint", "nearest_training_image", "nearest_labels", "nearest_distance", "note", "run",
    ]  # fmt: skip
    writer.writerow([cell(name) for name in head])
    for row in given:
        prob, answer = _list(row.get("prob")), _dict(row.get("answer"))
        called = [classes[k] for k in _list(row.get("called")) if isinstance(k, int) and 0 <= k < len(classes)]
        first = _dict(next(iter(_list(answer.get("nearest"))), None))
        nearer, of = answer.get("nearer"), answer.get("of")
        share = nearer / of if isinstance(nearer, int) and isinstance(of, int) and of > 0 else None
        note = [row.get("error") or "", *_list(row.get("remarks")), answer.get("twin") or ""]
        cells = [
            row.get("name"), "|".join(called), *(_number(p) for p in (prob + [None] * len(classes))[: len(classes)]),
            _number(answer.get("distance")), _number(share), answer.get("hint"), first.get("sample_id"),
            "|".join(map(str, _list(first.get("labels")))), _number(first.get("distance")),
            " ".join(str(part) for part in note if part), run.id,
        ]  # fmt: skip
        writer.writerow([cell(one) for one in cells])
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return round(float(value), 6) if isinstance(value, int | float) and not isinstance(value, bool) else None
