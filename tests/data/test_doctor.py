"""The data doctor finds what was planted, and nothing in clean data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored import make_dataset
from PIL import Image
from sklearn.metrics import roc_auc_score
from synthetic import CLASSES, write_synthetic_run

from covidviz.cli import main
from covidviz.data.doctor import CHECKS, Check, Report, content_key, diagnose, known, with_run
from covidviz.data.doctor.report import worst
from covidviz.data.phantoms import PhantomOptions, make_phantoms
from covidviz.errors import DataError
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.ranking import judged
from covidviz.store.reader import Run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Reports on clean tiny phantoms, and on some with one defect each."""
    folder = tmp_path_factory.mktemp("doctor")
    options: dict[str, dict[str, Any]] = {
        "clean": {},
        "leaks": {"duplicates": 4, "shared_patients": 3},
        "marker": {"marker_class": "pneumonia"},
        "train-only": {"encoding": "train-only"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(folder / "cache"))
        patch.setattr("covidviz.data.doctor.shortcuts.TREES", 10)
        return {
            name: diagnose(make_phantoms(folder / name, PhantomOptions(size="tiny", **one)))
            for name, one in options.items()
        }


def alarms(report: Report) -> set[str]:
    return {check.id for check in report.checks if check.severity in ("warn", "bad")}


def found(report: Report, id: str) -> Check:
    check = report.check(id)
    assert check is not None
    return check


# ---- phantoms


def test_clean_data_raise_no_alarm(planted: dict[str, Report]) -> None:
    report = planted["clean"]
    assert [check.id for check in report.checks] == list(CHECKS)
    assert alarms(report) == set()
    assert report.leaks == {}
    assert report.splits == {"train": 36, "val": 12, "test": 12}


def test_planted_duplicates_and_patients(planted: dict[str, Report]) -> None:
    report = planted["leaks"]
    assert alarms(report) == {"exact-duplicates", "near-duplicates", "patient-overlap"}
    exact, near, patients = (found(report, id) for id in ("exact-duplicates", "near-duplicates", "patient-overlap"))
    assert exact.n == near.n == 2, "every second one is cropped and brighter"
    assert all(row["splits"] == ["train", "val"] for check in (exact, near) for row in check.details["rows"])
    assert patients.n == 3
    assert all(set(row["splits"]) == {"train", "val"} for row in patients.details["rows"])
    by_picture = {path for path, why in report.leaks.items() if set(why) & {"exact-duplicates", "near-duplicates"}}
    assert by_picture == {pair[1] for check in (exact, near) for pair in check.samples}
    assert len([path for path, why in report.leaks.items() if "patient-overlap" in why]) == patients.details["leaked"]


def test_planted_marker(planted: dict[str, Report]) -> None:
    check = found(planted["marker"], "lungs-blanked")
    assert check.severity == "bad"
    assert check.details["per_class"]["pneumonia"][0] > 0.9
    assert check.details["blanked"] == "the dataset's lung masks"
    assert alarms(planted["marker"]) <= {"lungs-blanked", "thumbnail-shortcut"}


def test_planted_encodings(planted: dict[str, Report]) -> None:
    assert alarms(planted["train-only"]) == {"label-encoding"}
    check = found(planted["train-only"], "label-encoding")
    assert "in train every pneumonia image is also covid19" in check.summary
    assert check.n == 12


def test_documents_are_bounded_and_complete(planted: dict[str, Report]) -> None:
    for report in planted.values():
        document = json.loads(json.dumps(report.document()))
        assert Report.from_document(document) == report
        for check in document["checks"]:
            assert {"id", "severity", "summary", "n", "samples", "details", "title", "remedy"} <= set(check)
            assert len(check["samples"]) <= 200
            if check["severity"] in ("warn", "bad"):
                assert check["remedy"]
                assert check["meaning"]


# ---- bad input


def picture(path: Path, rng: np.random.Generator, size: tuple[int, int] = (64, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)


def test_three_images_of_one_class_without_anything_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        picture(tmp_path / "data" / f"{i}.png", rng)
    (tmp_path / "data" / "labels.csv").write_text("path,label\n0.png,a\n1.png,a\n2.png,a\n")
    report = diagnose(tmp_path / "data")
    assert [check.id for check in report.checks] == list(CHECKS)
    assert found(report, "patient-overlap").severity == "note"
    assert "one class only" in found(report, "support").summary
    for id in ("file-traits", "source-shortcut", "thumbnail-shortcut", "lungs-blanked"):
        assert found(report, id).details["auc"] is None


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = ["path,label,split"]
    for i in range(12):
        picture(tmp_path / "data" / f"{i}.png", rng)
        lines.append(f"{i}.png,{'ab'[i % 2]},{('train', 'val')[i // 6]}")
    (tmp_path / "data" / "3.png").write_bytes(b"no image")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(lines) + "\n")
    check = found(diagnose(tmp_path / "data"), "support")
    assert check.severity == "warn"
    assert check.samples == ["3.png"]
    for i in range(12):
        (tmp_path / "data" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 12 images can be read"):
        diagnose(tmp_path / "data")


def test_labels_that_contradict_each_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    lines = ["path,a,b,split"]
    for i in range(8):
        picture(tmp_path / "data" / f"{i}.png", rng)
        lines.append(f"{i}.png,{i % 2},{(i + 1) % 2},{'train' if i < 4 else 'val'}")
    (tmp_path / "data" / "7.png").write_bytes((tmp_path / "data" / "0.png").read_bytes())
    (tmp_path / "data" / "labels.csv").write_text("\n".join(lines) + "\n")
    report = diagnose(tmp_path / "data")
    check = found(report, "exact-duplicates")
    assert check.samples == [["0.png", "7.png"]]
    assert check.details["rows"][0] == {"splits": ["train", "val"], "labels": ["b", "a"], "what": "same file"}
    assert check.severity == "bad"
    assert report.leaks == {"7.png": ["exact-duplicates"]}


# ---- what is remembered


def test_a_check_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("covidviz.data.doctor.shortcuts.file_traits", fails)
    report = diagnose(make_dataset(tmp_path / "noise", 18))
    assert [check.id for check in report.checks] == list(CHECKS)
    failed = report.check("file-traits")
    assert failed is not None
    assert failed.details == {"error": "ZeroDivisionError: division by zero"}
    assert "could not be done" in failed.summary
    assert sum("error" in check.details for check in report.checks) == 1


def test_a_report_is_known_until_the_data_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for i in range(4):
        picture(tmp_path / "data" / "ab"[i % 2] / f"{i}.png", rng)
    assert known(tmp_path / "data") is None
    report = diagnose(tmp_path / "data")
    assert known(tmp_path / "data") == report
    before = content_key(tmp_path / "data")
    picture(tmp_path / "data" / "a" / "0.png", rng, (65, 64))
    assert content_key(tmp_path / "data") != before
    assert known(tmp_path / "data") is None
    assert known(tmp_path / "nothing") is None


def test_a_report_of_another_shape_is_none() -> None:
    assert Report.from_document({}) is None
    assert Report.from_document({"checks": [{"id": "nonsense", "severity": "ok", "summary": ""}]}) is None
    assert worst([]) == "ok"
    assert worst(["note", "bad", "ok"]) == "bad"


def test_what_pages_import_is_light() -> None:
    script = (
        "import sys; import covidviz.data.doctor as d; d.known('nowhere'); "
        "print([m for m in ('sklearn', 'scipy', 'torch', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- beside a run


def test_a_run_stands_beside(planted: dict[str, Report], runs: Path, tiny_phantoms: Path) -> None:
    run = write_synthetic_run(runs, 1, data=tiny_phantoms, artefacts=True)
    report = with_run(planted["clean"], run)
    frame = judged(Run(run).samples(), Run(run).predictions(), CLASSES, "single-label")
    frame = frame[frame["split"] == "test"]
    model = found(report, "thumbnail-shortcut").details["model"]
    truth = frame[[f"label_{name}" for name in CLASSES]].to_numpy()
    prob = frame[[f"prob_{name}" for name in CLASSES]].to_numpy()
    assert (model["run_id"], model["split"], model["n"]) == (run.name, "test", len(frame))
    assert model["auc"] == pytest.approx(roc_auc_score(truth, prob, average="macro"), abs=1e-4)
    views = found(report, "subgroups").details["run"]["groups"]["view"]
    for name, row in views.items():
        at = frame["view"] == name
        assert (row["n"], row["right"]) == (at.sum(), frame["right"][at].sum())
        assert (row["low"], row["high"]) == pytest.approx(wilson(row["right"], row["n"]), abs=1e-4)
    assert found(report, "support") == found(planted["clean"], "support")


def test_a_run_without_predictions_is_refused(planted: dict[str, Report], runs: Path) -> None:
    with pytest.raises(DataError, match="has no predictions"):
        with_run(planted["clean"], write_synthetic_run(runs, 2, state="running"))


# ---- the command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(4)
    for i in range(6):
        picture(tmp_path / "data" / "ab"[i % 2] / f"{i}.png", rng)
    assert main(["data", "doctor", str(tmp_path / "data"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [check["id"] for check in document["checks"]] == list(CHECKS)
    assert main(["data", "doctor", str(tmp_path / "data")]) == 0
    assert "No picture is there twice." in capsys.readouterr().out


def test_command_with_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "doctor", str(tmp_path / "nothing"), "--json"]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "labels.csv").write_text("path,label\n")
    assert main(["data", "doctor", str(tmp_path), "--split-column", "other"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
