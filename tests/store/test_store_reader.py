"""Reading run directories that are whole, cut, broken, newer, or none at all."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from synthetic import CLASSES, write_synthetic_run

from covidviz.store import layout
from covidviz.store.files import read_json, write_json_atomic
from covidviz.store.index import RunIndex
from covidviz.store.reader import Run

FILES = (
    layout.CONFIG, layout.STATUS, layout.NOTES, layout.SAMPLES, layout.METRICS, layout.STEPS, layout.PREDICTIONS,
    layout.HISTORY, "cams/val.npz", layout.ENVIRONMENT, layout.LOG,
)  # fmt: skip


def read_all(run: Run) -> None:
    """Every way to look at a run; none may raise."""
    run.status()
    run.config()
    run.notes()
    run.environment()
    for frame in (run.metrics(), run.steps(), run.system(), run.samples(), run.predictions()):
        assert frame is not None
    assert {"epoch", "split"} <= set(run.metrics().columns)
    assert {"sample_id", "split"} <= set(run.predictions().columns)
    if (history := run.history()) is not None:
        assert history.prob.shape[:2] == (len(history.epoch), len(history.sample_id))
    if (cams := run.cams("val")) is not None:
        assert cams.maps.shape[:2] == cams.scale.shape
    run.best()
    run.result()
    run.log_tail()
    RunIndex(run.dir.parent).refresh()


def test_a_run_reads_back(runs: Path) -> None:
    run = Run(write_synthetic_run(runs, 1, artefacts=True))
    config = run.config()
    assert config is not None
    assert config.classes == CLASSES
    assert len(run.metrics()) == 20
    assert run.metrics()["epoch"].is_monotonic_increasing
    best_epoch, metrics = run.best()
    values = run.metrics().query("split == 'val'")["macro_f1"]
    assert best_epoch == values.idxmax() // 2 + 1
    assert metrics["val"]["macro_f1"] == values.max()
    assert set(metrics) == {"train", "val"}
    result = run.result()
    assert {"run_id", "run_dir", "state", "best_epoch", "metrics"} <= set(result)
    assert run.notes() == {"name": "synthetic 1", "tags": [], "note": "", "archived": False}
    assert run.version(layout.CONFIG) == run.version(layout.CONFIG) != (0, 0)
    assert run.version("missing") == (0, 0)


@pytest.mark.parametrize("name", FILES)
def test_any_file_may_be_missing_cut_or_garbage(runs: Path, name: str) -> None:
    rng = random.Random(name)
    run_dir = write_synthetic_run(runs, 1, artefacts=True, epochs=3)
    path, run = run_dir / name, Run(run_dir)
    content = path.read_bytes()
    for _ in range(12):
        path.write_bytes(content[: rng.randrange(len(content))])
        read_all(run)
        spot = rng.randrange(len(content))
        path.write_bytes(content[:spot] + rng.randbytes(8) + content[spot + 8 :])
        read_all(run)
    path.write_bytes(b"")
    read_all(run)
    path.unlink()
    read_all(run)
    path.mkdir()
    read_all(run)


def test_an_empty_folder_and_no_folder_read_as_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        read_all(Run(folder))
        assert Run(folder).config() is None
        assert Run(folder).history() is None
        assert Run(folder).cams("val") is None
        assert Run(folder).log_tail() == ""


def test_pickled_code_in_arrays_is_never_run(runs: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (pytest.fail, ("pickled code was run",))

    run_dir = write_synthetic_run(runs, 1)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(run_dir / layout.HISTORY, "w") as archive:
        for key in ("sample_id", "epoch", "prob"):
            archive.writestr(f"{key}.npy", buffer.getvalue())
    assert Run(run_dir).history() is None
    (run_dir / layout.HISTORY).write_bytes(pickle.dumps(Bomb()))
    assert Run(run_dir).history() is None


def test_a_config_of_a_newer_version_is_read_without_its_new_fields(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    newer = {**(read_json(run_dir / layout.CONFIG) or {}), "schema_version": 2, "telepathy": 0.5}
    write_json_atomic(run_dir / layout.CONFIG, newer)
    config = Run(run_dir).config()
    assert config is not None
    assert config.epochs == 10
    assert Run(run_dir).status().state == "completed"
    write_json_atomic(run_dir / layout.CONFIG, {**newer, "model": "resnet9000"})
    assert Run(run_dir).config() is None
    [row] = RunIndex(runs).refresh()
    assert (row.state, row.model) == ("completed", "resnet9000")


def test_what_json_can_not_say_is_nan_again(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "queued")
    (run_dir / layout.METRICS).write_text(
        '{"epoch": 1, "split": "val", "loss": null, "macro_f1": null}\n{"split": "val"}\n{"epoch": 2, "split": "val", '
        '"loss": NaN, "macro_f1": "high"}\n{"epoch": 2, "split": "val", "loss": 0.5, "f1_new": 1}\n'
    )
    metrics = Run(run_dir).metrics()
    assert metrics["epoch"].tolist() == [1, 2]
    assert np.isnan(metrics["loss"][0])
    assert metrics["loss"][1] == 0.5
    assert np.isnan(metrics["macro_f1"]).all()
    assert Run(run_dir).best() == (None, {})


def test_the_log_s_tail(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    (run_dir / layout.LOG).write_bytes(b"\n".join(b"line %d" % i for i in range(20_000)) + b"\n")
    assert Run(run_dir).log_tail(2).strip().split("\n") == ["line 19998", "line 19999"]
    (run_dir / layout.LOG).write_bytes(b"10 %\r50 %\r100 %\r\nd\xffne\r\n")
    assert Run(run_dir).log_tail(9).strip().split("\n") == ["100 %", "d\ufffdne"]
