"""The parts of the data doctor against oracles: areas, alignment, twins, suspects, odd images, groups."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import fisher_exact
from scipy.stats.contingency import association
from sklearn.metrics import roc_auc_score

from covidviz.data.anatomy import draw
from covidviz.data.doctor.align import correlation, fit, flatten
from covidviz.data.doctor.dataset import Dataset, joined, percent
from covidviz.data.doctor.groups import _cramer, bands, subgroups
from covidviz.data.doctor.guess import area, out_of_fold, sample_rows
from covidviz.data.doctor.labels import _fisher, label_encoding, support
from covidviz.data.doctor.looks import look_at
from covidviz.data.doctor.odd import odd_images
from covidviz.data.doctor.suspects import suspect_scores
from covidviz.data.doctor.twins import near_twins
from covidviz.data.manifest import Manifest

# ---- areas


def test_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.int8)[rng.integers(0, 3, 400)]
    prob = np.round(rng.random((400, 3)) + 0.3 * labels, 1)  # with ties
    found = area(prob, labels, np.arange(400), ("a", "b", "c"))
    assert found is not None
    for k, name in enumerate("abc"):
        assert found.per_class[name][0] == pytest.approx(roc_auc_score(labels[:, k], prob[:, k]))
        assert found.per_class[name][1] < found.per_class[name][0] < found.per_class[name][2]
    assert found.auc == pytest.approx(roc_auc_score(labels, prob, average="macro"))
    assert found.low < found.auc < found.high


def test_the_interval_counts_patients_not_images() -> None:
    rng = np.random.default_rng(1)
    labels = np.eye(2, dtype=np.int8)[rng.integers(0, 2, 60)]
    prob = rng.random((60, 2)) + 0.4 * labels
    once = area(prob, labels, np.arange(60), ("a", "b"))
    often = area(np.repeat(prob, 10, 0), np.repeat(labels, 10, 0), np.repeat(np.arange(60), 10), ("a", "b"))
    assert once is not None
    assert often is not None
    assert (once.auc, once.low, once.high) == pytest.approx((often.auc, often.low, often.high))


def test_area_of_one_class_is_none() -> None:
    assert area(np.ones((5, 1)), np.ones((5, 1), np.int8), np.arange(5), ("a",)) is None
    assert area(np.empty((0, 2)), np.empty((0, 2), np.int8), np.empty(0, np.intp), ("a", "b")) is None


def test_patients_never_lie_on_both_sides_of_a_fold() -> None:
    """What is the same in all images of a patient, and nothing else, can't be used."""
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(60), 5)
    labels = np.eye(2, dtype=np.int8)[np.repeat(rng.integers(0, 2, 60), 5)]
    seen: list[set[int]] = []

    class Model:
        def fit(self, x: np.ndarray, y: np.ndarray) -> Model:
            self.known = set(x[:, 0].astype(int).tolist())
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            seen.append(self.known & set(x[:, 0].astype(int).tolist()))
            return np.full((len(x), 2), 0.5)

    prob = out_of_fold(patients[:, None].astype(float), labels, patients, Model)
    assert prob is not None
    assert np.isfinite(prob).all()
    assert seen == [set()] * 5


def test_too_few_of_a_class_is_none() -> None:
    labels = np.eye(2, dtype=np.int8)[np.r_[np.zeros(50, int), np.ones(3, int)]]
    assert out_of_fold(np.zeros((53, 1)), labels, np.arange(53), object) is None


def test_samples_are_whole_groups() -> None:
    groups = np.repeat(np.arange(100), 4)
    rows = sample_rows(groups, 101)
    assert len(rows) == 100
    assert (np.bincount(groups[rows]) % 4 == 0).all()
    assert len(sample_rows(groups, 400)) == 400


# ---- the same radiograph


def film(seed: int) -> Image.Image:
    return Image.fromarray(draw("covid19", [9, seed], [9, seed, 1], source="hospital-a", view="PA").image)


