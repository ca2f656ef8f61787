"""Beside the scores of a run: what leaks, and the scores without it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from explored import finished_run, make_dataset
from reported import report
from streamlit.testing.v1 import AppTest

from covidviz.data.doctor.keep import load
from covidviz.evaluation.leaks import Leaks
from covidviz.store.reader import Run
from covidviz.ui import leaks


def leaking(folder: Path, n: int = 36, *, shared: int = 0) -> Path:
    """Noise images; the first `shared` test images are of patients who are in train too."""
    data = make_dataset(folder, n)
    table = pd.read_csv(data / "labels.csv")
    test, train = table.index[table["split"] == "test"], table.index[table["split"] == "train"]
    for k in range(shared):
        table.loc[test[k], "patient_id"] = table.loc[train[k], "patient_id"]
    table.to_csv(data / "labels.csv", index=False)
    return data


def line(run: Run, split: str = "test") -> AppTest:
    def script(run_dir: str, split: str) -> None:
        from pathlib import Path

        from covidviz.store.reader import Run
        from covidviz.ui.leaks import leak_line

        leak_line(Run(Path(run_dir)), split)

    at = AppTest.from_function(script, kwargs={"run_dir": str(run.dir), "split": split}, default_timeout=60).run()
    assert not at.exception
    return at


def said(at: AppTest) -> str:
    return "\n".join(str(part.value) for part in [*at.markdown, *at.caption]).replace("\\", "")


def test_without_leaks_nothing_is_said(runs: Path, folders: Path) -> None:
    at = line(finished_run(runs, leaking(folders / "data" / "clean")))
    assert said(at) == ""
    assert not at.toggle


def test_patients_in_train_are_counted_and_left_out(runs: Path, folders: Path) -> None:
    run = finished_run(runs, leaking(folders / "data" / "shared", shared=5))
    at = line(run)
    assert "5 of 12 test images show a patient of the training part." in said(at)
    assert "|" not in said(at)
    at.toggle("run_clean").set_value(True).run()
    assert at.query_params["clean"] == "1"  # the link shows the same scores
    table = said(at)
    assert "all 12" in table
    assert "without them 7" in table
    for name in ("Accuracy", "Macro F1", "Recall of covid19", "Precision of pneumonia"):
        assert name in table
    assert said(line(run, "val")) == ""
    assert said(line(run, "train")) == ""


def test_the_same_radiograph_from_the_report(runs: Path, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links: list[dict[str, str]] = []
    monkeypatch.setattr(leaks.st, "page_link", lambda page, *, query_params, **more: links.append(query_params))
    data = leaking(folders / "data" / "twins", shared=1)
    frame = load(data).samples
    train, test = (frame.loc[frame["split"] == name, "path"].tolist() for name in ("train", "test"))
    run = finished_run(runs, data)
    assert "1 of 12 test images shows a patient of" in said(line(run))
    report(data, same=[[train[4], test[4]], [test[5], test[6]], [train[0], train[1]]])
    assert not links
    at = line(run)
    assert "2 of 12 test images show a patient or radiograph of the training part." in said(at)
    assert links == [{"data": str(data), "column": "split", "check": "patient-overlap"}]


def test_all_images_leak(runs: Path, folders: Path) -> None:
    at = line(finished_run(runs, leaking(folders / "data" / "all", shared=12)))
    assert "12 of 12" in said(at)
    assert "No image is left to score" in said(at)
    assert at.toggle("run_clean").disabled


def test_a_dataset_that_is_gone_keeps_its_patients(runs: Path, folders: Path) -> None:
    run = finished_run(runs, leaking(folders / "data" / "gone", shared=2))
    (run.dir / "config.json").write_text((run.dir / "config.json").read_text().replace(str(folders / "data"), "/gone"))
    assert "2 of 12" in said(line(run))


def test_without_samples_nothing_is_said(runs: Path, folders: Path) -> None:
    run = finished_run(runs, leaking(folders / "data" / "lost", shared=2))
    (run.dir / "samples.parquet").write_bytes(b"no parquet")
    assert said(line(run)) == ""


@pytest.mark.parametrize(
    ("patients", "radiographs", "words"),
    [
        (("a",), (), "1 of 9 validation images shows a patient of the training part."),
        ((), ("a", "b"), "2 of 9 validation images show a radiograph of the training part."),
        (("a", "b"), ("b", "c"), "3 of 9 validation images show a patient or radiograph of the training part."),
    ],
)
def test_the_sentence(patients: tuple[str, ...], radiographs: tuple[str, ...], words: str) -> None:
    assert leaks.sentence(Leaks(9, frozenset(patients), frozenset(radiographs)), "val") == words
