"""Phantoms: sizes, truth, determinism, and each defect that can be planted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidviz.data import phantoms
from covidviz.data.anatomy import SIDE, draw
from covidviz.data.images import decode, inspect
from covidviz.data.manifest import load_manifest
from covidviz.data.phantoms import CLASSES, SIZES, PhantomOptions, make_phantoms
from covidviz.errors import DataError


def labels(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are empty files: for tests of what is planted where."""
    monkeypatch.setattr(phantoms, "_write", lambda shot, seed, folder: (folder / "images" / shot.name).touch())


# ---- the dataset


def test_tiny(tiny_phantoms: Path) -> None:
    manifest = load_manifest(tiny_phantoms)
    assert manifest.classes == ("covid19", "normal", "pneumonia")
    counts = manifest.counts()
    assert {split: part["n"] for split, part in counts.items()} == {"train": 36, "val": 12, "test": 12}
    assert counts["val"]["per_class"] == {"covid19": 4, "normal": 4, "pneumonia": 4}
    assert inspect(tiny_phantoms)["unreadable"] == []
    assert not list(tiny_phantoms.parent.glob(".*")), "nothing half made is left behind"


@pytest.mark.usefixtures("planned")
def test_sizes(tmp_path: Path) -> None:
    full = labels(make_phantoms(tmp_path / "full", PhantomOptions(size="full")))
    count = full.groupby(["split", "label"]).size().to_dict()
    assert count == {
        ("train", "covid19"): 200, ("train", "normal"): 4000, ("train", "pneumonia"): 2000,
        ("val", "covid19"): 28, ("val", "normal"): 400, ("val", "pneumonia"): 200,
    }  # fmt: skip
    small = labels(make_phantoms(tmp_path / "small", PhantomOptions(size="small")))
    assert small["split"].value_counts().to_dict() == {"train": 628, "val": 628}
    assert sum(sum(part.values()) for part in SIZES["tiny"].values()) == 60


@pytest.mark.usefixtures("planned")
def test_nothing_gives_the_class_away(tmp_path: Path) -> None:
    """Source, view and patient number say nothing about the class; patients stay in one split."""
    table = labels(make_phantoms(tmp_path / "small", PhantomOptions(size="small", seed=3)))
    assert table.groupby("patient_id")["split"].nunique().max() == 1
    assert table.groupby("patient_id")["source"].nunique().max() == 1
    assert table.groupby("patient_id").size().max() > 1, "some patients have several images"
    for column in ("source", "view"):
        share = pd.crosstab(table["label"], table[column], normalize="index")
        assert (share.max() - share.min()).max() < 0.15, column
    number = table["patient_id"].str.slice(1).astype(int)
    means = number.groupby(table["label"]).mean()
    assert means.max() - means.min() < 0.2 * number.max()
    assert not table["path"].str.contains("|".join(CLASSES)).any()


def test_masks_tell_the_truth(tiny_phantoms: Path) -> None:
    bright_lungs = []
    for row in labels(tiny_phantoms).itertuples():
        image, lungs, lesion = (grey(tiny_phantoms / path) for path in (row.path, row.lung_mask, row.lesion_mask))
        assert image.shape == lungs.shape == lesion.shape == (SIDE, SIDE)
        assert set(np.unique(lungs)) == {0, 255}
        inside, sick = lungs > 0, lesion > 0
        assert 0.12 < inside.mean() < 0.6, "lungs fill a good part of the picture"
        assert not (sick & ~inside).any(), "lesions lie in the lungs"
        middle = np.flatnonzero(inside.any(axis=0)).mean()
        halves = [sick[:, : int(middle)].sum(), sick[:, int(middle) :].sum()]
        if row.label == "normal":
            assert not sick.any()
        elif row.label == "covid19":
            assert min(halves) > 0, "both sides"
            rows = np.flatnonzero(inside.any(axis=1))
            assert np.nonzero(sick)[0].mean() > rows[0] + 0.45 * (rows[-1] - rows[0]), "low in the lungs"
        else:
            assert min(halves) == 0, "one side"
        if row.label != "normal":
            assert 0.01 < sick.sum() / inside.sum() < 0.6
            bright_lungs.append(image[sick].mean() - image[inside & ~sick].mean())
    assert np.mean(bright_lungs) > 8, "a lesion is denser than the lung around it"


