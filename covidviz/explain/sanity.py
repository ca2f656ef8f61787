"""Sanity check for heat maps: cascading randomisation (Adebayo et al. 2018, arXiv:1810.03292). Needs torch.

Layer after layer, from the head down, gets new random weights, and the maps are compared with those of the trained
network. Maps that stay as they are show the image or the architecture, not what was learned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.data.images import decode
from covidviz.errors import DataError, StoreError
from covidviz.explain.cam import grad_cam
from covidviz.explain.dependence import Dependence, Step, write
from covidviz.paths import dataset_root
from covidviz.store.reader import Run
from covidviz.training.batches import to_input
from covidviz.training.inference import load_model

__all__ = ["IMAGES", "cascade", "check_run", "rank_correlation"]

IMAGES = 24
SEED = 0

Tell = Callable[[int, int], None]


def check_run(run_dir: Path, on_progress: Tell | None = None) -> Dependence:
    """Check the heat maps of a run's best epoch on a few validation images, and keep the answer with the run.

    Args:
        on_progress: called with (networks done, all).

    Raises:
        DataError: the run has no validation image that can be read, or no map of them shows anything.
        StoreError, WeightsError: as `covidviz.training.inference.load_model`; the run directory can't be written.
    """
    run = Run(run_dir)
    epoch, _ = run.best()
    if epoch is None:
        raise StoreError(f"run {run.id} has no best epoch yet")
    model, config = load_model(run_dir)
    x = to_input(_images(run, config.image_size, config.classes), "cpu", torch.float32)
    row = MODELS[config.model]
    parts = [(row.head, (row.head,)), *reversed(row.layers)]
    steps, kept = cascade(model, x, row.cam_layer, parts, SEED, on_progress)
    found = Dependence("grad-cam", row.cam_layer, epoch, kept, SEED, steps)
    write(run, found)
    return found


def _images(run: Run, size: int, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Some validation images, as many of each class as there are, in a fixed random order."""
    config, samples = run.config(), run.samples()
    assert config is not None
    rows = samples[samples["split"] == "val"].sample(frac=1, random_state=SEED)
    per_class = max(1, IMAGES // len(classes))
    columns = [f"label_{name}" for name in classes if f"label_{name}" in rows]
    chosen = [path for name in columns for path in rows.loc[rows[name] == 1, "path"].astype(str).head(per_class)]
    chosen = list(dict.fromkeys(chosen or rows["path"].astype(str).head(IMAGES)))[:IMAGES]
    images, unreadable = decode(dataset_root(config.data), chosen, size)
    good = np.setdiff1d(np.arange(len(chosen)), [row for row, _ in unreadable])
    if not len(good):
        raise DataError(unreadable[0][1] if unreadable else f"run {run.id} has no validation images")
    found: NDArray[np.uint8] = images[good]
    return found


def cascade(
    model: nn.Module,
    x: Tensor,
    layer: str,
    parts: Sequence[tuple[str, Sequence[str]]],
    seed: int,
    on_progress: Tell | None = None,
) -> tuple[tuple[Step, ...], int]:
    """Randomise part after part, and compare the Grad-CAM of each image's predicted class.

    Args:
        model: left as it is; a copy is randomised.
        x: [B, 3, H, W].
        layer: the target layer.
        parts: (name, modules) from the head down.

    Returns:
        One step per part, and how many images count: those whose map of the trained network shows anything.

    Raises:
        DataError: none does.
    """
    with torch.inference_mode():
        said = torch.cat([model(part) for part in x.split(8)]).argmax(1)
    classes, mine = said.unique(return_inverse=True)

    def maps(net: nn.Module) -> NDArray[np.float32]:
        raw = grad_cam(net, x, classes.tolist(), layer)
        chosen: NDArray[np.float32] = raw[torch.arange(len(x)), mine].flatten(1).numpy()
        return chosen

    before = maps(model)
    counts = np.flatnonzero(np.ptp(before, axis=1) > 0)
    if not len(counts):
        raise DataError("no heat map of the validation images shows anything, so there is nothing to compare")
    net = copy.deepcopy(model)
    steps = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for done, (name, modules) in enumerate(parts, start=1):
            for module in modules:
                _randomise(net.get_submodule(module))
            found = rank_correlation(before[counts], maps(net)[counts])
            low, middle, high = (round(float(value), 4) for value in np.percentile(found, [25, 50, 75]))
            steps.append(Step(name, middle, low, high))
            if on_progress is not None:
                on_progress(done, len(parts))
    return tuple(steps), len(counts)


def _randomise(module: nn.Module) -> None:
    """New weights as before any training; BatchNorm forgets its statistics too."""
    for part in module.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()


def rank_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spearman's rank correlation of each row of two arrays [N, P], ties at their mean rank; 0 where one is constant.

    What is not a number counts as 0 heat.
    """
    ranks = [rankdata(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), axis=1) for values in (a, b)]
    a0, b0 = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    size = np.sqrt((a0**2).sum(1) * (b0**2).sum(1))
    rho: NDArray[np.float64] = np.where(size > 0, (a0 * b0).sum(1) / np.where(size > 0, size, 1), 0.0)
    return rho
