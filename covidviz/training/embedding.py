"""The images of a run in two dimensions, from what its network makes of them before its head. Needs torch, sklearn.

The features are reduced to at most 50 principal components and placed by t-SNE (van der Maaten and Hinton 2008;
scikit-learn's Barnes-Hut version) that starts from the first two components, so that far groups keep something of their
order. Their channels keep their own scales: brought to one, the noise of those that hardly ever speak would count as
much as what the network goes by. With the same features and versions the map is the same each time.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from covidviz.data.images import decode
from covidviz.errors import ConfigError, DataError, DeviceError, InputError, StoreError
from covidviz.paths import dataset_root
from covidviz.store import layout, maps
from covidviz.store.reader import Run
from covidviz.training import devices
from covidviz.training.batches import Images, slices, to_input
from covidviz.training.devices import Device, resolve
from covidviz.training.features import cut, features
from covidviz.training.image_cache import content_key
from covidviz.training.inference import load_model
from covidviz.training.models import sequence
from covidviz.training.scoring import evaluation_batch

__all__ = ["FEWEST", "MOST", "make_map", "penultimate", "placed"]

FEWEST, MOST = 5, 10_000  # images on a map
COMPONENTS = 50
PERPLEXITY = 30.0
SHARED = 3000  # images from which on t-SNE uses all cores
ROUNDS = 750  # of t-SNE; scikit-learn's 1,000 change nothing that can be seen

Tell = Callable[[str, int, int], None]


def make_map(run_dir: Path, split: str = "val", tell: Tell | None = None) -> int:
    """Place the images of a split with the run's best network, and keep the map; how many images it has.

    Args:
        tell: called with (what is done, done, all).

    Raises:
        InputError: an unknown split.
        DataError: too few images can be read, or the network tells none of them from another.
        StoreError, WeightsError: as `covidviz.training.inference.load_model`; the cache can't be written.
    """
    if split not in layout.SPLITS:
        raise InputError(f"split: {split!r} given, accepted: {', '.join(layout.SPLITS)}")
    say = tell or (lambda what, done, total: None)  # noqa: ARG005
    run = Run(run_dir)
    ids, found = penultimate(run, split, say)
    of = len(ids)
    if of > MOST:
        chosen = np.sort(np.random.default_rng(0).choice(of, MOST, replace=False))
        ids, found = [ids[k] for k in chosen], found[chosen]
    good = np.asarray(np.isfinite(found).all(axis=1))
    if not good.any():
        raise DataError("the features of this network are not numbers, so there is nothing to place")
    place, method = placed(found[good], lambda done, total: say("placing", done, total))
    maps.write(run, split, [name for name, fine in zip(ids, good.tolist(), strict=True) if fine], place, method, of)
    return int(good.sum())


def penultimate(run: Run, split: str, tell: Tell) -> tuple[list[str], NDArray[np.float32]]:
    """Sample ids, and what goes into the head for each, float32 [N, D]. Features that the run left in the cache are
    used, and images that can't be read any more left out.

    Raises:
        DataError: no image of the split can be read.
        StoreError, WeightsError: as `covidviz.training.inference.load_model`.
    """
    model, config = load_model(run.dir)
    try:
        device = resolve(config)
    except (DeviceError, ConfigError):  # trained on a machine with another device
        device = resolve(config.replace(device="auto", precision="auto"))
    model = model.to(device.device)
    samples = run.samples()
    rows = samples[samples["split"] == split]
    root = dataset_root(config.data)
    ids, paths = rows["sample_id"].astype(str).tolist(), rows["path"].astype(str).tolist()
    if not ids:
        raise DataError(f"this run has no image in {split}")
    steps = sequence(model)
    head = steps[-1][0]
    parts, batch = cut(model), evaluation_batch(config.image_size, device)
    with devices.numerics(device.device):
        if parts is not None and config.cache != "off":
            images = Images(root, paths, config.image_size, decoded=None, device=device.device)
            content = content_key(root, paths, config.image_size)
            # Not kept where they do not fit, or no image may be missing: then from the images, below.
            with contextlib.suppress(StoreError, DataError):
                known, _ = features(parts, images, content, device, "none", batch,
                                    lambda done, n: tell("computing features", done, n),
                                    fast=config.cache == "auto")  # fmt: skip
                out, rows_of = [], slices(len(ids), batch)
                batches = known.batches([np.arange(part.start, part.stop) for part in rows_of])
                for part, x in zip(rows_of, batches, strict=True):
                    out.append(_through(parts.rest[:-1], x, device))
                    tell("computing features", part.stop, len(ids))
                return ids, np.concatenate(out)
        kept, out = [], []
        for part in slices(len(ids), batch):
            pixels, unreadable = decode(root, paths[part], config.image_size)
            good = np.setdiff1d(np.arange(len(pixels)), [row for row, _ in unreadable])
            if len(good):
                x = to_input(pixels[good], device.device)
                out.append(_through([step for step in steps if step[0] != head], x, device))
                kept += [ids[part.start + row] for row in good]
            tell("computing features", part.stop, len(ids))
    if not kept:
        raise DataError(f"none of the {len(ids)} images of {split} can be read any more")
    return kept, np.concatenate(out)


def _through(
    steps: Sequence[tuple[str, Callable[[torch.Tensor], torch.Tensor]]], x: torch.Tensor, device: Device
) -> NDArray[np.float32]:
    with torch.inference_mode(), device.autocast():
        for _, step in steps:
            x = step(x)
    found = x.float()
    if found.ndim == 4:  # SqueezeNet's head pools by itself
        found = found.mean(dim=(2, 3))
    return found.flatten(1).cpu().numpy()


def placed(found: NDArray[np.float32], tell: Callable[[int, int], None]) -> tuple[NDArray[np.float32], str]:
    """Places in 0..1 for features [N, D], float32 [N, 2], and how they were made, in words.

    Args:
        tell: called with (done, all).

    Raises:
        DataError: fewer than `FEWEST` images, or all with the same features.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n = len(found)
    if n < FEWEST:
        raise DataError(f"{n} {'image is' if n == 1 else 'images are'} too few for a map, accepted: {FEWEST} or more")
    values = found.astype(np.float64)
    spread = values.std(axis=0)
    if spread.max() <= 1e-6 * max(1.0, float(np.abs(values).max())):
        raise DataError("this network gives the same features for every image, so there is nothing to place")
    values = (values - values.mean(axis=0)) / spread.max()
    size = min(COMPONENTS, n - 1, values.shape[1])
    reduced = PCA(n_components=size, svd_solver="full" if n * size < 2_000_000 else "randomized", random_state=0)
    main = reduced.fit_transform(values)
    if len(np.unique(main.round(9), axis=0)) < FEWEST or size < 2:  # too few different ones for neighbours to mean much
        return _unit(np.pad(main[:, :2], ((0, 0), (0, max(0, 2 - size))))), "the first two principal components"
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    start = main[:, :2] / max(main[:, 0].std(), 1e-12) * 1e-4
    place = TSNE(perplexity=perplexity, init=start, max_iter=ROUNDS, random_state=0, verbose=2)
    # A few points are too little work to be shared: threads would wait for each other longer than they compute.
    threads = threadpool_limits(limits=1 if n < SHARED else None)
    with threads, contextlib.redirect_stdout(_Rounds(tell)):
        at = place.fit_transform(main)
    tell(ROUNDS, ROUNDS)
    return _unit(at), f"t-SNE (perplexity {perplexity:.0f}) of {size} principal components"


def _unit(at: NDArray[np.floating]) -> NDArray[np.float32]:
    """Into 0..1, each direction by itself; one without any spread into the middle."""
    low, span = at.min(axis=0), at.max(axis=0) - at.min(axis=0)
    return np.where(span > 0, (at - low) / np.where(span > 0, span, 1), 0.5).astype(np.float32)


class _Rounds(io.TextIOBase):
    """scikit-learn says how far t-SNE is on stdout only: `[t-SNE] Iteration 50: error = ...`."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self.progress, self.out = tell, sys.stdout

    def write(self, text: str) -> int:
        if found := re.search(r"Iteration (\d+)", text):
            with contextlib.redirect_stdout(self.out):  # what it prints must not come back here
                self.progress(min(int(found[1]), ROUNDS), ROUNDS)
        return len(text)
