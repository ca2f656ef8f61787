"""Masks of lungs and lesions: where they come from, what is kept, and what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from explored import finished_run
from PIL import Image

from covidviz.data.lungs import dice
from covidviz.errors import DataError, InputError
from covidviz.explain import masks
from covidviz.explain.masks import GRID, SOURCES, find_masks, known_masks
from covidviz.store import cache
from covidviz.store.reader import Run


@pytest.fixture
def data(tmp_path: Path, tiny_phantoms: Path) -> Path:
    return shutil.copytree(tiny_phantoms, tmp_path / "data" / "phantoms")


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return finished_run(runs, data)


def without_masks(data: Path) -> None:
    table = pd.read_csv(data / "labels.csv").drop(columns=["lung_mask", "lesion_mask"])
    table.to_csv(data / "labels.csv", index=False)


def test_masks_of_the_dataset_count_most(run: Run, data: Path):
    assert known_masks(run, "val") is None
    seen = []
    assert find_masks(run, "val", lambda done, n: seen.append((done, n))) == 12
    assert seen == [(12, 12)]
    found = known_masks(run, "val")
    assert found is not None
    assert found.lesions_known
    assert set(found.source) == {SOURCES.index("dataset")}
    samples = run.samples().set_index("sample_id")
    lungs, lesions = found.lungs(np.arange(12)), found.lesions(np.arange(12))
    assert lungs.shape == lesions.shape == (12, GRID, GRID)
    for row, name in enumerate(found.sample_id):
        true = np.asarray(Image.open(data / samples.loc[name, "lung_mask"])) > 0
        assert abs(lungs[row].mean() - true.mean()) < 0.01
        assert lesions[row].any() == (samples.loc[name, "label_normal"] == 0)
        assert not (lesions[row] & ~lungs[row]).sum() > 30


def test_the_same_images_are_looked_at_once_whatever_the_run(run: Run, runs: Path, data: Path):
    find_masks(run, "val")
    other = finished_run(runs, data, 7)
    assert known_masks(other, "val") is not None
    assert find_masks(other, "val", lambda *_: pytest.fail("found again")) == 12
    assert known_masks(other, "test") is None
    assert [entry.kind for entry in cache.entries("masks")] == ["masks"]
    image = next(iter((data / "images").glob("*.png")))
    for file in data.glob("images/*.png"):
        os.utime(file, ns=(1, 1))
    assert known_masks(run, "val") is None, image
    cache.clear("masks")
    assert not cache.entries("masks")


def test_lungs_are_found_where_the_dataset_has_no_masks(runs: Path, data: Path):
    truth = finished_run(runs, data, 3)
    find_masks(truth, "val")
    known = known_masks(truth, "val")
    without_masks(data)
    run = finished_run(runs, data, 4)
    assert find_masks(run, "val") == 12
    found = known_masks(run, "val")
    assert found is not None
    assert known is not None
    assert not found.lesions_known
    assert not found.lesion_bits.any()
    assert set(found.source) == {SOURCES.index("classical")}
    assert (
        np.mean([dice(a, b) for a, b in zip(found.lungs(np.arange(12)), known.lungs(np.arange(12)), strict=True)]) > 0.8
    )


def test_a_segmenter_that_is_installed_is_used(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch):
    without_masks(data)
    run = finished_run(runs, data)
    find_masks(run, "val")
    monkeypatch.setattr(masks.pspnet, "name", lambda: "pspnet")
    monkeypatch.setattr(masks.pspnet, "segment", lambda images: [np.ones((512, 512), bool)] * len(images))
    assert known_masks(run, "val") is None, "what the classical rule found is another thing"
    find_masks(run, "val")
    found = known_masks(run, "val")
    assert found is not None
    assert set(found.source) == {SOURCES.index("pspnet")}
    assert found.lungs(np.arange(12)).all()


def test_deleted_images_and_masks_have_none(run: Run, data: Path):
    samples = run.samples()
    val = samples[samples["split"] == "val"].reset_index(drop=True)
    (data / val["lung_mask"][0]).unlink()  # the lungs are looked for instead
    (data / val["lung_mask"][1]).unlink()
    (data / val["path"][1]).unlink()
    (data / val["lesion_mask"][2]).write_bytes(b"no image")
    assert find_masks(run, "val") == 11
    found = known_masks(run, "val")
    assert found is not None
    assert [SOURCES[k] for k in found.source[:3]] == ["classical", "none", "dataset"]
    assert not found.lungs(np.array([1])).any()
    assert not found.lesions(np.array([2])).any()


def test_a_mask_outside_the_dataset_is_not_read(run: Run, data: Path, tmp_path: Path):
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "data" / "secret.png")
    assert masks._read_mask(data.resolve(), "../secret.png") is None


def test_what_cant_be_done_is_named(run: Run, data: Path):
    with pytest.raises(InputError, match="'x' given"):
        find_masks(run, "x")
    for folder in ("images", "masks"):
        shutil.rmtree(data / folder)
    with pytest.raises(DataError, match="none of the 12 images of val can be read"):
        find_masks(run, "val")
    assert known_masks(run, "val") is None


def test_a_damaged_entry_is_not_trusted(run: Run):
    find_masks(run, "val")
    (entry,) = cache.entries("masks")
    (entry.path / "masks.npz").write_bytes(b"PK")
    assert known_masks(run, "val") is None
    assert find_masks(run, "val") == 12


def test_needs_no_torch():
    code = "import sys, covidviz.explain.masks, covidviz.explain.measures, covidviz.explain.dependence;"
    code += "sys.exit(any(m in sys.modules for m in ('torch', 'sklearn', 'streamlit')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
