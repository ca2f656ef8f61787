"""The checks `file-traits`, `source-shortcut`, `thumbnail-shortcut` and `lungs-blanked`.

Each asks whether a simple model guesses the class from something that is not the disease: cross-validated, patients
and duplicates kept together, as the area under the ROC curve (AUC; .5 is chance, 1 is always right) with an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covidviz.data.doctor.dataset import Dataset
from covidviz.data.doctor.guess import Auc, area, linear_model, out_of_fold, sample_rows
from covidviz.data.doctor.looks import BORDER, SIDE
from covidviz.data.doctor.pictures import shrunk, thumbnails
from covidviz.data.doctor.report import Check
from covidviz.data.images import decode
from covidviz.errors import DataError

__all__ = ["file_traits", "lungs_blanked", "source_shortcut", "thumbnail_shortcut"]

TREES = 60
MOST = 6000  # images; more would not narrow the interval enough to matter

# Severity by the lower end of the interval of the class that is guessed best.
_LIMITS = {
    "file-traits": ((0.6, "note"), (0.7, "warn"), (0.85, "bad")),
    "source-shortcut": ((0.6, "note"), (0.7, "warn"), (0.85, "bad")),
    "thumbnail-shortcut": ((0.9, "note"), (0.95, "warn")),  # a disease may well be seen at this size
    "lungs-blanked": ((0.6, "note"), (0.7, "warn"), (0.85, "bad")),
}
_WHAT = {
    "file-traits": "from file format, size, shape, border and brightness",
    "source-shortcut": "from the source",
    "thumbnail-shortcut": "by a linear model from 32 x 32 pixels",
    "lungs-blanked": "from what lies outside the lungs",
}
_MEANING = {
    "file-traits": "A network sees some of these traits too, and may read them instead of the disease.",
    "source-shortcut": "Class and source are tied: a network that recognises the hospital scores well without "
    "reading the disease.",
    "thumbnail-shortcut": "At this size a large opacity can be seen, small signs can't. If a class is told this well, "
    "something coarse may give it away: a text in a corner, a frame, the exposure.",
    "lungs-blanked": "The disease is in the lungs. What tells the class without them is a marker, a device, the "
    "framing or the hospital, and a network may use it.",
}
_REMEDY = {
    "file-traits": "Prepare all images alike (size, crop, contrast), take classes from the same source, and look at "
    "where the heat maps lie.",
    "source-shortcut": "Compare scores within one source, and add images of every class from every source.",
    "thumbnail-shortcut": "Look at the mean picture of each class and at the heat maps' share on the border.",
    "lungs-blanked": "Crop to the chest, cover markers, and compare a network's AUC with this one: only what is above "
    "it comes from the lungs.",
}

# What is blanked where a dataset has no lung masks: the same rectangle in every image.
CENTRE = (5, 57, 4, 60)  # top, bottom, left, right of SIDE pixels


def file_traits(data: Dataset, groups: NDArray[np.intp]) -> Check:
    """Format, colour mode, size, shape, bytes per pixel, border, brightness."""
    from sklearn.ensemble import RandomForestClassifier

    rows = _rows(data, groups)
    files, thumbs = data.looks.files.iloc[rows], data.looks.thumbs[rows]
    edge = np.ones((SIDE, SIDE), bool)
    edge[BORDER:-BORDER, BORDER:-BORDER] = False
    pixels = np.maximum(files["width"].to_numpy(float) * files["height"].to_numpy(float), 1)
    traits = {
        "format": files["format"].astype("category").cat.codes.to_numpy(float),
        "mode": files["mode"].astype("category").cat.codes.to_numpy(float),
        "width": files["width"].to_numpy(float),
        "height": files["height"].to_numpy(float),
        "aspect": files["width"].to_numpy(float) / np.maximum(files["height"].to_numpy(float), 1),
        "bytes per pixel": files["bytes"].to_numpy(float) / pixels,
        "border brightness": thumbs[:, edge].mean(1),
        "dark border": (thumbs[:, edge] < 12).mean(1),
        "brightness": thumbs.mean((1, 2)),
        "contrast": thumbs.std((1, 2)),
        "white": (thumbs > 245).mean((1, 2)),
        "black": (thumbs < 5).mean((1, 2)),
    }
    x = np.column_stack(list(traits.values()))

    def forest() -> Any:
        return RandomForestClassifier(TREES, min_samples_leaf=5, random_state=0)

    found = _guessed(data, x, rows, groups, forest)
    details: dict[str, Any] = {"traits": list(traits)}
    if found is not None:
        kinds = np.unique(data.labels[rows], axis=0, return_inverse=True)[1].reshape(-1)
        weight = forest().fit(x, kinds).feature_importances_
        order = np.argsort(-weight)[:4]
        details["strongest"] = {list(traits)[i]: round(float(weight[i]), 3) for i in order}
    return _check("file-traits", data, found, details)


def source_shortcut(data: Dataset, groups: NDArray[np.intp]) -> Check:
    """The share of each class among the other images of the same source."""
    source = data.column("source")
    if source is None or len(set(source)) < 2:
        said = "the column source is missing" if source is None else "all images have the same source"
        return Check(
            "source-shortcut", "note" if source is None else "ok", f"Not told: {said}.",
            "Where each class comes from another hospital, a network may learn the hospital.",
            "Add a column source to labels.csv if it is known." if source is None else "", details={"auc": None},
        )  # fmt: skip
    from sklearn.linear_model import LogisticRegression

    rows = _rows(data, groups, readable=False)
    names, number = np.unique(np.array(source, object)[rows].astype(str), return_inverse=True)
    x = np.eye(len(names))[number.reshape(-1)] if len(names) <= 500 else number.reshape(-1, 1).astype(float)
    found = _guessed(data, x, rows, groups, lambda: LogisticRegression(C=10, max_iter=300))
    table = {
        str(name): {
            one: int(n) for one, n in zip(data.classes, data.labels[rows][number.reshape(-1) == i].sum(0), strict=True)
        }
        for i, name in enumerate(names[:50])
    }
    return _check("source-shortcut", data, found, {"sources": table})


def thumbnail_shortcut(data: Dataset, groups: NDArray[np.intp]) -> Check:
    """A linear model on 32 x 32 pixels."""
    rows = _rows(data, groups)
    found = None
    if len(rows):
        x = thumbnails(data.looks.thumbs, rows)
        found = _guessed(data, x, rows, groups, linear_model(x.shape[1], len(x)))
    return _check("thumbnail-shortcut", data, found, {})


def lungs_blanked(data: Dataset, groups: NDArray[np.intp]) -> Check:
    """A linear model on 32 x 32 pixels whose lungs are blanked.

    Where labels.csv has `lung_mask`, these with a margin. Else the same large rectangle in every image (as in
    G. Maguolo and L. Nanni, Inf. Fusion 76 (2021) 1): lungs that are found in each image have a shape that depends on
    the disease, and the shape of the hole would tell the class (measured: docs/data-doctor.md).
    """
    rows = _rows(data, groups)
    masks = _masks(data, rows)
    how = "the dataset's lung masks" if masks is not None else "the same central rectangle in every image"
    found = None
    if len(rows):
        x = data.looks.thumbs[rows].astype(np.float32)
        if masks is None:
            masks = np.zeros(x.shape, bool)
            masks[:, CENTRE[0] : CENTRE[1], CENTRE[2] : CENTRE[3]] = True
        n = np.maximum((~masks).sum((1, 2), keepdims=True), 1)
        middle = np.where(masks, 0, x).sum((1, 2), keepdims=True) / n
        spread = np.sqrt(np.where(masks, 0, (x - middle) ** 2).sum((1, 2), keepdims=True) / n)
        x = np.where(masks, 0, (x - middle) / (spread + 1)).astype(np.float32)
        x = shrunk(x, 32).reshape(len(x), -1)
        found = _guessed(data, x, rows, groups, linear_model(x.shape[1], len(x)))
    return _check("lungs-blanked", data, found, {"blanked": how})


def _masks(data: Dataset, rows: NDArray[np.intp]) -> NDArray[np.bool_] | None:
    """The lungs with a margin of 5 % of the picture, [n, SIDE, SIDE]; None unless every image has a mask."""
    from scipy.ndimage import binary_dilation

    paths = data.column("lung_mask")
    if paths is None or not len(rows):
        return None
    root = data.manifest.root
    chosen = [paths[row] for row in rows]
    if not all(path and _below(root, path) for path in chosen):
        return None
    try:
        images, errors = decode(root, chosen, SIDE)
    except DataError:
        return None
    masks = images > 127
    if errors or not masks.any((1, 2)).all():
        return None
    return np.asarray(binary_dilation(masks, np.ones((1, 3, 3), bool), iterations=3))


def _below(root: Path, path: str) -> bool:
    try:
        return (root / path).resolve().is_relative_to(root)
    except (OSError, ValueError):
        return False


def _rows(data: Dataset, groups: NDArray[np.intp], *, readable: bool = True) -> NDArray[np.intp]:
    rows = sample_rows(groups, MOST)
    return rows[data.looks.readable[rows]] if readable else rows


def _guessed(
    data: Dataset, x: np.ndarray, rows: NDArray[np.intp], groups: NDArray[np.intp], model: Callable[[], Any]
) -> Auc | None:
    labels = data.labels[rows]
    prob = out_of_fold(x, labels, groups[rows], model) if len(data.classes) > 1 else None
    return None if prob is None else area(prob, labels, groups[rows], data.classes)


def _check(id: str, data: Dataset, found: Auc | None, details: dict[str, Any]) -> Check:
    if found is None:
        why = "there is one class only" if len(data.classes) < 2 else "a class has too few images or patients"
        return Check(id, "note", f"Not measured: {why}.", _MEANING[id], details={"auc": None, **details})
    name, sure = found.surest
    severity = "ok"
    for limit, named in _LIMITS[id]:
        severity = named if sure >= limit else severity
    value = found.per_class[name][0]
    summary = (
        f"The class is guessed {_WHAT[id]} with an AUC of {_two(found.auc)} ({_two(found.low)} to {_two(found.high)}; "
        f"chance .50), best {name} with {_two(value)}."
    )
    if severity == "ok":
        return Check(id, "ok", summary, _MEANING[id], details={**found.details(), **details})
    return Check(id, severity, summary, _MEANING[id], _REMEDY[id], details={**found.details(), **details})


def _two(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