def test_it_looks_like_a_chest() -> None:
    """Lungs dark, mediastinum and belly bright, in nearly every picture."""
    right = []
    for i in range(12):
        picture = draw("normal", [5, i], [5, i, 1], source="hospital-a", view="PA")
        inside = picture.lungs > 0
        columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
        centre = slice(int(columns.mean()) - 6, int(columns.mean()) + 6)
        middle = picture.image[int(rows.mean()) : rows[-1], centre].mean()
        belly = picture.image[min(rows[-1] + 8, SIDE - 6) :, centre].mean()
        lung = picture.image[inside].mean()
        right.append(lung + 30 < middle and lung + 50 < belly)
    assert np.mean(right) > 0.9


def test_two_sources_and_views_differ() -> None:
    def draws(source: str, view: str) -> np.ndarray:
        return np.stack([draw("normal", [1, i], [1, i, 1], source=source, view=view).image for i in range(8)])

    a, b = draws("hospital-a", "PA"), draws("hospital-b", "PA")
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, draws("hospital-a", "AP"))


def test_images_of_one_patient_are_alike_but_not_the_same() -> None:
    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs(one.astype(float) - other).mean())

    pictures = [
        [draw("normal", [9, p], [9, p, s], source="hospital-a", view="PA").image for s in (1, 2)] for p in range(8)
    ]
    own = np.mean([apart(a, b) for a, b in pictures])
    others = np.mean([apart(pictures[p][0], pictures[p - 1][0]) for p in range(8)])
    assert 1 < own < others


# ---- determinism, and the folder


def test_the_same_seed_gives_the_same_bytes(
    tmp_path: Path, tiny_phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phantoms.os, "cpu_count", lambda: 1)
    again = make_phantoms(tmp_path / "again", PhantomOptions(size="tiny", seed=0))
    assert contents(again) == contents(tiny_phantoms)


@pytest.mark.usefixtures("planned")
def test_another_seed_gives_another_dataset(tmp_path: Path, tiny_phantoms: Path) -> None:
    other = make_phantoms(tmp_path / "other", PhantomOptions(size="tiny", seed=1))
    assert (other / "labels.csv").read_text() != (tiny_phantoms / "labels.csv").read_text()
    one, two = (draw("covid19", [s, 10, 1], [s, 10, 1, 1], source="hospital-a", view="PA") for s in (0, 1))
    assert not np.array_equal(one.image, two.image)


