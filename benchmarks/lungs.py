"""How well `covidviz.data.lungs` finds lungs: Dice on phantoms, and a sheet of outlines to judge on real X-rays.

    python -m benchmarks.lungs
    python -m benchmarks.lungs --data FOLDER --sheet sheet.png --seed 7

The phantoms are of another seed than those that the segmenter was tried on. Real X-rays have no masks: look at the
sheet, 40 images drawn at random, and count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from benchmarks.table import machine, markdown
from covidviz.data.images import read_image
from covidviz.data.lungs import dice, lungs
from covidviz.data.manifest import load_manifest
from covidviz.data.phantoms import PhantomOptions, make_phantoms

SIDE, COLUMNS, IMAGES = 240, 8, 40
PHANTOM_SEED = 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a dataset to draw a sheet of, instead of measuring on phantoms")
    parser.add_argument("--sheet", type=Path, default=Path("lungs.png"), help="the picture to write")
    parser.add_argument("--seed", type=int, default=0, help="which images come on the sheet")
    args = parser.parse_args()
    if args.data is None:
        on_phantoms()
    else:
        sheet(args.data, args.sheet, args.seed)


def on_phantoms() -> None:
    """Dice of every phantom, by class, and the processor time."""
    with tempfile.TemporaryDirectory() as folder:
        data = make_phantoms(Path(folder) / "phantoms", PhantomOptions(size="small", seed=PHANTOM_SEED))
        table = pd.read_csv(data / "labels.csv")
        images = [np.asarray(read_image(data / path)) for path in table["path"]]
        truth = [np.asarray(Image.open(data / path)) > 0 for path in table["lung_mask"]]
    lungs(images[0])  # what is computed once
    began = time.process_time()
    found = np.array([dice(lungs(image), mask) for image, mask in zip(images, truth, strict=True)])
    took = 1000 * (time.process_time() - began) / len(found)
    rows = [row(name, found[table["label"] == name]) for name in sorted(set(table["label"]))]
    print(f"{machine()}; phantoms of seed {PHANTOM_SEED}, {took:.0f} ms of processor time per image\n")
    print(markdown(("class", "images", "mean Dice", "5 % are below", "worst"), [*rows, row("all", found)]))


def row(name: str, values: np.ndarray) -> tuple[str, int, str, str, str]:
    low = np.percentile(values, 5)
    return name, len(values), f"{values.mean():.3f}", f"{low:.3f}", f"{values.min():.3f}"


def sheet(data: Path, out: Path, seed: int) -> None:
    """Random images of a dataset with the outline of what was found."""
    manifest = load_manifest(data, strict=False)
    samples = manifest.samples.sample(min(IMAGES, len(manifest.samples)), random_state=seed)
    canvas = Image.new("RGB", (COLUMNS * SIDE, -(-len(samples) // COLUMNS) * SIDE))
    for k, path in enumerate(samples["path"]):
        grey = np.asarray(read_image(manifest.root / path).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        mask = lungs(grey)
        picture = np.stack([grey] * 3, axis=-1)
        picture[ndimage.binary_dilation(mask) ^ mask] = (255, 60, 60)
        canvas.paste(Image.fromarray(picture), (k % COLUMNS * SIDE, k // COLUMNS * SIDE))
    canvas.save(out)
    print(f"{len(samples)} images of {data} in {out}")


if __name__ == "__main__":
    main()