def test_alignment_finds_the_crop() -> None:
    whole = film(0)
    cropped = whole.resize((256, 256), Image.Resampling.BILINEAR, box=(12, 20, 236, 240))
    both = np.stack([np.asarray(one.resize((64, 64), Image.Resampling.BILINEAR)) for one in (cropped, whole)])
    flat = flatten(both, 4)
    start = np.array([[0.92, 0, 0, 0, 0.92, 0]], np.float32)
    before = correlation(flat[:1], flat[1:], start)[0][0]
    found = fit(flat[:1], flat[1:], start, 20)
    # x of the crop from -1 to 1 is 12 to 236 of 256 pixels.
    expected = [224 / 256, 0, (12 + 236) / 256 - 1, 0, 220 / 256, (20 + 240) / 256 - 1]
    assert found[0] == pytest.approx(expected, abs=0.03)
    after = correlation(flat[:1], flat[1:], found)[0][0]
    assert before < 0.8 < 0.9 < after


@pytest.mark.parametrize("n", [2, 40])
def test_twins_in_other_crops_sizes_contrast_and_mirrored(tmp_path: Path, n: int) -> None:
    films = [film(seed) for seed in range(n)]
    first = films[0]
    versions = {
        "crop": first.resize((256, 256), Image.Resampling.BILINEAR, box=(14, 10, 240, 246)),
        "contrast": Image.fromarray((255 * (np.asarray(first) / 255) ** 1.6 * 0.8 + 20).astype(np.uint8)),
        "small": first.resize((150, 150), Image.Resampling.LANCZOS),
        "mirrored": first.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
    paths = []
    for name, image in [*((f"{i}", one) for i, one in enumerate(films)), *versions.items()]:
        image.save(tmp_path / f"{name}.png")
        paths.append(f"{name}.png")
    looks = look_at(tmp_path, paths, f"test-{n}")
    found = near_twins(looks.thumbs, tmp_path, paths)
    pairs = {(paths[twin.a], paths[twin.b]) for twin in found}
    assert {("0.png", f"{name}.png") for name in versions} <= pairs
    alike = {"0.png", *(f"{name}.png" for name in versions)}
    assert all(set(pair) <= alike for pair in pairs), "no other film is taken for it"
    assert {twin.mirrored for twin in found if paths[twin.b] == "mirrored.png" and twin.a == 0} == {True}


def test_twins_of_nothing() -> None:
    assert near_twins(np.zeros((5, 64, 64), np.uint8), Path(), list("abcde")) == []
    assert near_twins(np.zeros((0, 64, 64), np.uint8), Path(), []) == []


# ---- labels


def test_suspects_are_those_that_were_swapped() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 600)
    prob = 0.1 + 0.7 * np.eye(3)[truth]
    given = truth.copy()
    given[:30] = (truth[:30] + 1) % 3
    doubt = suspect_scores(prob, np.eye(3, dtype=np.int8)[given])
    assert np.flatnonzero(doubt.max(1) >= 0.6).tolist() == list(range(30))
    assert (doubt[:30].argmax(1) == truth[:30]).all()


def test_suspects_among_several_labels() -> None:
    truth = np.random.default_rng(4).integers(0, 2, (300, 2))
    given = truth.copy()
    given[:10, 1] = 1 - given[:10, 1]
    given[0], truth[0] = (1, 1), (1, 0)
    doubt = suspect_scores(0.1 + 0.8 * truth, given.astype(np.int8))
    assert np.flatnonzero(doubt[:, 0]).size == 0
    assert np.flatnonzero(doubt[:, 1]).tolist() == list(range(10))


def test_fisher_and_cramer_are_those_of_scipy() -> None:
    for a, n, b, m in ((12, 12, 0, 4), (5, 5, 2, 9), (3, 3, 3, 3)):
        assert _fisher(a, n, b, m) == pytest.approx(fisher_exact([[a, n - a], [b, m - b]], "greater").pvalue)
    rng = np.random.default_rng(5)
    values, kinds = rng.integers(0, 4, 500), rng.integers(0, 3, 500)
    values[kinds == 2] = 0
    table = pd.crosstab(values, kinds).to_numpy()
    plain = association(table, "cramer")
    assert _cramer(values.astype(str), np.eye(3, dtype=np.int8)[kinds]) == pytest.approx(plain, abs=0.01)