def test_the_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    def stop(done: int, n: int) -> None:
        assert n == 60
        assert not (tmp_path / "out").exists()
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantoms(tmp_path / "out", PhantomOptions(size="tiny"), on_progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("planned")
def test_existing_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert make_phantoms(tmp_path / "empty", PhantomOptions(size="tiny")) == tmp_path / "empty"
    assert (tmp_path / "empty" / "labels.csv").is_file()
    with pytest.raises(DataError, match="exists and is not an empty folder, accepted: a new folder"):
        make_phantoms(tmp_path / "empty", PhantomOptions(size="tiny"))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not an empty folder"):
        make_phantoms(tmp_path / "file", PhantomOptions(size="tiny"))
    with pytest.raises(DataError, match="can't be written"):
        make_phantoms(tmp_path / "file" / "below", PhantomOptions(size="tiny"))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(phantoms, "_write", full)
    with pytest.raises(DataError, match=r"out can't be written: No space left on device"):
        make_phantoms(tmp_path / "out", PhantomOptions(size="tiny"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": "huge"}, "size 'huge' given, accepted: tiny, small, full"),
        ({"seed": -1}, "seed -1 given, accepted: 0 or more"),
        ({"size": "tiny", "duplicates": 5}, "duplicates 5 given, accepted for size tiny: 0 to 4"),
        ({"shared_patients": -1}, "shared_patients -1 given, accepted"),
        ({"marker_class": "lung"}, "marker_class 'lung' given, accepted: covid19, normal, pneumonia"),
        ({"label_noise": 0.6}, "label_noise 0.6 given, accepted: 0 to 0.5"),
        ({"encoding": "both"}, "encoding 'both' given, accepted: implied, train-only"),
    ],
)
def test_options_out_of_range(options: dict[str, object], match: str) -> None:
    with pytest.raises(DataError, match=match):
        PhantomOptions(**options)  # type: ignore[arg-type]


# ---- planted defects


def planted(table: pd.DataFrame, what: str) -> pd.DataFrame:
    return table[table["planted"].str.contains(what)]


def test_duplicates(tmp_path: Path) -> None:
    folder = make_phantoms(tmp_path / "d", PhantomOptions(size="tiny", seed=4, duplicates=4))
    table = labels(folder)
    copies = planted(table, "duplicate of")
    assert (copies["split"] == "val").all()
    assert len(copies) == 4
    kind = table.set_index("path")["label"]
    for row in copies.itertuples():
        how, original = row.planted.split(" of ")
        assert table.loc[table["path"] == original, "split"].item() == "train"
        assert kind[original] == row.label
        copy, first = (folder / row.path).read_bytes(), (folder / original).read_bytes()
        assert (copy == first) == (how == "duplicate")
        small = decode(folder, [row.path, original], 24)[0].astype(float).reshape(2, -1)
        assert np.corrcoef(small)[0, 1] > 0.9
    assert sorted(copies["planted"].str.split(" of ").str[0]) == ["duplicate"] * 2 + ["near-duplicate"] * 2


@pytest.mark.usefixtures("planned")
def test_shared_patients(tmp_path: Path) -> None:
    table = labels(make_phantoms(tmp_path / "d", PhantomOptions(size="small", shared_patients=30)))
    splits = table.groupby("patient_id")["split"].nunique()
    assert (splits > 1).sum() == 30
    both = table[table["patient_id"].isin(splits.index[splits > 1])]
    assert both.groupby("patient_id")["label"].nunique().max() == 1
    assert both.groupby("patient_id")["source"].nunique().max() == 1
    assert len(planted(table, "patient of train")) == (both["split"] == "val").sum()
    assert table["path"].is_unique


def test_marker(tmp_path: Path, tiny_phantoms: Path) -> None:
    folder = make_phantoms(tmp_path / "d", PhantomOptions(size="tiny", seed=0, marker_class="COVID-19"))
    for row in labels(folder).itertuples():
        changed = grey(folder / row.path) != grey(tiny_phantoms / row.path)
        assert changed.any() == (row.label == "covid19") == (row.planted == "marker")
        assert not changed[30:].any()
        assert not changed[:, 110:].any(), "only the upper left corner"


@pytest.mark.usefixtures("planned")
def test_label_noise(tmp_path: Path) -> None:
    clean = labels(make_phantoms(tmp_path / "c", PhantomOptions(size="small")))
    noisy = labels(make_phantoms(tmp_path / "n", PhantomOptions(size="small", label_noise=0.1)))
    assert (clean["path"] == noisy["path"]).all()
    wrong = clean["label"] != noisy["label"]
    assert wrong.sum() == round(0.1 * 1256)
    assert (noisy["planted"][wrong] == "label noise, truly " + clean["label"][wrong]).all()
    assert (noisy["planted"][~wrong] == "").all()
    assert "planted" not in clean


@pytest.mark.usefixtures("planned")
def test_label_encodings_of_the_course(tmp_path: Path) -> None:
    implied = labels(make_phantoms(tmp_path / "i", PhantomOptions(size="small", encoding="implied")))
    assert set(implied["label"]) == {"covid19|pneumonia", "normal", "pneumonia"}
    train_only = labels(make_phantoms(tmp_path / "t", PhantomOptions(size="small", encoding="train-only")))
    by_split = train_only.groupby("split")["label"].agg(set).to_dict()
    assert by_split == {"train": {"covid19", "normal", "covid19|pneumonia"}, "val": {"covid19", "normal", "pneumonia"}}


@pytest.mark.usefixtures("planned")
def test_encodings_are_read_as_multi_label(tmp_path: Path) -> None:
    folder = make_phantoms(tmp_path / "d", PhantomOptions(size="tiny", encoding="train-only"))
    manifest = load_manifest(folder, task="multi-label")
    assert {split: part["per_class"] for split, part in manifest.counts().items()} == {
        "train": {"covid19": 24, "normal": 12, "pneumonia": 12},
        "val": {"covid19": 4, "normal": 4, "pneumonia": 4},
        "test": {"covid19": 4, "normal": 4, "pneumonia": 4},
    }
    with pytest.raises(DataError, match="--task multi-label"):
        load_manifest(folder)


@pytest.mark.usefixtures("planned")
def test_defects_do_not_touch_each_other(tmp_path: Path) -> None:
    everything = PhantomOptions(
        size="small", duplicates=20, shared_patients=20, marker_class="normal", label_noise=0.05, encoding="implied"
    )
    table = labels(make_phantoms(tmp_path / "all", everything))
    assert len(table) == 1256
    assert table["path"].is_unique
    assert len(planted(table, "duplicate of")) == 20
    assert len(planted(table, "label noise")) == 63
    assert len(planted(table, "marker")) == 480
    assert not (planted(table, "patient of train").index.intersection(planted(table, "duplicate of").index)).size
