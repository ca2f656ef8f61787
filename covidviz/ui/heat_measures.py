"""Where the heat of a run lies, in numbers: per image, per class, per cell of the matrix, and two runs beside each
other. No streamlit, no torch.

The maps are those the run logged, and those made on demand; the masks those of `covidviz.explain.masks`. Without masks
there are still numbers for the border and the corners.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from covidviz.catalog import CAM_METHODS
from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.explain.explained import folder
from covidviz.explain.masks import GRID, SOURCES, Masks, known_masks
from covidviz.explain.measures import MEASURES, Measures, mean_of, measure
from covidviz.paths import cache_dir
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import pictures
from covidviz.ui.results import Results, results

__all__ = ["LIMIT", "Group", "Measured", "Share", "groups", "look", "looked", "measured", "two_runs"]

LIMIT = 20_000  # images of a split that are measured for a table; more would let a page wait
PART = 512
MapOf = Literal["predicted", "true"]


@dataclass(frozen=True)
class Measured:
    """The measures of the images of a split that have a heat map.

    sample_id: [N], `measures` of them.
    masks: how many images have a lung mask from each of `SOURCES`; None where nobody looked for lungs yet.
    lesions: whether the dataset says where lesions are.
    left_out: images beyond `LIMIT`.
    side: points of a map along its shorter side.
    """

    sample_id: NDArray[np.str_]
    measures: Measures
    masks: dict[str, int] | None
    lesions: bool
    left_out: int
    side: int


@dataclass(frozen=True)
class Share:
    """The mean share of the heat of `n` images, its 95 % interval, and what even heat would have; all 0..1.

    low, high: None where too few images are known.
    middle: quartiles of the images.
    """

    value: float
    low: float | None
    high: float | None
    chance: float
    n: int
    middle: tuple[float, float]

    @property
    def beside_chance(self) -> str:
        """`less than`, `about` or `more than` even heat: below 0.8 times, up to 1.25 times, above."""
        if self.chance <= 0:
            return "about"
        ratio = self.value / self.chance
        return "less than" if ratio < 0.8 else "more than" if ratio > 1.25 else "about"


@dataclass(frozen=True)
class Group:
    """Some images of a split: `kind` is `all`, `class` or `cell`; `cell` as the link has it. `shares` per measure."""

    kind: str
    name: str
    images: int
    shares: dict[str, Share]
    cell: str | None = None


def measured(run: Run, split: str) -> Measured | None:
    """None where the split has no heat maps. Shared: leave it as it is."""
    if split not in layout.SPLITS or pictures.split_heat(run, split) is None:
        return None
    return _measured(str(run.dir), split, pictures.heat_key(run, split), _masks_version(run))


def _masks_version(run: Run) -> tuple[Any, ...]:
    """Changes when masks were found, or the run's samples are others."""
    try:
        kept = (cache_dir() / "masks").stat().st_mtime_ns
    except OSError:
        kept = 0
    return str(cache_dir()), kept, run.version(layout.SAMPLES), run.version(layout.CONFIG)


@lru_cache(maxsize=4)
def _masks(folder_: str, split: str, version: tuple[Any, ...]) -> tuple[Masks, dict[str, int]] | None:  # noqa: ARG001
    found = known_masks(Run(Path(folder_)), split)
    return None if found is None else (found, {str(name): row for row, name in enumerate(found.sample_id)})


@lru_cache(maxsize=8)
def _measured(folder_: str, split: str, heat: str, masks: tuple[Any, ...]) -> Measured | None:  # noqa: ARG001
    maps = pictures.split_heat(Run(Path(folder_)), split)
    if maps is None:
        return None
    known = _masks(folder_, split, masks)
    ids = sorted(maps.rows)
    left_out = max(0, len(ids) - LIMIT)
    if left_out:  # evenly spread: ids are hashes of paths
        ids = ids[:LIMIT]
    rows = np.array([maps.rows[name] for name in ids], dtype=np.intp)
    parts = [
        _part(maps.maps[rows[start : start + PART]], ids[start : start + PART], known)
        for start in range(0, len(rows), PART)
    ]
    sources = None
    if known is not None:
        counted = np.bincount(known[0].source, minlength=len(SOURCES))
        sources = {name: int(n) for name, n in zip(SOURCES, counted, strict=True)}
    lesions = known is not None and known[0].lesions_known
    side = min(maps.maps.shape[-2:])
    return Measured(np.asarray(ids, dtype=np.str_), _joined(parts), sources, lesions, left_out, side)


