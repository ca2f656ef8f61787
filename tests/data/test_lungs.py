"""The lung segmenter, against the truth of phantoms and in what it promises of any picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidviz.data.images import read_image
from covidviz.data.lungs import dice, lungs


def test_dice():
    a, b = np.zeros((2, 4, 4), bool)
    assert dice(a, b) == 1
    a[0] = True
    b[0, :2] = True
    assert dice(a, b) == pytest.approx(2 * 2 / (4 + 2))
    assert dice(a, ~a) == 0


def test_lungs_of_phantoms(tiny_phantoms: Path):
    rows = pd.read_csv(tiny_phantoms / "labels.csv").groupby("label").head(8)
    found = [
        dice(
            lungs(np.asarray(read_image(tiny_phantoms / row.path))),
            np.asarray(Image.open(tiny_phantoms / row.lung_mask)) > 0,
        )
        for row in rows.itertuples()
    ]
    assert np.mean(found) > 0.85
    assert min(found) > 0.6


def test_the_answer_hardly_depends_on_size_and_exposure(tiny_phantoms: Path):
    image = read_image(next(iter(sorted((tiny_phantoms / "images").iterdir()))))
    mask = lungs(np.asarray(image))
    assert mask.shape == (256, 256)
    assert mask.dtype == bool
    larger = lungs(np.asarray(image.resize((512, 512), Image.Resampling.BILINEAR)))
    assert dice(larger[::2, ::2], mask) > 0.93
    darker = lungs((255 * (np.asarray(image) / 255) ** 1.8).round().astype(np.uint8))
    assert dice(darker, mask) > 0.93


@pytest.mark.parametrize("pixels", [np.zeros, np.ones])
@pytest.mark.parametrize("side", [16, 300])
def test_any_picture_has_an_answer(pixels, side: int):
    mask = lungs(pixels((side, side), np.uint8) * 255)
    assert mask.shape == (side, side)
    noise = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    assert lungs(noise).shape == (side, side)


@pytest.mark.parametrize("shape", [(8, 8), (64, 32), (3, 64, 64)])
def test_other_shapes_are_named(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="shape"):
        lungs(np.zeros(shape, np.uint8))


def test_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, covidviz.data.lungs; sys.exit(any(m in sys.modules for m in ('torch', 'sklearn', 'streamlit')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
