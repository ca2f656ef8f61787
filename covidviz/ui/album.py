"""Images of a run as the gallery shows them: captions, probabilities, facts, addresses. No streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.store.reader import Run
from covidviz.ui import pictures, replays
from covidviz.ui.image_query import Query
from covidviz.ui.results import Results

__all__ = ["PER_PAGE", "album", "items_of", "page_of", "query_album"]

PER_PAGE = 60
FACTS = {"patient_id": "patient", "source": "source", "view": "view", "path": "file"}


def page_of(ids: Sequence[str], selected: str | None) -> int:
    """The page (from 0) that holds `selected`; the first where it is in none."""
    return list(ids).index(selected) // PER_PAGE if selected is not None and selected in ids else 0


def query_album(
    run: Run, found: Results, rows: pd.DataFrame, query: Query, selected: str | None = None
) -> dict[str, Any]:
    """All images of a query: the page around `selected` at once, the others as the browser asks for them.

    Args:
        rows: `rows_of` that query.
        selected: sample id; the first page where it is not among them.

    Returns:
        As `album`; `epoch` that of the query; `opened` is the id and position of `selected`, or None.
    """
    ids = rows["sample_id"].astype(str).tolist()
    known = selected is not None and selected in ids
    page = page_of(ids, selected)
    address = urlencode({key: value for key, value in query.params.items() if value is not None})
    shown = album(run, rows, found.classes, found.task, page=page, label=query.judged(found), more=address)
    return {
        **shown,
        "epoch": query.epoch,
        "opened": {"id": selected, "at": ids.index(str(selected))} if known else None,
    }


def album(
    run: Run,
    rows: pd.DataFrame,
    classes: Sequence[str],
    task: str,
    *,
    page: int = 0,
    label: str | None = None,
    more: str | None = None,
) -> dict[str, Any]:
    """Images for `covidviz.ui.components.gallery`.

    Args:
        rows: of `covidviz.evaluation.ranking.select`, all of one split.
        page: from 0.
        label: multi-label: the class that is being judged.
        more: the query (address part) that `/list/{run}` answers with the other pages; without it the page is all.

    Returns:
        `items` of the page (see `items_of`), `offset` of the first in the list, `total`, `page` size; `base`, `heat`,
        `list` addresses and `heat_v`; `run`, `split`, `classes`, `multi`, `judged` class index or None.
    """
    first = page * PER_PAGE
    split = str(rows["split"].iloc[0]) if len(rows) else ""
    items = items_of(run, rows.iloc[first : first + PER_PAGE], classes, task, label)
    return {
        "items": items,
        "offset": first,
        "total": len(rows) if more is not None else len(items),
        "page": PER_PAGE,
        "run": run.id,
        "split": split,
        "base": f"/img/{run.id}/",
        "heat": f"/cam/{run.id}/",
        "heat_v": pictures.heat_key(run, split) if split else "",
        "list": f"/list/{run.id}?{more}" if more is not None else None,
        "classes": list(classes),
        "multi": task != "single-label",
        "judged": None if label is None else list(classes).index(label),
    }


def items_of(
    run: Run, shown: pd.DataFrame, classes: Sequence[str], task: str, label: str | None = None
) -> list[dict[str, Any]]:
    """One document per image.

    Args:
        shown: rows of `covidviz.evaluation.ranking.select`, all of one split.
        label: multi-label: the class that is being judged; `right` and the number in the caption mean it.

    Returns:
        `id`; `v` content key of the picture or None; `heat` whether there is a map; `k` class of the map to show first;
        `right`; captions `what`, its parts `true` and `said`, and `prob`; per class `p` probability, `y` true and `d`
        decided 0/1; `facts` as pairs.
    """
    split = str(shown["split"].iloc[0]) if len(shown) else ""
    mapped = pictures.heat_ids(run, split)
    prob, truth = prob_of(shown, classes), labels_of(shown, classes)
    decided = predicted(prob, task) if len(shown) else truth
    epoch = int(shown[replays.EPOCH].iloc[0]) if replays.EPOCH in shown and len(shown) else None
    items = []
    needed = [name for name in ("sample_id", "loss", "right", "confidence", *FACTS) if name in shown]
    for i, row in enumerate(shown[needed].to_dict("records")):
        sample_id = str(row["sample_id"])
        true = [name for name, yes in zip(classes, truth[i], strict=True) if yes]
        said = [name for name, yes in zip(classes, decided[i], strict=True) if yes]
        k = list(classes).index(label) if label is not None else int(prob[i].argmax())
        loss = ("loss" if epoch is None else "cross-entropy", _number(row["loss"]))
        facts = [("true", _names(true)), ("predicted", _names(said)), loss]
        if epoch is not None:
            facts.append(("epoch", str(epoch)))
        if split == replays.SPLIT and (told := replays.story(run, sample_id)) is not None:
            facts.append(("over the epochs", told))
        facts += [(title, str(row[key])) for key, title in FACTS.items() if _known(row.get(key))]
        items.append(
            {
                "id": sample_id,
                "v": pictures.file_key(run, sample_id),
                "heat": sample_id in mapped,
                "k": k,
                "right": bool(row["right"]),
                "what": _names(true) if true == said else f"{_names(true)} → {_names(said)}",
                "true": _names(true),
                "said": _names(said),
                "prob": _caption(row["confidence"], prob[i, k], label),
                "p": [round(float(p), 4) if math.isfinite(p) else None for p in prob[i]],
                "y": [int(y) for y in truth[i]],
                "d": [int(d) for d in decided[i]],
                "facts": [*facts, ("sample", sample_id)],
            }
        )
    return items


def _caption(confidence: float, p: float, label: str | None) -> str:
    if label is not None:
        return f"p({label}) {_number(p)}"
    return f"p {_number(confidence)}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "not a number"


def _known(value: Any) -> bool:
    return value is not None and value == value and str(value) != ""
