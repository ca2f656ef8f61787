"""`predict` on files and folders: line by line for people, one document for programs."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from covidviz import cli
from covidviz.config import TrainConfig
from covidviz.jobs.submit import prepare
from covidviz.store.runs import create_run
from covidviz.store.thresholds import Chosen, save_thresholds


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory, tiny_phantoms: Path) -> Path:
    """A runs folder with one finished run."""
    from covidviz.training.worker import work

    folder = tmp_path_factory.mktemp("runs")
    values = {"data": str(tiny_phantoms), "model": "squeezenet1_1", "weights": "none", "image_size": 64, "epochs": 1,
              "device": "cpu"}  # fmt: skip
    config, _ = prepare(TrainConfig.parse(values))
    assert work(create_run(config, folder, state="running")) == "completed"
    return folder


@pytest.fixture
def images(tiny_phantoms: Path, tmp_path: Path) -> Path:
    """A folder with four images in two folders, one of them broken, and a text."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    found = sorted((tiny_phantoms / "images").rglob("*.png"))
    for name, source in zip(("a.png", "b.png", "deep/c.png"), found, strict=False):
        shutil.copy(source, tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "in" / "readme.txt").write_text("no image")
    return tmp_path / "in"


def call(capsys: pytest.CaptureFixture[str], runs_of: Path, *arguments: object) -> tuple[int, str, str]:
    run = next(path.name for path in runs_of.iterdir() if not path.name.startswith("."))
    code = cli.main(["predict", run, *map(str, arguments), "--runs-dir", str(runs_of)])
    return code, *capsys.readouterr()


def test_a_folder_is_one_document(capsys: pytest.CaptureFixture[str], runs_of: Path, images: Path) -> None:
    code, out, err = call(capsys, runs_of, images, images / "missing.png", "--json")
    assert code == 0
    rows = json.loads(out)
    names = [str(images / name) for name in ("a.png", "b.png", "broken.png", "deep/c.png", "missing.png")]
    assert [row["path"] for row in rows] == names
    assert [row["error"] is None for row in rows] == [True, True, False, True, False]
    for row in rows:
        assert {"path", "prob", "predicted", "error"} == set(row)
        if row["error"] is None:
            assert sum(row["prob"].values()) == pytest.approx(1)
            assert row["predicted"] == max(row["prob"], key=row["prob"].get)
    assert err == ""  # nobody watches


def test_people_get_a_line_for_each_image(capsys: pytest.CaptureFixture[str], runs_of: Path, images: Path) -> None:
    code, out, _ = call(capsys, runs_of, images)
    assert code == 0
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        str(images / name) for name in ("a.png", "b.png", "broken.png", "deep/c.png")
    ]
    assert "covid19 0." in lines[0]
    assert "can't be decoded" in lines[2] or "no image" in lines[2]


def test_lines_come_before_the_next_batch_is_asked_for(
    runs_of: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covidviz.training import inference

    out = io.StringIO()
    seen: list[int] = []

    def rows(run_dir: Path, paths: list[str], *_: object, **__: object) -> object:
        for path in paths:
            seen.append(out.getvalue().count("\n"))
            yield {"path": path, "prob": {"a": 1.0}, "predicted": "a", "error": None}

    monkeypatch.setattr(inference, "predict_images", rows)
    monkeypatch.setattr("sys.stdout", out)
    run = next(path.name for path in runs_of.iterdir() if not path.name.startswith("."))
    assert cli.main(["predict", run, str(images), "--runs-dir", str(runs_of)]) == 0
    assert seen == [0, 1, 2, 3]


def test_a_person_who_watches_sees_a_count(
    capsys: pytest.CaptureFixture[str], runs_of: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    _, out, err = call(capsys, runs_of, images, "--json")
    assert len(json.loads(out)) == 4
    assert "4 of 4 images" in err


def test_folders_without_images_are_named(capsys: pytest.CaptureFixture[str], runs_of: Path, images: Path) -> None:
    (images / "empty").mkdir()
    code, out, err = call(capsys, runs_of, images / "empty", images / "a.png", "--json")
    assert (code, len(json.loads(out))) == (0, 1)
    assert "empty holds no image" in err
    code, out, err = call(capsys, runs_of, images / "empty", "--json")
    assert (code, out) == (2, "")
    assert "accepted: PNG" in err.splitlines()[-1]
    code, out, err = call(capsys, runs_of, images / "broken.png", "--json")
    assert (code, len(json.loads(out))) == (1, 1)
    assert "none of the images can be read" in err


def test_heat_maps_of_a_folder(capsys: pytest.CaptureFixture[str], runs_of: Path, images: Path, tmp_path: Path) -> None:
    code, out, _ = call(capsys, runs_of, images, "--cam", tmp_path / "cams", "--json")
    assert code == 0
    made = [row["cam"] for row in json.loads(out)]
    assert made[2] is None
    assert sorted(Path(path).name for path in made if path) == sorted(p.name for p in (tmp_path / "cams").iterdir())


def test_saved_thresholds_decide(
    capsys: pytest.CaptureFixture[str], runs_of: Path, images: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(runs_of, tmp_path / "copy"))
    run = next(path for path in copy.iterdir() if not path.name.startswith("."))
    save_thresholds(run, {"pneumonia": Chosen(0.0)})
    _, out, _ = call(capsys, copy, images / "a.png", images / "b.png", "--json")
    assert [row["predicted"] for row in json.loads(out)] == ["pneumonia", "pneumonia"]
