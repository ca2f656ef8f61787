"""Network input from the cache of decoded images, against decoding JPEGs in each epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torchvision.datasets import ImageFolder

from benchmarks.gates.dataset import write_images
from benchmarks.gates.plain import transform
from benchmarks.gates.row import Row, Settings, in_turn, ratio, seconds
from covidviz.data.images import decode
from covidviz.training.batches import Images, slices, to_input
from covidviz.training.image_cache import decoded

BATCH = 32


def cached(settings: Settings) -> Iterator[Row]:
    """Batches of 32 as network input: from the memory map, and as ImageFolder with the usual transforms."""
    for name, size, n in (("big", (1000, 900), settings.size(64, 256)), ("512", (512, 512), settings.size(96, 512))):
        root = write_images(settings.folder / f"images-{name}", n, 0, size)
        folder = ImageFolder(str(root / "train"), transform(224))
        paths = [os.path.relpath(path, root) for path, _ in folder.samples]
        with patch.dict(os.environ, {"COVIDVIZ_CACHE_DIR": str(settings.folder / "cache")}):
            mapped, _, _ = decoded(root, paths, 224)
        images = Images(root, paths, 224, decoded=mapped)

        def ours(images: Images = images, n: int = n) -> None:
            for batch in images.batches([np.arange(n)[part] for part in slices(n, BATCH)]):
                to_input(batch)

        def plain(folder: ImageFolder = folder, n: int = n) -> None:
            for part in slices(n, BATCH):
                torch.stack([folder[i][0] for i in range(n)[part]])

        ours()
        pairs = [
            (a / n, b / n) for a, b in in_turn([partial(seconds, ours), partial(seconds, plain)], settings.pairs(5))
        ]
        text = f"uint8 input, JPEG of {size[0]} x {size[1]} / ImageFolder and transforms"
        yield ratio(text, pairs, f"input {name}", "time per image")
        fresh, _ = decode(root, paths, 224)
        found = next(images.batches([np.arange(n)])).numpy()
        difference = int(np.abs(found.astype(int) - fresh).max())
        yield Row(f"largest difference from a fresh decode, {name}", difference, gate="input difference")
