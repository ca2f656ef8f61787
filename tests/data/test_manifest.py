"""The data contract: labels.csv, split folders, class folders, splits that are drawn, label rules."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from covidviz.data.manifest import Manifest, load_manifest, normalise_class
from covidviz.data.splits import draw_splits
from covidviz.errors import DataError


def put(root: Path, *paths: str) -> Path:
    """Files where images should be; the manifest never opens them."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def table(root: Path, text: str, *, files: bool = True) -> Path:
    """A labels.csv, and the files it lists."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.csv").write_text(text, encoding="utf-8")
    if files:
        put(root, *(row["path"] for row in csv.DictReader(io.StringIO(text)) if row.get("path")))
    return root


def by_path(manifest: Manifest, column: str) -> dict[str, object]:
    return dict(zip(manifest.samples["path"], manifest.samples[column], strict=True))


def rows(n: int, line: Callable[[int], str]) -> str:
    return "".join(line(i) + "\n" for i in range(n))


SPLIT_CSV = "path,label,split\na.png,normal,train\nb.png,covid19,train\nc.png,normal,val\nd.png,covid19,val\n"


# ---- labels.csv


def test_labels_csv(tmp_path: Path) -> None:
    text = (
        "path,label,split,patient_id,source,view,age\n"
        "one/a.png,COVID-19,Training,007,x,PA,61\n"
        "one/b.png,normal,train,008,x,,\n"
        "two/c.png,covid,valid,009,y,AP,40\n"
        "two/d.png,Normal,VALIDATION,010,,AP,33\n"
        "two/e.png,normal,Test,011,y,AP,12\n"
    )
    manifest = load_manifest(table(tmp_path, text))
    samples = manifest.samples
    assert manifest.classes == ("covid19", "normal")
    assert manifest.root == tmp_path.resolve()
    assert samples["path"].tolist() == ["one/a.png", "one/b.png", "two/c.png", "two/d.png", "two/e.png"]
    assert samples["split"].tolist() == ["train", "train", "val", "val", "test"]
    assert samples["label_covid19"].tolist() == [1, 0, 1, 0, 0]
    assert samples["label_normal"].dtype == np.int8
    assert samples["patient_id"].tolist() == ["007", "008", "009", "010", "011"], "ids stay text"
    assert samples["source"].isna().tolist() == [False, False, False, True, False]
    assert samples["age"].tolist()[2] == "40", "other columns are kept"
    assert samples["sample_id"].is_unique
    assert manifest.counts()["val"] == {"n": 2, "per_class": {"covid19": 1, "normal": 1}}
    assert "Label 'COVID-19' is read as class covid19." in manifest.notes


def test_csv_by_path_is_relative_to_its_folder(tmp_path: Path) -> None:
    table(tmp_path, SPLIT_CSV)
    (tmp_path / "labels.csv").rename(tmp_path / "other.csv")
    manifest = load_manifest(tmp_path / "other.csv")
    assert manifest.root == tmp_path.resolve()
    assert len(manifest.samples) == 4


def test_sample_ids_depend_on_the_path_alone(tmp_path: Path) -> None:
    first = load_manifest(table(tmp_path / "x", SPLIT_CSV))
    lines = SPLIT_CSV.splitlines(keepends=True)
    second = load_manifest(table(tmp_path / "y", lines[0] + "".join(reversed(lines[1:]))))
    assert by_path(first, "sample_id") == by_path(second, "sample_id")


def test_class_columns(tmp_path: Path) -> None:
    text = (
        "path,split,covid-19,pneumonia,normal,age\n"
        "a.png,train,1,1,0,3\nb.png,train,0,0,1,4\nc.png,val,1,1,0,5\nd.png,val,0,0.0,1.0,1\n"
    )
    manifest = load_manifest(table(tmp_path, text), task="multi-label")
    assert manifest.classes == ("covid19", "normal", "pneumonia")
    assert manifest.labels().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert "age" in manifest.samples


def test_class_columns_named_by_classes_leave_other_bits_alone(tmp_path: Path) -> None:
    text = "path,split,sick,portable,well\na,train,1,1,0\nb,train,0,0,1\nc,val,1,0,0\nd,val,0,1,1\n"
    manifest = load_manifest(table(tmp_path, text), classes=("well", "sick"))
    assert manifest.classes == ("well", "sick")
    assert manifest.samples["portable"].tolist() == ["1", "0", "0", "1"]


def test_joined_labels(tmp_path: Path) -> None:
    text = "path,label,split\na,covid19|pneumonia,train\nb,normal,train\nc,pneumonia | covid-19,val\nd,normal,val\n"
    manifest = load_manifest(table(tmp_path, text), task="multi-label")
    assert manifest.labels().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_classes_keep_their_order_and_others_are_left_out(tmp_path: Path) -> None:
    text = SPLIT_CSV + "e.png,pneumonia,train\nf.png,pneumonia,val\n"
    manifest = load_manifest(table(tmp_path, text), classes=("Normal", "COVID"))
    assert manifest.classes == ("normal", "covid19")
    assert len(manifest.samples) == 4
    assert "2 images of other classes (pneumonia) left out." in manifest.notes


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    manifest = load_manifest(table(tmp_path, SPLIT_CSV + "e.png,,test\n"))
    assert manifest.unlabelled == ("e.png",)
    assert len(manifest.samples) == 4


def test_byte_order_mark_blank_lines_quotes_and_backslashes(tmp_path: Path) -> None:
    put(tmp_path, "in/a, b.png", "in/c.png", "d.png", "e.png")
    text = 'path,label,split\n"in/a, b.png",normal,train\n\nin\\c.png,covid19,train\n./d.png,normal,val\n'
    text += "e.png,covid19,val\n"
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_manifest(tmp_path).samples["path"].tolist() == ["in/a, b.png", "in/c.png", "d.png", "e.png"]


def test_split_column(tmp_path: Path) -> None:
    text = "path,label,split,naive\na,x,train,val\nb,y,train,val\nc,x,val,train\nd,y,val,train\n"
    manifest = load_manifest(table(tmp_path, text), split_column="naive")
    assert manifest.samples["split"].tolist() == ["val", "val", "train", "train"]
    assert load_manifest(tmp_path).samples["naive"].tolist() == ["val", "val", "train", "train"]


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    n = draw(st.integers(4, 12))
    parts = st.text(alphabet="abc XYZ-_,'\"äß漢é0123", min_size=1, max_size=8).filter(lambda s: s == s.strip())
    paths = draw(st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), min_size=n, max_size=n, unique=True))
    folders = {path.rsplit("/", k)[0] for path in paths for k in range(1, path.count("/") + 1)}
    paths = [path for path in paths if path not in folders]
    text = st.text(alphabet="abc ,\"'\näé0123;", max_size=6).map(str.strip)
    return [
        {
            "path": path,
            "label": ("covid19", "normal")[i % 2],
            "split": ("train", "val", "test")[i // 2 % 3],
            "patient_id": draw(text),
            "remark": draw(text),
        }
        for i, path in enumerate(paths)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables())
def test_labels_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> None:
    """Whatever a CSV writer wrote comes back, cell for cell."""
    root = tmp_path_factory.mktemp("table")
    put(root, *(row["path"] for row in rows))
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["path", "label", "split", "patient_id", "remark"])
        writer.writeheader()
        writer.writerows(rows)
    samples = load_manifest(root, strict=False).samples
    assert samples["path"].tolist() == [row["path"] for row in rows]
    assert samples["split"].tolist() == [row["split"] for row in rows]
    for column in ("patient_id", "remark"):
        known = [row[column] for row in rows]
        if any(known):
            assert samples[column].fillna("").tolist() == known
        else:
            assert column not in samples


@given(st.text(max_size=30))
def test_normalised_names_are_stable(name: str) -> None:
    once = normalise_class(name)
    assert normalise_class(once) == once
    assert normalise_class(name.upper().lower()) == normalise_class(name.lower())


@pytest.mark.parametrize("name", ["covid", "COVID", "Covid-19", "covid_19", "COVID 19", "covid19"])
def test_spellings_of_covid19(name: str) -> None:
    assert normalise_class(name) == "covid19"


def test_many_rows_are_read_quickly(tmp_path: Path) -> None:
    n = 20_000
    (tmp_path / "i").mkdir()
    for i in range(n):
        (tmp_path / "i" / f"{i}.png").touch()
    text = "path,label,patient_id\n" + rows(n, lambda i: f"i/{i}.png,{('normal', 'covid19')[i % 2]},p{i // 3}")
    table(tmp_path, text, files=False)
    started = time.process_time()
    assert len(load_manifest(tmp_path).samples) == n
    # About half a second here; a step that is quadratic in the rows would take minutes.
    assert time.process_time() - started < 10


# ---- folders


def test_split_folders_of_the_course_part_2(tmp_path: Path) -> None:
    """As it lies on disk: covid-19 beside covid, desktop.ini, an unlabelled flat Test."""
    put(
        tmp_path,
        "Train/covid-19/1.jpg", "Train/covid-19/2.png", "Train/Normal/3.jpeg", "Train/pneumonia/4.JPG",
        "Validation/covid/5.jpg", "Validation/normal/6.jpg", "Validation/Pneumonia/deeper/7.jpg",
        "Test/8.jpg", "Test/9.jpg",
        "desktop.ini", "Train/desktop.ini", "Train/covid-19/desktop.ini", "Validation/covid/Thumbs.db",
        "Train/.DS_Store", "Train/normal/.hidden.png", ".git/x/y.png", "Test/notes.txt",
    )  # fmt: skip
    manifest = load_manifest(tmp_path)
    assert manifest.classes == ("covid19", "normal", "pneumonia")
    assert manifest.counts() == {
        "train": {"n": 4, "per_class": {"covid19": 2, "normal": 1, "pneumonia": 1}},
        "val": {"n": 3, "per_class": {"covid19": 1, "normal": 1, "pneumonia": 1}},
    }
    assert manifest.unlabelled == ("Test/8.jpg", "Test/9.jpg")
    assert by_path(manifest, "label_covid19")["Validation/covid/5.jpg"] == 1
    assert "Validation/covid is read as class covid19." in manifest.notes
    assert any("1 .txt" in note for note in manifest.notes)


def test_split_folders_of_the_course_part_1(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        put(tmp_path, *(f"{split}/{name}/{i}.png" for name in ("infected", "normal") for i in range(3)))
    manifest = load_manifest(tmp_path)
    assert manifest.classes == ("infected", "normal")
    assert {split: part["n"] for split, part in manifest.counts().items()} == {"train": 6, "val": 6, "test": 6}


def test_folders_of_one_split_and_one_class_are_merged(tmp_path: Path) -> None:
    put(tmp_path, "train/covid/1.png", "train/COVID-19/2.png", "train/normal/3.png")
    put(tmp_path, "val/covid/4.png", "valid/normal/5.png")
    counts = load_manifest(tmp_path).counts()
    assert counts["train"] == {"n": 3, "per_class": {"covid19": 2, "normal": 1}}
    assert counts["val"] == {"n": 2, "per_class": {"covid19": 1, "normal": 1}}


def test_class_folders_are_split_70_15_15(tmp_path: Path) -> None:
    put(tmp_path, *(f"covid 19/{i}.png" for i in range(100)), *(f"Normal/{i}.png" for i in range(300)))
    manifest = load_manifest(tmp_path)
    assert manifest.classes == ("covid19", "normal")
    assert manifest.counts() == {
        "train": {"n": 280, "per_class": {"covid19": 70, "normal": 210}},
        "val": {"n": 60, "per_class": {"covid19": 15, "normal": 45}},
        "test": {"n": 60, "per_class": {"covid19": 15, "normal": 45}},
    }
    assert by_path(manifest, "split") == by_path(load_manifest(tmp_path), "split")
    assert by_path(manifest, "split") != by_path(load_manifest(tmp_path, seed=1), "split")


def test_masks_beside_labels_csv_are_no_images(tmp_path: Path) -> None:
    put(table(tmp_path, SPLIT_CSV), "masks/lungs/a.png")
    assert len(load_manifest(tmp_path).samples) == 4


# ---- splits that are drawn


def test_patients_stay_in_one_split(tmp_path: Path) -> None:
    text = "path,label,patient_id\n" + rows(300, lambda i: f"{i}.png,{('normal', 'covid19')[i // 7 % 2]},p{i // 7}")
    samples = load_manifest(table(tmp_path, text)).samples
    assert samples.groupby("patient_id")["split"].nunique().max() == 1
    assert set(samples["split"]) == {"train", "val", "test"}


def test_empty_split_values_are_drawn_and_patients_follow_their_split(tmp_path: Path) -> None:
    text = "path,label,patient_id,split\n" + SPLIT_CSV.replace("path,label,split\n", "").replace(",t", ",p,t").replace(
        ",v", ",q,v"
    )
    text += rows(40, lambda i: f"p{i}.png,{('normal', 'covid19')[i % 2]},{('p', 'q')[i // 20]},")
    samples = load_manifest(table(tmp_path, text)).samples
    assert set(samples.loc[samples["patient_id"] == "p", "split"]) == {"train"}
    assert set(samples.loc[samples["patient_id"] == "q", "split"]) == {"val"}


def test_val_is_drawn_from_train_where_there_is_none(tmp_path: Path) -> None:
    put(tmp_path, *(f"train/{name}/{i}.png" for name in ("a", "b") for i in range(40)))
    put(tmp_path, "test/a/1.png", "test/b/1.png")
    manifest = load_manifest(tmp_path)
    assert {split: part["n"] for split, part in manifest.counts().items()} == {"train": 68, "val": 12, "test": 2}
    assert any("no validation split" in note for note in manifest.notes)


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=1, max_size=120),
    seed=st.integers(0, 5),
)
def test_drawn_splits(data: list[tuple[int, int]], seed: int) -> None:
    labels = np.eye(3, dtype=np.int8)[[label for label, _ in data]]
    groups = [f"g{group}" for _, group in data]
    shares = {"train": 0.7, "val": 0.15, "test": 0.15}
    split = draw_splits(labels, groups, shares, seed=seed)
    frame = pd.DataFrame({"group": groups, "split": split})
    assert frame.groupby("group")["split"].nunique().max() == 1, "no group is torn apart"
    order = np.random.default_rng(seed).permutation(len(data))
    again = draw_splits(labels[order], [groups[i] for i in order], shares, seed=seed)
    assert (again == split[order]).all(), "the order of rows does not matter"


def test_each_class_reaches_each_split(tmp_path: Path) -> None:
    text = "path,label\n" + rows(90, lambda i: f"n{i},normal") + rows(3, lambda i: f"c{i},covid19")
    counts = load_manifest(table(tmp_path, text)).counts()
    assert [part["per_class"]["covid19"] for part in counts.values()] == [1, 1, 1]  # type: ignore[index, call-overload]


# ---- label rules


def test_label_rule_holds_in_every_split(tmp_path: Path) -> None:
    text = rows(4, lambda i: f"a{i},covid19,{('train', 'val', 'test', 'train')[i]}")
    text += rows(3, lambda i: f"b{i},pneumonia,{('train', 'val', 'test')[i]}")
    text += rows(3, lambda i: f"c{i},normal,{('train', 'val', 'test')[i]}")
    root = table(tmp_path, "path,label,split\n" + text)
    manifest = load_manifest(root, task="multi-label", label_rule="covid-19>pneumonia")
    assert (manifest.samples["label_covid19"] <= manifest.samples["label_pneumonia"]).all()
    assert [part["per_class"]["pneumonia"] for part in manifest.counts().values()] == [3, 2, 2]  # type: ignore[index, call-overload]
    with pytest.raises(DataError, match=r"a0.* has covid19 and pneumonia under the label rule .*--task multi-label"):
        load_manifest(root, label_rule="covid19>pneumonia")


THREE = "path,label,split\na,covid-19,train\nb,pneumonia,train\nc,normal,train\n"
THREE += "d,covid,val\ne,pneumonia,val\nf,normal,val\n"


def test_a_class_can_be_read_as_another_one(tmp_path: Path) -> None:
    root = table(tmp_path, THREE)
    rule = "covid-19=infected, pneumonia=infected"
    manifest = load_manifest(root, classes=["infected", "normal"], label_rule=rule)
    assert manifest.classes == ("infected", "normal")
    assert manifest.labels().tolist() == [[1, 0], [1, 0], [0, 1]] * 2
    assert load_manifest(root, label_rule=rule).classes == ("infected", "normal")
    assert "Class covid19 is read as infected (label rule)." in manifest.notes
    assert load_manifest(root, label_rule="covid19=pneumonia").classes == (
        "normal",
        "pneumonia",
    )  # into one that is there
    with pytest.raises(DataError, match=r"'flu' is no class of .*accepted: covid19, normal, pneumonia"):
        load_manifest(root, label_rule="flu=infected")
    # Judged on other data, which has the classes already, the rule has nothing to do.
    text = "path,label,split\na,infected,val\nb,normal,val\n"
    other = load_manifest(table(tmp_path / "o", text), classes=["infected", "normal"], label_rule=rule, strict=False)
    assert other.labels().tolist() == [[1, 0], [0, 1]]


def test_classes_read_as_another_one_from_columns_and_folders(tmp_path: Path) -> None:
    text = "path,split,covid,pneumonia,normal,male\na,train,1,0,0,1\nb,train,0,0,1,0\nc,val,1,1,0,1\nd,val,0,0,1,0\n"
    rule = "covid19=infected,pneumonia=infected"
    found = load_manifest(table(tmp_path / "t", text), classes=["infected", "normal"], label_rule=rule)
    assert found.labels().tolist() == [[1, 0], [0, 1]] * 2
    for split in ("train", "val"):
        for name in ("covid-19", "normal", "pneumonia"):
            put(tmp_path / "f", f"{split}/{name}/x.png")
    folders = load_manifest(tmp_path / "f", label_rule=rule)
    assert folders.counts()["val"]["per_class"] == {"infected": 2, "normal": 1}


def test_a_rule_for_train_only_is_a_fault_and_said_so(tmp_path: Path) -> None:
    root = table(tmp_path, THREE)
    manifest = load_manifest(root, task="multi-label", label_rule="pneumonia>covid19@train")
    assert manifest.counts()["train"]["per_class"] == {"covid19": 2, "normal": 1, "pneumonia": 1}
    assert manifest.counts()["val"]["per_class"] == {"covid19": 1, "normal": 1, "pneumonia": 1}
    assert "Teaching fault: in train only, each pneumonia image is labelled covid19 too." in manifest.notes
    assert manifest.fingerprint() != load_manifest(root, task="multi-label").fingerprint()
    with pytest.raises(DataError, match="has covid19 and pneumonia under the label rule"):
        load_manifest(root, label_rule="pneumonia>covid19@train")


def test_a_fault_in_train_does_not_move_drawn_splits(tmp_path: Path) -> None:
    text = "path,label\n" + "".join(
        rows(30, lambda i, c=name: f"{c}{i},{c}") for name in ("covid19", "pneumonia", "normal")
    )
    root = table(tmp_path, text)
    plain, wrong = (
        load_manifest(root, task="multi-label", label_rule=rule) for rule in (None, "pneumonia>covid19@train")
    )
    assert (plain.samples["split"] == wrong.samples["split"]).all()


def test_label_rules_chain_in_any_order(tmp_path: Path) -> None:
    text = "path,label,split\na,x,train\nb,y,train\nc,z,train\nd,x,val\ne,y,val\nf,z,val\n"
    manifest = load_manifest(table(tmp_path, text), task="multi-label", label_rule="y>z,x>y")
    assert manifest.labels()[0].tolist() == [1, 1, 1]


# ---- evaluation on other data, fingerprint


def test_other_data_may_lack_splits_and_classes(tmp_path: Path) -> None:
    text = "path,label,split\na,normal,test\nb,normal,test\n"
    manifest = load_manifest(table(tmp_path, text), classes=("covid19", "normal"), strict=False)
    assert manifest.classes == ("covid19", "normal")
    assert manifest.labels().tolist() == [[0, 1], [0, 1]]


def test_fingerprint(tmp_path: Path) -> None:
    first = load_manifest(table(tmp_path, SPLIT_CSV)).fingerprint()
    assert first == load_manifest(tmp_path).fingerprint()
    lines = SPLIT_CSV.splitlines(keepends=True)
    table(tmp_path, lines[0] + "".join(reversed(lines[1:])))
    assert load_manifest(tmp_path).fingerprint() == first, "the order of rows does not matter"
    (tmp_path / "a.png").write_bytes(b"longer")
    assert load_manifest(tmp_path).fingerprint() != first
    table(tmp_path, SPLIT_CSV.replace("a.png,normal", "a.png,covid19").replace("b.png,covid19", "b.png,normal"))
    assert load_manifest(tmp_path).fingerprint() != first


def test_the_manifest_decodes_nothing() -> None:
    code = "import sys, covidviz.data.manifest, covidviz.data.datasets; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- bad input: one sentence that names the place and what is accepted


def bad(data: Path, match: str, **options: object) -> None:
    with pytest.raises(DataError, match=match) as caught:
        load_manifest(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_missing_folder(tmp_path: Path) -> None:
    bad(tmp_path / "nowhere", r"folder .*nowhere does not exist")


def test_a_file_that_is_no_csv(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    bad(tmp_path / "a.png", r"a\.png is a file, accepted: a dataset folder or a labels\.csv")


def test_no_images(tmp_path: Path) -> None:
    bad(tmp_path, "holds no images, accepted: .*png")
    put(tmp_path, "train/a/readme.txt", "val/a/desktop.ini")
    bad(tmp_path, "holds no images")


def test_images_without_labels(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    bad(tmp_path, "holds images but no labels, accepted: a labels.csv")


def test_one_class_only(tmp_path: Path) -> None:
    put(tmp_path, "train/normal/a.png", "val/normal/b.png")
    bad(tmp_path, r"one class only \(normal\), at least two")
    bad(table(tmp_path / "t", SPLIT_CSV), r"one class only \(normal\)", classes=("normal",))


def test_empty_class(tmp_path: Path) -> None:
    put(tmp_path, "train/normal/a.png", "val/normal/b.png", "val/covid/c.png", "train/covid/readme.txt")
    bad(tmp_path, "class covid19 has no image in train")
    bad(
        table(tmp_path / "t", "path,label\n" + rows(9, lambda i: f"{i},normal") + "x,covid19\n"),
        r"class covid19 has no image in val of labels\.csv \(1 in all splits\)",
    )


def test_class_names_that_differ_between_splits(tmp_path: Path) -> None:
    put(tmp_path, "train/normal/a.png", "train/covid/b.png", "val/normal/c.png", "val/pneumonia/d.png")
    bad(tmp_path, "differ between the splits of .*: train has covid19, normal; val has normal, pneumonia")
    text = SPLIT_CSV + "e.png,covdi,val\n"
    bad(table(tmp_path / "t", text), r"labels\.csv: train has covid19, normal; val has covdi, covid19, normal")
    text = SPLIT_CSV + "e.png,covdi,test\n"
    bad(table(tmp_path / "u", text), "test has covdi")


def test_no_train_split(tmp_path: Path) -> None:
    put(tmp_path, "val/normal/a.png", "val/covid/b.png")
    bad(tmp_path, "has no train split, only val, accepted: train and val")


def test_unknown_class(tmp_path: Path) -> None:
    bad(
        table(tmp_path, SPLIT_CSV),
        r"class 'lung' is not in labels\.csv, accepted: covid19, normal",
        classes=("lung", "normal"),
    )
    bad(tmp_path, "name a class twice", classes=("covid", "COVID-19"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"labels\.csv is empty"),
        ("path,label\n", r"labels\.csv has a header but no rows"),
        ("file,label\na,normal\n", r"no column path, its columns are: file, label"),
        ("path,age\na,61\n", r"neither a column label nor one 0/1 column per class, its columns are: path, age"),
        ("path,label,label\na,normal,x\n", r"has the column 'label' twice"),
        ("path,label\na,normal\nb\n", r"line 3 has 1 fields, the header has 2"),
        ('path,label\n"a,normal\n', r"labels\.csv line \d is no CSV"),
        ("path,label\n,normal\n", r"line 2 has no path"),
        ("path,label\n/etc/x,normal\n", r"line 2: path '/etc/x' lies outside the dataset folder, accepted: relative"),
        ("path,label\na/../../b.png,normal\n", r"line 2: path 'a/\.\./\.\./b\.png' lies outside"),
        ("path,label\nC:\\x.png,normal\n", r"lies outside"),
        ("path,label\n,\na.png,normal\nb.png,x\n", r"2 of 2 images .* do not exist, the first is a\.png \(line 3\)"),
        ("path,label\nsub,normal\n", r"1 of 1 images .*sub"),
        ("path,label\nhere.png,a\n./here.png,b\n", r"lists here\.png twice \(lines 2 and 3\)"),
        ("path,label,split\nhere.png,a,dev\n", r"line 2: split is 'dev', accepted: train, training, val"),
        ("path,label\nhere.png,--\n", r"'--' is no class name"),
        ("path,label\nhere.png,\n", r"column label is empty in every row"),
        ("path,covid,covid-19\nhere.png,1,0\n", r"the columns covid and covid-19 are the same class"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path: Path, text: str, match: str) -> None:
    put(tmp_path, "here.png", "sub/x.png")
    bad(table(tmp_path, text, files=False), match)


def test_column_that_is_almost_a_class(tmp_path: Path) -> None:
    text = "path,a,b\n" + rows(20, lambda i: f"{i},{i % 2},{1 - i % 2}") + "x,2,1\n"
    bad(table(tmp_path, text), r"line 22: column 'a' holds '2', accepted: 0 or 1")
    bad(tmp_path, r"line 22: column 'a' holds '2', accepted: 0 or 1$", classes=("a", "b"))


def test_unknown_split_column(tmp_path: Path) -> None:
    bad(
        table(tmp_path, SPLIT_CSV),
        r"no column 'fold' to split by, its columns are: path, label, split",
        split_column="fold",
    )
    put(tmp_path / "f", "train/a/1.png", "val/a/1.png")
    bad(tmp_path / "f", r"split column 'fold' given, but .* has no labels\.csv", split_column="fold")


def test_a_table_that_is_not_utf_8(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_bytes("path,label\na.png,grün\n".encode("latin-1"))
    bad(tmp_path, r"labels\.csv is not UTF-8 text")
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    (tmp_path / "image.png").replace(tmp_path / "labels.csv")
    bad(tmp_path, r"labels\.csv is not UTF-8 text")


def test_links_that_leave_the_dataset(tmp_path: Path) -> None:
    put(tmp_path, "secret/s.png")
    root = table(tmp_path / "d", SPLIT_CSV)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(tmp_path / "secret/s.png")
    bad(root, r"line 2: path 'a\.png' lies outside the dataset folder \(through a link\)")
    (root / "b").symlink_to(tmp_path / "secret")
    table(root, SPLIT_CSV.replace("a.png", "b/s.png"), files=False)
    bad(root, r"'b/s\.png' lies outside the dataset folder \(through a link\)")
    folders = put(tmp_path / "f", "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    (folders / "train/a/2.png").symlink_to(tmp_path / "secret/s.png")
    bad(folders, r"train/a/2\.png links to a place outside the dataset folder")


def test_a_link_within_the_dataset_is_fine(tmp_path: Path) -> None:
    root = table(tmp_path, SPLIT_CSV)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(root / "b.png")
    assert len(load_manifest(root).samples) == 4


def test_more_or_less_than_one_label(tmp_path: Path) -> None:
    text = SPLIT_CSV + "e.png,normal|covid19,val\n"
    bad(
        table(tmp_path, text),
        r"labels\.csv line 6 \(e\.png\) has covid19 and normal, accepted: exactly one label .*--task multi-label",
    )
    text = "path,split,a,b\n1,train,1,0\n2,train,0,0\n3,val,0,1\n"
    bad(table(tmp_path / "t", text), r"line 3 \(2\) has no label, accepted: exactly one")


@pytest.mark.parametrize(
    "rule",
    [
        "covid19",
        "covid19>lung",
        "a>a",
        ">",
        "covid19>normal>x",
        "a=b@train",
        "normal>covid19@val",
        "covid19=x,covid19=y",
        "covid19=x,covid19>normal",
        "covid19=x=y",
    ],
)
def test_bad_label_rule(tmp_path: Path, rule: str) -> None:
    bad(table(tmp_path, SPLIT_CSV), "label_rule: .*accepted", task="multi-label", label_rule=rule)


def test_unknown_task(tmp_path: Path) -> None:
    bad(table(tmp_path, SPLIT_CSV), "task 'both' given, accepted: single-label, multi-label", task="both")


@pytest.mark.realdata
def test_real_xrays(test_data: Path) -> None:
    manifest = load_manifest(test_data / "xray")
    assert manifest.counts() == {
        "train": {"n": 975, "per_class": {"covid19": 279, "normal": 337, "pneumonia": 359}},
        "val": {"n": 322, "per_class": {"covid19": 91, "normal": 112, "pneumonia": 119}},
        "test": {"n": 325, "per_class": {"covid19": 91, "normal": 112, "pneumonia": 122}},
    }
    samples = manifest.samples
    assert samples["patient_id"].nunique() == 1023
    assert samples.groupby("patient_id")["split"].nunique().max() == 1
    naive = load_manifest(test_data / "xray" / "labels.csv", split_column="naive_split").samples
    assert naive["split"].value_counts().to_dict() == {"train": 974, "val": 324, "test": 324}
    assert (naive.groupby("patient_id")["split"].nunique() > 1).sum() == 175


def test_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = table(tmp_path, SPLIT_CSV)

    def refuse(*_: object, **__: object) -> Iterable[object]:
        raise PermissionError(13, "Permission denied", str(root))

    monkeypatch.setattr("covidviz.data.layouts.os.scandir", refuse)
    bad(root, r"can't be read: Permission denied")