def _part(maps: NDArray[np.float16], ids: Sequence[str], known: tuple[Masks, dict[str, int]] | None) -> Measures:
    """The measures of some images; an image that the masks don't know has none."""
    if known is None:
        return measure(maps, None, None, GRID)
    found, row_of = known
    rows = np.array([row_of.get(name, -1) for name in ids], dtype=np.intp)
    there = rows >= 0
    lungs, lesions = (np.zeros((len(ids), GRID, GRID), bool) for _ in range(2))
    lungs[there] = found.lungs(rows[there])
    if found.lesions_known:
        lesions[there] = found.lesions(rows[there])
    return measure(maps, lungs, lesions if found.lesions_known else None, GRID)


def _joined(parts: Sequence[Measures]) -> Measures:
    return Measures(
        **{name: np.concatenate([part.of(name) for part in parts]) for name in MEASURES},
        chance={name: np.concatenate([part.chance[name] for part in parts]) for name in MEASURES},
    )


# --- tables


def groups(run: Run, split: str, map_of: MapOf = "predicted", *, found: Results | None = None) -> list[Group]:
    """All images, each class, each cell of the confusion matrix that has images; empty where nothing is measured.

    One label per image: the map of the predicted class, or of the true one; classes are true classes. Several labels:
    the map of the label that a row is about, and the row "all" is left out, for it would mix them.

    Args:
        found: `covidviz.ui.results.results(run)`, where it is known.
    """
    numbers, found = measured(run, split), found or results(run)
    if numbers is None or found is None:
        return []
    frame = found.frame[found.frame["split"] == split]
    at = {name: row for row, name in enumerate(frame["sample_id"].astype(str))}
    here = np.array([at.get(str(name), -1) for name in numbers.sample_id], dtype=np.intp)
    known = np.flatnonzero(here >= 0)
    if not len(known):
        return []
    rows = frame.iloc[here[known]]
    prob, truth = prob_of(rows, found.classes), labels_of(rows, found.classes)
    of = _Rows(numbers.measures, known, _patients(rows))
    if found.task == "single-label":
        return _single(of, prob, truth, found.classes, map_of)
    return _multi(of, predicted(prob, found.task), truth, found.classes)


def _patients(rows: pd.DataFrame) -> NDArray[Any]:
    """Whose image each is; an image of nobody known stands for itself."""
    own = rows["sample_id"].astype(str).to_numpy()
    if "patient_id" not in rows:
        return own
    known = rows["patient_id"].notna() & (rows["patient_id"].astype(str) != "")
    named: NDArray[Any] = np.where(known, "p " + rows["patient_id"].astype(str), own)
    return named


@dataclass(frozen=True)
class _Rows:
    """Images with a prediction: their `rows` in the `measures`, and their patients."""

    measures: Measures
    rows: NDArray[np.intp]
    patients: NDArray[Any]

    def group(self, kind: str, name: str, inside: NDArray[Any], shown: NDArray[Any], cell: str | None = None) -> Group:
        """The images where `inside`; `shown` is the class of the map of each image."""
        rows, classes = self.rows[inside], shown[inside]
        shares = {}
        for what in MEASURES:
            values = self.measures.of(what)[rows, classes]
            mean = mean_of(values, self.patients[inside])
            if mean is None:
                continue
            good = np.isfinite(values)
            chance = float(self.measures.chance[what][rows[good]].mean(dtype=np.float64))
            low, high = (float(value) for value in np.percentile(values[good], [25, 75]))
            shares[what] = Share(mean.value, mean.low, mean.high, chance, mean.n, (low, high))
        return Group(kind, name, len(rows), shares, cell)


def _single(of: _Rows, prob: NDArray[Any], truth: NDArray[Any], classes: Sequence[str], map_of: MapOf) -> list[Group]:
    true, said = truth.argmax(1), prob.argmax(1)
    shown = said if map_of == "predicted" else true
    made = [of.group("all", "all images", np.full(len(true), True), shown)]
    made += [of.group("class", name, true == i, shown) for i, name in enumerate(classes)]
    for i, name in enumerate(classes):
        for j, other in enumerate(classes):
            inside = (true == i) & (said == j)
            if inside.any():
                made.append(of.group("cell", f"{name} → {other}", inside, shown, f"{i}-{j}"))
    return made