def test_bands() -> None:
    ages = ["047Y", "5", "17.0", "40", "99", "", "old", "300"]
    assert bands(ages) == ["40 to 59", "0 to 17", "0 to 17", "40 to 59", "75 and over", "", "", ""]


def dataset(labels: np.ndarray, thumbs: np.ndarray | None = None, **columns: Any) -> Dataset:
    n, c = labels.shape
    frame = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(n)], "split": columns.pop("split", ["train"] * n), **columns}
    )
    for k in range(c):
        frame[f"label_{'abc'[k]}"] = labels[:, k].astype(np.int8)
    files = pd.DataFrame({"error": [""] * n, "width": [256] * n, "height": [256] * n})
    looks: Any = SimpleNamespace(thumbs=thumbs, files=files, readable=np.ones(n, bool))
    return Dataset(Manifest(Path(), tuple("abc"[:c]), "multi-label", frame), looks)


def test_support_tells_what_a_constant_answer_gets() -> None:
    data = dataset(np.eye(2, dtype=np.int8)[np.r_[np.zeros(70, int), np.ones(30, int)]])
    check = support(data)
    assert check.details["splits"]["train"]["constant"]["accuracy"] == 0.7
    assert check.details["splits"]["train"]["constant"]["macro_f1"] == pytest.approx(0.5 * 2 * 70 / 170, abs=1e-4)
    assert "There is no val split." in check.summary


def test_groups_that_tell_the_class() -> None:
    labels = np.eye(2, dtype=np.int8)[np.arange(100) % 2]
    view = ["AP" if i % 2 else "PA" for i in range(100)]
    check = subgroups(dataset(labels, view=view, sex=["F", "F", "M", "M"] * 25))
    assert check.severity == "warn"
    assert check.details["groups"]["view"]["AP"] == {"n": 50, "per_class": {"a": 0, "b": 50}}
    assert check.details["tied"]["view"] > 0.9 > 0.1 > check.details["tied"]["sex"]
    assert "There is no a with view AP" in check.summary


def test_a_consistent_encoding_is_only_noted() -> None:
    kinds = np.array([[1, 1], [0, 1], [0, 0]], np.int8)
    labels = np.tile(kinds, (20, 1))
    split = ["train"] * 30 + ["val"] * 30
    assert label_encoding(dataset(labels, split=split)).severity == "note"
    labels[:30][labels[:30, 1] == 1] = 1
    check = label_encoding(dataset(labels, split=split))
    assert check.severity == "bad"
    assert "in train every b image is also a, in val 10 of 20" in check.summary
    assert label_encoding(dataset(np.eye(2, dtype=np.int8)[np.arange(60) % 2], split=split)).severity == "ok"


def test_ties_of_groups() -> None:
    assert joined(5, [(0, 1), (1, 4)], np.arange(5)).tolist() in ([0, 0, 1, 2, 0], [2, 2, 0, 1, 2])
    assert len(joined(0, [], np.empty(0, np.intp))) == 0
    assert [percent(x) for x in (0, 0.0004, 0.012, 0.5)] == ["0 %", "< 0.1 %", "1.2 %", "50 %"]


# ---- odd images


def test_odd_images_are_told_by_reason() -> None:
    films = [np.asarray(film(seed).resize((64, 64), Image.Resampling.BILINEAR)) for seed in range(60)]
    films[7] = films[7][::-1]
    films[8] = 255 - films[8]
    films[9] = np.full((64, 64), 40, np.uint8)
    films[10] = (np.random.default_rng(0).random((64, 64)) * 255).astype(np.uint8)
    data = dataset(np.eye(2, dtype=np.int8)[np.arange(60) % 2], np.stack(films))
    data.looks.files.loc[11, "width"] = 900
    check = odd_images(data)
    reasons = {path: row["reason"] for path, row in zip(check.samples, check.details["rows"], strict=True)}
    assert reasons == {
        "7.png": "upside down", "8.png": "inverted", "9.png": "nearly empty", "10.png": "unlike the others",
        "11.png": "strange shape",
    }  # fmt: skip
