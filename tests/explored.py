"""A small dataset with pictures that tell themselves apart, and runs on it, for the tests of pages and routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from synthetic import CLASSES, write_synthetic_run

from covidviz.store.reader import Run


def make_dataset(folder: Path, n: int = 72) -> Path:
    """`n` noise images of several shapes, as labels.csv with patients and all three splits."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        name = f"images/x {i:03}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shape = [(90, 60), (60, 90), (300, 200)][i % 3]
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
        split = ("train", "val", "test")[i // 3 % 3]
        rows.append({"path": name, "label": CLASSES[i % 3], "split": split, "patient_id": f"p{i}", "source": "noise"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


def finished_run(runs: Path, data: Path, i: int = 1, **settings: Any) -> Run:
    """A completed run on `data`, with predictions and heat maps."""
    return Run(write_synthetic_run(runs, i, artefacts=True, data=data, **settings))


def with_weights(run: Run) -> Run:
    """`run` with the checkpoint of an untrained network, for what needs one. Imports torch."""
    from covidviz.store import layout
    from covidviz.training import checkpoint
    from covidviz.training.models import build

    config = run.config()
    assert config is not None
    assert config.weights == "none"
    (run.dir / layout.CHECKPOINTS).mkdir(exist_ok=True)
    model = build(config, len(config.classes), pretrained=False)
    stored = checkpoint.stored_state(model, config)
    packed = checkpoint.pack_best(stored, config, epoch=1, value=0.5, start=None)
    checkpoint.save_best(run.dir / layout.BEST, packed)
    return run
