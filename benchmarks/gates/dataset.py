"""Synthetic X-rays for the gates: JPEG files in the folders of classes that torchvision's ImageFolder reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("covid19", "normal", "pneumonia")


def write_images(root: Path, train: int, val: int, size: tuple[int, int]) -> Path:
    """Grey JPEGs of `size` (width, height) under root/train and root/val, each a little different."""
    rng = np.random.default_rng(0)
    # As smooth as a radiograph, so that a file has its usual number of bytes.
    drawn = [Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)) for _ in range(8)]
    bases = [np.asarray(one.resize(size, Image.Resampling.BICUBIC), dtype=np.int16) for one in drawn]
    noise = [rng.normal(0, 6, (size[1], size[0])).astype(np.int16) for _ in range(4)]
    for split, n in (("train", train), ("val", val)):
        for row in range(n):
            folder = root / split / CLASSES[row % len(CLASSES)]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = bases[row % 8] + noise[row // 8 % 4] + rng.integers(-20, 20)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{row:05}.jpg", quality=90)
    return root
