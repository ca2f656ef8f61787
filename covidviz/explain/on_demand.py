"""Heat maps when somebody asks for them: of images that have none (those of the training split, or of a run that
logged no maps), or by another method. Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covidviz.catalog import CAM_METHODS, MODELS
from covidviz.data.images import decode
from covidviz.errors import DataError, InputError, StoreError
from covidviz.explain.cam import log_cams, normalised
from covidviz.explain.explained import explained, place
from covidviz.explain.methods import METHODS
from covidviz.paths import dataset_root
from covidviz.store import layout
from covidviz.store.files import replacing, saving
from covidviz.store.reader import Run
from covidviz.training.batches import to_input
from covidviz.training.inference import load_model

__all__ = ["explain_otherwise", "explain_samples"]

AT_ONCE = 16  # what is finished is kept after this many, so that the first maps show while the rest is made


def explain_samples(
    run_dir: Path, split: str, sample_ids: Sequence[str], on_progress: Callable[[int, int], None] | None = None
) -> int:
    """Make the Grad-CAM maps of these samples with the run's best network, on the CPU, and keep them.

    Args:
        split: the split of all of them.
        sample_ids: those with a map already made on demand are passed over.
        on_progress: called with (images done, all).

    Returns:
        How many maps were made; an image that can't be read gets none.

    Raises:
        InputError: an unknown split, or no such sample in it.
        DataError: none of the images can be read.
        StoreError, WeightsError: as `covidviz.training.inference.load_model`; the cache can't be written.
    """
    if split not in layout.SPLITS:
        raise InputError(f"split: {split!r} given, accepted: {', '.join(layout.SPLITS)}")
    run = Run(run_dir)
    samples = run.samples()
    rows = samples[samples["split"] == split].assign(sample_id=samples["sample_id"].astype(str))
    paths = dict(zip(rows["sample_id"], rows["path"].astype(str), strict=True))
    known = explained(run, split)
    done = frozenset() if known is None else frozenset(map(str, known.sample_id))
    wanted = [name for name in dict.fromkeys(sample_ids) if name not in done]
    if unknown := [name for name in wanted if name not in paths]:
        raise InputError(f"sample: {unknown[0]!r} given, which is not in {split} of {run.id}")
    if not wanted:
        return 0
    model, config = load_model(run_dir)
    root = dataset_root(config.data)
    kept = _Kept(run)
    errors: list[str] = []
    made = 0
    for start in range(0, len(wanted), AT_ONCE):
        ids = wanted[start : start + AT_ONCE]
        images, unreadable = decode(root, [paths[name] for name in ids], config.image_size)
        errors += [error for _, error in unreadable]
        good = np.setdiff1d(np.arange(len(ids)), [row for row, _ in unreadable])
        if len(good):
            log_cams(model, config, split, [ids[row] for row in good], images[good], kept, "cpu")
            made += len(good)
        if on_progress is not None:
            on_progress(start + len(ids), len(wanted))
    if errors and not made:
        raise DataError(errors[0])
    return made


def explain_otherwise(
    run_dir: Path,
    split: str,
    sample_id: str,
    methods: Sequence[str],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> int:
    """Explain one image by other methods, with the run's best network on the CPU, and keep the maps.

    Args:
        methods: of `covidviz.catalog.CAM_METHODS`; those that are there already are passed over.
        on_progress: called with (title of the method that comes next, methods done, all).

    Returns:
        How many maps were made.

    Raises:
        InputError: an unknown method, split or sample.
        DataError: the image can't be read.
        StoreError, WeightsError: as `covidviz.training.inference.load_model`; the cache can't be written.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError(f"method: {unknown[0]!r} given, accepted: {', '.join(METHODS)}")
    run = Run(run_dir)
    samples = run.samples()
    rows = samples[(samples["split"] == split) & (samples["sample_id"].astype(str) == sample_id)]
    if rows.empty:
        raise InputError(f"sample: {sample_id!r} given, which is not in {split} of {run.id}")
    wanted = [name for name in methods if not _has(run, split, sample_id, name)]
    if not wanted:
        return 0
    model, config = load_model(run_dir)
    root = dataset_root(config.data)
    images, unreadable = decode(root, [str(rows["path"].iloc[0])], config.image_size)
    if unreadable:
        raise DataError(unreadable[0][1])
    layer = MODELS[config.model].cam_layer
    for done, name in enumerate(wanted):
        if on_progress is not None:
            on_progress(CAM_METHODS[name].title, done, len(wanted))
        raw = METHODS[name](model, to_input(images, "cpu"), range(len(config.classes)), layer).numpy()
        _Kept(run, name).cams(split, [sample_id], config.classes, *normalised(raw), method=name, layer=layer)
    return len(wanted)


def _has(run: Run, split: str, sample_id: str, method: str) -> bool:
    known = explained(run, split, method)
    return known is not None and sample_id in known.sample_id


class _Kept:
    """A `CamWriter` that adds to what is kept; a reader sees the file before or after, never half of it."""

    def __init__(self, run: Run, method: str = "grad-cam") -> None:
        self.run, self.method = run, method

    def cams(
        self,
        split: str,
        sample_id: Sequence[str],
        classes: Sequence[str],
        maps: NDArray[np.float16],
        scale: NDArray[np.float32],
        method: str,
        layer: str,
    ) -> None:
        """Append the maps [N, C, h, w] in 0..1 and their scale [N, C]."""
        ids = np.asarray(sample_id, dtype=np.str_)
        before = explained(self.run, split, self.method)
        if before is not None and before.maps.shape[1:] == maps.shape[1:]:
            ids = np.concatenate([before.sample_id, ids])
            maps, scale = np.concatenate([before.maps, maps]), np.concatenate([before.scale, scale])
        file = place(self.run, self.method) / layout.CAMS / f"{split}.npz"
        if not self.run.dir.is_dir():
            raise StoreError(f"{self.run.dir} is gone")
        with saving(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary, temporary.open("wb") as out:
            np.savez(
                out, allow_pickle=False, sample_id=ids, classes=np.asarray(classes, dtype=np.str_), maps=maps,
                scale=scale, method=np.array(method), layer=np.array(layer),
            )  # fmt: skip