def _multi(of: _Rows, decided: NDArray[Any], truth: NDArray[Any], classes: Sequence[str]) -> list[Group]:
    words = {"tp": "yes → yes", "fn": "yes → no", "fp": "no → yes", "tn": "no → no"}
    kinds = {"tp": (1, 1), "fn": (1, 0), "fp": (0, 1), "tn": (0, 0)}
    made = [of.group("class", name, truth[:, k] == 1, np.full(len(truth), k)) for k, name in enumerate(classes)]
    for k, name in enumerate(classes):
        for kind, (true, said) in kinds.items():
            inside = (truth[:, k] == true) & (decided[:, k] == said)
            if inside.any():
                made.append(of.group("cell", f"{name}: {words[kind]}", inside, np.full(len(truth), k), f"{k}-{kind}"))
    return made


def two_runs(a: Run, b: Run, split: str, map_of: MapOf = "predicted") -> list[tuple[Group | None, Group | None]]:
    """Two runs beside each other: the groups of both, matched by kind and name, in the order of A and then B.

    None where one of them has no such group. The samples of the two need not be the same; each `Share` says of how
    many images it is.
    """
    first, second = ({(group.kind, group.name): group for group in groups(run, split, map_of)} for run in (a, b))
    return [(first.get(key), second.get(key)) for key in {**first, **second}]


# --- one image


def look(run: Run, sample_id: str) -> dict[str, Any] | None:
    """What the viewer says about the heat maps of one image, as JSON; None for a sample that the run does not have.

    Returns:
        `grid`; `shares` and `chance` {measure: [C] or number, None where unknown}; None without a heat map; `source`
        of the lung mask, `looked` whether lungs were looked for; `lungs`, `lesion`: masks, 8 points to a byte, base64;
        `methods`: [{`id`, `title`, `help`, `source`, `slow`, `per_class`, `map`: None or {`h`, `w`, `values`: uint8
        [C, h, w] in 0..255 of each map's maximum, base64}}].
    """
    split = pictures.split_of(run, sample_id)
    if split is None:
        return None
    known = _masks(str(run.dir), split, _masks_version(run))
    heat = pictures.split_heat(run, split)
    document: dict[str, Any] = {
        "grid": GRID, "shares": None, "chance": None, "source": "none", "looked": known is not None,
        "lungs": None, "lesion": None, "split": split, "methods": _methods(run, split, sample_id),
    }  # fmt: skip
    if heat is not None and sample_id in heat.rows:
        row = heat.rows[sample_id]
        found = _part(heat.maps[row : row + 1], [sample_id], known)
        document["shares"] = {name: _numbers(found.of(name)[0]) for name in MEASURES}
        document["chance"] = {name: _numbers(found.chance[name])[0] for name in MEASURES}
    if known is not None and sample_id in known[1]:
        masks, at = known[0], known[1][sample_id]
        document["source"] = SOURCES[int(masks.source[at])]
        for name, bits in (("lungs", masks.lung_bits[at]), ("lesion", masks.lesion_bits[at])):
            document[name] = base64.b64encode(bits.tobytes()).decode() if bits.any() else None
    return document


def looked(run: Run, sample_id: str, task: dict[str, Any] | None) -> bytes | None:
    """`look` as bytes, with the background work of this run, if there is some."""
    document = look(run, sample_id)
    return None if document is None else orjson.dumps({**document, "task": task})


def _methods(run: Run, split: str, sample_id: str) -> list[dict[str, Any]]:
    made = []
    for name, row in CAM_METHODS.items():
        if name == "grad-cam":
            continue  # it is the map that is shown anyway
        kept = _kept(str(folder(run)), name, split, _version(run, name, split))
        made.append(
            {
                "id": name, "title": row.title, "help": row.help, "source": row.source, "slow": row.slow,
                "per_class": row.per_class, "map": None if kept is None else kept.get(sample_id),
            }
        )  # fmt: skip
    return made


def _version(run: Run, method: str, split: str) -> tuple[int, int]:
    return Run(folder(run) / method).version(f"{layout.CAMS}/{split}.npz")


@lru_cache(maxsize=16)
def _kept(place: str, method: str, split: str, version: tuple[int, int]) -> dict[str, dict[str, Any]] | None:
    if version == (0, 0):
        return None
    cams = Run(Path(place) / method).cams(split)
    if cams is None:
        return None
    values = np.nan_to_num(cams.maps.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(0, 1)
    bytes_ = (values * 255).round().astype(np.uint8)
    _, _, h, w = bytes_.shape
    return {
        str(name): {"h": h, "w": w, "values": base64.b64encode(bytes_[i].tobytes()).decode()}
        for i, name in enumerate(cams.sample_id)
    }


def _numbers(values: NDArray[np.float32]) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]
