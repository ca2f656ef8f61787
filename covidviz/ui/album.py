"""Images of a run as the gallery and the viewer show them: captions, probabilities, facts, addresses. No streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import pictures

__all__ = ["PER_PAGE", "album", "page_of"]

PER_PAGE = 60
FACTS = {"patient_id": "patient", "source": "source", "view": "view", "path": "file"}


def page_of(ids: Sequence[str], selected: str | None) -> int:
    """The page (from 0) that holds `selected`; the first where it is in none."""
    return list(ids).index(selected) // PER_PAGE if selected is not None and selected in ids else 0


def album(
    run: Run, rows: pd.DataFrame, classes: Sequence[str], task: str, *, page: int = 0, label: str | None = None
) -> dict[str, Any]:
    """One page of images for `gallery` and `viewer`.

    Args:
        rows: of `covidviz.evaluation.ranking.select`, all of one split.
        page: from 0.
        label: multi-label: the class that is being judged; `right`, the number in the caption and the heat map mean it.

    Returns:
        `items` (per image `id`, `v` content key or None, `heat` whether a map was logged, `k` class of the map to show
        first, `right`, `what` and `prob` captions, `p` and `y` per class, `facts`), `base`, `heat`, `heat_v` address
        parts, `classes`, `multi`, `offset` and `total` in the list, `before` and `after`: ids beyond the page's ends.
    """
    first = page * PER_PAGE
    shown = rows.iloc[first : first + PER_PAGE]
    ids = rows["sample_id"].astype(str).tolist()
    split = str(shown["split"].iloc[0]) if len(shown) else ""
    mapped = pictures.heat_ids(run, split)
    prob, truth = prob_of(shown, classes), labels_of(shown, classes)
    decided = predicted(prob, task) if len(shown) else truth
    items = []
    needed = [name for name in ("sample_id", "loss", "right", "confidence", *FACTS) if name in shown]
    for i, row in enumerate(shown[needed].to_dict("records")):
        sample_id = str(row["sample_id"])
        true = [name for name, yes in zip(classes, truth[i], strict=True) if yes]
        said = [name for name, yes in zip(classes, decided[i], strict=True) if yes]
        k = classes.index(label) if label is not None else int(prob[i].argmax())
        facts = [("true", _names(true)), ("predicted", _names(said)), ("loss", _number(row["loss"]))]
        facts += [(title, str(row[key])) for key, title in FACTS.items() if _known(row.get(key))]
        items.append(
            {
                "id": sample_id,
                "v": pictures.file_key(run, sample_id),
                "heat": sample_id in mapped,
                "k": k,
                "right": bool(row["right"]),
                "what": _names(true) if true == said else f"{_names(true)} → {_names(said)}",
                "prob": _caption(row["confidence"], prob[i, k], label),
                "p": [round(float(p), 4) if math.isfinite(p) else None for p in prob[i]],
                "y": [int(y) for y in truth[i]],
                "facts": [*facts, ("sample", sample_id)],
            }
        )
    return {
        "items": items,
        "base": f"/img/{run.id}/",
        "heat": f"/cam/{run.id}/",
        "heat_v": pictures.version_key(run.version(f"{layout.CAMS}/{split}.npz")),
        "classes": list(classes),
        "multi": task != "single-label",
        "offset": first,
        "total": len(ids),
        "before": ids[first - 1] if first > 0 else None,
        "after": ids[first + PER_PAGE] if first + PER_PAGE < len(ids) else None,
    }


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
