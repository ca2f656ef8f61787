"""The classes of a dataset: how many images each has in each split, as bars, and a strip of examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from covidviz.data.manifest import Manifest
from covidviz.ui import dataset_pictures
from covidviz.ui.components import component

__all__ = ["dataset", "examples", "rows"]

_dataset = component("dataset", '<div class="dataset cv"></div>')

EXAMPLES = 4


def examples(manifest: Manifest, each: int = EXAMPLES) -> dict[str, list[str]]:
    """Sample ids of a few images per class, spread over its training images; the same ones each time."""
    train = (manifest.samples["split"] == "train").to_numpy()
    labels, ids = manifest.labels(), manifest.samples["sample_id"].to_numpy()
    found = {}
    for i, name in enumerate(manifest.classes):
        # An image of this class alone shows it best, where there is one.
        own = train & (labels[:, i] == 1)
        alone = own & (labels.sum(axis=1) == 1)
        at = np.flatnonzero(alone if alone.any() else own)
        found[name] = (
            [str(ids[k]) for k in at[np.unique(np.linspace(0, len(at) - 1, each).astype(int))]] if len(at) else []
        )
    return found


def rows(manifest: Manifest) -> dict[str, Any]:
    """What the browser draws: `splits` that have images, `totals` of each, and per class `name`, `counts`, `ids`."""
    counts, shown = manifest.counts(), examples(manifest)
    return {
        "splits": list(counts),
        "totals": [row["n"] for row in counts.values()],
        "classes": [
            {"name": name, "counts": [row["per_class"][name] for row in counts.values()], "ids": shown[name]}  # type: ignore[index]
            for name in manifest.classes
        ],
    }


def dataset(manifest: Manifest, *, version: object, key: str) -> None:
    """Draw the classes of a dataset that this person may read.

    Args:
        version: of its folder, as `datasets.folder_version`.
    """
    data = rows(manifest)
    wanted = {sample_id for row in data["classes"] for sample_id in row["ids"]}
    chosen = manifest.samples[manifest.samples["sample_id"].isin(wanted)]
    paths = dict(zip(chosen["sample_id"].astype(str), chosen["path"].astype(str), strict=True))
    word = dataset_pictures.offer(manifest.root, paths, version)
    _dataset(key=key, data={**data, "base": f"{dataset_pictures.ADDRESS}{word}/"})
