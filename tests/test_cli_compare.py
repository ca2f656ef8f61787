"""`compare RUN_A RUN_B`: the contract's document, its words and its refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from explored import make_dataset
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, recall_score
from synthetic import CLASSES, write_synthetic_run

from covidviz.cli import main
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.thresholds import Chosen, save_thresholds


@pytest.fixture(scope="module")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One dataset for all runs; read only."""
    return make_dataset(tmp_path_factory.mktemp("set"), n=144)


@pytest.fixture
def ids(runs: Path, xrays: Path) -> list[str]:
    """Two completed runs on the same images."""
    return [write_synthetic_run(runs, i, artefacts=True, data=xrays).name for i in (1, 2)]


def asked(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["compare", *argv, "--json"]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    document: dict[str, Any] = json.loads(out.out)
    return document


def refused(capsys: pytest.CaptureFixture[str], code: int, *argv: str) -> str:
    capsys.readouterr()
    assert main(["compare", *argv]) == code
    out = capsys.readouterr()
    assert out.out == ""
    assert len(out.err.splitlines()) == 1
    return out.err


def labels_and_calls(run_dir: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class, in the order of the sample ids."""
    run = Run(run_dir)
    frame = run.predictions().merge(run.samples().drop(columns="split"), on="sample_id").sort_values("sample_id")
    frame = frame[frame["split"] == split]
    return tuple(frame[[f"{kind}_{name}" for name in CLASSES]].to_numpy().argmax(axis=1) for kind in ("label", "prob"))  # type: ignore[return-value]


def test_the_document_is_that_of_the_contract(
    runs: Path, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    found = asked(capsys, *ids, "--split", "val")
    wanted = ["a", "b", "split", "n", "both_right", "fixed", "broken", "both_wrong", "mcnemar_p", "metrics", "verdict"]
    assert list(found)[: len(wanted)] == wanted
    truth, a = labels_and_calls(runs / ids[0], "val")
    _, b = labels_and_calls(runs / ids[1], "val")
    assert (found["a"], found["b"], found["split"], found["n"]) == (*ids, "val", len(truth))
    counts = [((a == truth) == x) & ((b == truth) == y) for x, y in ((1, 1), (0, 1), (1, 0), (0, 0))]
    assert [found[key] for key in ("both_right", "fixed", "broken", "both_wrong")] == [int(c.sum()) for c in counts]
    fixed, broken = found["fixed"], found["broken"]
    assert found["mcnemar_p"] == pytest.approx(binomtest(fixed, fixed + broken, 0.5).pvalue)
    for metric, score in (
        ("accuracy", accuracy_score),
        ("macro_f1", lambda y, p: f1_score(y, p, average="macro")),
        ("recall_covid19", lambda y, p: recall_score(y, p, labels=[0], average=None)[0]),
    ):
        row = found["metrics"][metric]
        assert set(row) == {"a", "b", "diff", "low", "high"}
        assert (row["a"], row["b"]) == pytest.approx((score(truth, a), score(truth, b)))
        assert row["diff"] == pytest.approx(row["b"] - row["a"])
        assert row["low"] <= row["diff"] <= row["high"]
    assert found["verdict"].startswith(f"B fixes {fixed} image")


def test_test_images_are_compared_where_nobody_says_otherwise(
    runs: Path, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, *ids)["split"] == "test"
    path = runs / ids[1] / layout.PREDICTIONS
    frame = pd.read_parquet(path)
    frame[frame["split"] != "test"].to_parquet(path)
    assert asked(capsys, *ids)["split"] == "val"


def test_people_read_the_verdict_and_the_differences(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", ids[0], ids[1], "--split", "val"]) == 0
    said = capsys.readouterr().out
    document = asked(capsys, *ids, "--split", "val")
    assert document["verdict"] in said
    assert all(note in said for note in document["notes"])
    assert "95 % interval" in said
    assert "recall_covid19" in said


def test_a_run_against_itself_is_no_difference(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, ids[0], ids[0])
    assert (found["fixed"], found["broken"], found["mcnemar_p"]) == (0, 0, 1.0)
    assert found["evidence"] == "none"
    assert all(row["diff"] == 0 for row in found["metrics"].values())


def test_other_samples_are_compared_as_far_as_they_are_common(
    runs: Path, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs / ids[1] / layout.PREDICTIONS
    frame = pd.read_parquet(path)
    gone = frame[frame["split"] == "val"].head(10)["sample_id"]
    frame[~frame["sample_id"].isin(gone)].sample(frac=1, random_state=0).to_parquet(path)
    whole = asked(capsys, ids[0], ids[0], "--split", "val")["n"]
    found = asked(capsys, *ids, "--split", "val")
    assert found["n"] == whole - 10
    assert any(f"the {whole - 10} common ones are compared" in note for note in found["notes"])


def test_labels_are_decided_at_saved_thresholds(
    runs: Path, xrays: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    ids = [
        write_synthetic_run(runs, i, artefacts=True, data=xrays, task="multi-label", loss="bce").name for i in (1, 2)
    ]
    before = asked(capsys, *ids)
    save_thresholds(runs / ids[1], {"covid19": Chosen(0.0)})
    found = asked(capsys, *ids)
    assert found["metrics"]["recall_covid19"]["b"] == 1.0
    assert found["metrics"]["recall_covid19"]["a"] == before["metrics"]["recall_covid19"]["a"]
    assert "exact_match" in found["metrics"]
    assert any("B: covid19 0" in note for note in found["notes"])


def test_what_can_not_be_compared_says_why(
    runs: Path, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert "accepted: the id of a run" in refused(capsys, 2, ids[0], "nonsense")
    other = write_synthetic_run(runs, 3, artefacts=True, classes=("healthy", "ill")).name
    assert "different classes (covid19, normal, pneumonia; healthy, ill)" in refused(capsys, 2, ids[0], other)
    several = write_synthetic_run(runs, 4, artefacts=True, task="multi-label", loss="bce").name
    assert "multi-label" in refused(capsys, 2, ids[0], several)
    queued = write_synthetic_run(runs, 5, "queued").name
    assert "is queued and has no predictions" in refused(capsys, 1, ids[0], queued)
    elsewhere = write_synthetic_run(runs, 6, artefacts=True).name
    assert "no image is in val of both" in refused(capsys, 2, ids[0], elsewhere, "--split", "val")
    broken = write_synthetic_run(runs, 7, artefacts=True)
    (broken / layout.CONFIG).write_text("{")
    assert "can not be read" in refused(capsys, 1, ids[0], broken.name)
    (runs / ids[1] / layout.SAMPLES).write_bytes(b"no table")
    assert "do not fit together" in refused(capsys, 1, *ids)


def test_torch_is_not_needed(ids: list[str]) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from covidviz.cli import main; "
        f"assert main(['compare', {ids[0]!r}, {ids[1]!r}]) == 0; "
        "print([name for name in ('torch', 'sklearn', 'scipy', 'streamlit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
