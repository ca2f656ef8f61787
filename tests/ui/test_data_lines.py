"""What a line of the Data page holds of a check of the data doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from explored import make_dataset
from reported import report

from covidviz.data.doctor import Check
from covidviz.data.doctor.keep import load
from covidviz.ui import data_page_checks

HOSTILE = "<img src=x> ![b](http://evil.example/x.png) **bold**"


@pytest.fixture
def data(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=36)


def line(data: Path, check: Check, **shown: int) -> dict[str, Any]:
    made = report(data, "split", check)
    return next(row for row in data_page_checks.view(made, load(data), shown) if row["id"] == check.id)


def test_pairs_with_what_is_known_of_each(data: Path) -> None:
    paths = load(data).samples["path"].tolist()
    rows = [{"splits": ["train", "val"], "what": "mirrored", "correlation": 0.973}, {}]
    samples = [[paths[0], paths[3]], [paths[1], "gone.png"]]
    check = Check("near-duplicates", "bad", "2", n=2, samples=samples, details={"rows": rows, "threshold": 0.95})
    groups = line(data, check)["groups"]
    assert [(one["split"], one["label"], one["about"]) for one in groups[0]["images"]] == [
        ("train", "covid19", "p0 · noise"), ("val", "covid19", "p3 · noise"),
    ]  # fmt: skip
    assert groups[0]["note"] == "mirrored, correlation 0.973"
    assert groups[1]["images"][1] == {"id": "", "path": "gone.png", "split": "", "label": "", "about": ""}
    assert line(data, check)["facts"] == [["threshold", "0.95"]]


def test_a_patient_of_many_images_shows_some(data: Path) -> None:
    paths = load(data).samples["path"].tolist()
    group = line(data, Check("patient-overlap", "bad", "1", n=1, samples=[paths[:10]]))["groups"][0]
    assert (len(group["images"]), group["more"], group["note"]) == (6, 4, "")
    rows = [{"patient": "p0", "splits": {"train": 3, "test": 8}}]
    check = Check("patient-overlap", "bad", "1", n=1, samples=[paths[:6]], details={"rows": rows})
    group = line(data, check)["groups"][0]
    assert (len(group["images"]), group["more"], group["note"]) == (6, 5, "3 in train, 8 in test")


def test_a_label_in_doubt_in_words(data: Path) -> None:
    paths = load(data).samples["path"].tolist()
    rows = [{"given": "pneumonia", "suggested": "normal", "probability": 0.974}]
    check = Check("label-suspects", "warn", "1", n=1, samples=paths[:1], details={"rows": rows})
    assert line(data, check)["groups"][0]["note"] == "labelled pneumonia, looks like normal (97 %)"


def test_bars_of_a_shortcut(data: Path) -> None:
    per_class = {"covid19": [0.95, 0.9, 0.99], "normal": 0.6}
    model = {"run_id": "x", "auc": 0.97, "low": 0.96, "high": 0.98}
    details = {"auc": 0.86, "low": 0.84, "high": 0.88, "per_class": per_class, "chance": 0.5, "model": model}
    bars = line(data, Check("file-traits", "warn", "Size.", details=details))["bars"]
    assert [(bar["name"], bar["says"]) for bar in bars] == [
        ("this alone", "0.86 (0.84 to 0.88)"),
        ("the trained model", "0.97 (0.96 to 0.98)"),
        ("covid19", "0.95 (0.90 to 0.99)"),
        ("normal", "0.60"),
    ]
    assert line(data, Check("file-traits", "note", "No.", details={"auc": None}))["bars"] == []


def test_tables_of_counts(data: Path) -> None:
    splits = {"train": {"n": 12, "per_class": {"a": 4, "b": 8}, "patients": 3,
                        "constant": {"accuracy": 0.667, "macro_f1": 0.4}}}  # fmt: skip
    table = line(data, Check("support", "ok", "Enough.", details={"splits": splits}))["tables"][0]
    assert table["columns"][:5] == ["split", "images", "patients", "a", "b"]
    assert table["rows"] == [["train", "12", "3", "4", "8", "0.667", "0.4"]]
    groups = {"sex": {"F": {"n": 5, "per_class": {}, "accuracy": 0.8, "low": 0.4, "high": 0.96}, "": {"n": 1}}}
    table = line(data, Check("subgroups", "note", "Sex.", details={"groups": groups}))["tables"][0]
    assert table["rows"] == [["F", "5", "0.80 (0.40 to 0.96)"], ["unknown", "1", "–"]]


def test_a_table_of_counts_against_each_other(data: Path) -> None:
    details = {
        "auc": None,
        "sources": {"a": {"covid19": 3, "normal": 1}, "": {"normal": 2}},
        "traits": ["size", "mode"],
    }
    row = line(data, Check("source-shortcut", "note", "Tied.", details=details))
    assert row["tables"] == [
        {"title": "Sources", "columns": ["", "covid19", "normal"], "rows": [["a", "3", "1"], ["unknown", "0", "2"]]}
    ]
    assert row["facts"] == [["traits", "size, mode"]]


def test_a_check_that_failed_gives_its_reason(data: Path) -> None:
    row = line(data, Check("lungs-blanked", "note", "It could not be done.", details={"error": HOSTILE}))
    assert (row["word"], row["severity"], row["failed"]) == ("not done", "failed", HOSTILE)
