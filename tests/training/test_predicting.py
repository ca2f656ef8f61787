"""What the compute worker says about images: the answers themselves, and the process."""

from __future__ import annotations

import base64
import io
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covidviz.data.images import read_image
from covidviz.errors import CovidvizError, DataError, InputError
from covidviz.explain.overlay import common_scale
from covidviz.jobs.compute import DIED, Worker
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.training.inference import Predictor, predict_images
from covidviz.training.predicting import PICTURE, Predicting

Event = dict[str, Any]


@pytest.fixture(scope="module")
def predicting() -> Predicting:
    return Predicting()


def ask(predicting: Predicting, kind: str, run_dir: Path, **more: Any) -> list[Event]:
    events = predicting.events({"kind": kind, "run_dir": str(run_dir), **more})
    return [event for event in events if event is not None]


def look(predicting: Predicting, run_dir: Path, path: Path) -> Event:
    return ask(predicting, "predict", run_dir, path=str(path))[-1]


def test_an_image_gets_what_the_command_line_says(predicting: Predicting, finished: Path, bars: Path) -> None:
    done = look(predicting, finished, bars / "test-00.png")
    [document] = predict_images(finished, [bars / "test-00.png"])
    assert done["event"] == "done"
    assert done["prob"].tolist() == pytest.approx(list(document["prob"].values()), abs=1e-5)
    assert done["size"] == (64, 64)
    assert done["remarks"] == []


def test_heat_maps_and_picture_are_those_of_the_image(predicting: Predicting, finished: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (900, 1800)).astype(np.uint8)).save(tmp_path / "wide.png")
    done = look(predicting, finished, tmp_path / "wide.png")
    with Image.open(io.BytesIO(base64.b64decode(done["picture"]))) as picture:
        assert (picture.format, picture.size) == ("WEBP", (PICTURE, PICTURE // 2))
    grey = np.array(read_image(tmp_path / "wide.png").resize((64, 64), Image.Resampling.BILINEAR))[None]
    raw = Predictor.of(finished).maps(grey)[0]
    heat = done["heat"]
    values = np.frombuffer(base64.b64decode(heat["values"]), np.uint8).reshape(-1, heat["h"], heat["w"])
    logged = [cams.scale for split in layout.SPLITS if (cams := Run(finished).cams(split)) is not None]
    full = common_scale(*logged)
    np.testing.assert_allclose(values / 255 * np.array(heat["scale"])[:, None, None] * full, raw, atol=raw.max() / 250)


def test_near_takes_what_predict_gave(predicting: Predicting, finished: Path, bars: Path) -> None:
    vectors = [look(predicting, finished, bars / name)["vector"] for name in ("train-00.png", "test-01.png")]
    done = ask(predicting, "near", finished, vectors=vectors)[-1]
    assert done["event"] == "done"
    assert done["of"] == 9
    own = Run(finished).samples().set_index("path")["sample_id"]["train-00.png"]
    assert done["answers"][0]["nearest"][0]["sample_id"] == own
    assert done["answers"][0]["nearest"][0]["distance"] < 1e-5
    assert {"nearest", "distance", "nearer", "beyond", "twin"} == set(done["answers"][1])


def test_remarks_on_how_a_file_was_understood(predicting: Predicting, finished: Path, tmp_path: Path) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80)).astype(np.uint8))
    grey.save(tmp_path / "moving.gif", save_all=True, append_images=[grey.rotate(90), grey.rotate(180)])
    grey.save(tmp_path / "still.gif")
    Image.new("L", (80, 80), 7).save(tmp_path / "blank.png")
    grey.crop((0, 0, 30, 70)).save(tmp_path / "small.png")
    said = {path.name: look(predicting, finished, path)["remarks"] for path in tmp_path.iterdir() if path.is_file()}
    assert said["still.gif"] == []
    assert "several pictures" in said["moving.gif"][0]
    assert "blank" in said["blank.png"][0]
    assert "30 x 70" in said["small.png"][0]


def test_an_image_that_cant_be_read_is_told_without_its_place(
    predicting: Predicting, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "image").write_text("no image")
    with pytest.raises(DataError, match=r"^the file is no image"):
        look(predicting, finished, tmp_path / "image")


def test_errors_of_the_run_say_so(predicting: Predicting, finished: Path, bars: Path, tmp_path: Path) -> None:
    gone = look(predicting, tmp_path / "gone", bars / "test-00.png")
    assert (gone["event"], gone["about"]) == ("error", "run")
    copy = Path(shutil.copytree(finished, tmp_path / finished.name))
    (copy / layout.BEST).unlink()
    assert "no best epoch" in look(predicting, copy, bars / "test-00.png")["message"]
    shutil.copy(finished / layout.BEST, copy / layout.BEST)
    (copy / layout.SAMPLES).unlink()
    vector = look(predicting, copy, bars / "test-00.png")["vector"]
    near = ask(predicting, "near", copy, vectors=[vector])[-1]
    assert (near["event"], near["about"]) == ("error", "run")
    assert "samples" in near["message"]


@pytest.mark.parametrize(
    "vectors", [None, [], ["?"], [7], ["AAAA"], ["AACAfw=="], ["AAAAAA=="] * 300, ["AAAA", "AAAAAAAA"]]
)
def test_vectors_that_are_none_are_refused(predicting: Predicting, finished: Path, vectors: object) -> None:
    with pytest.raises(InputError):
        ask(predicting, "near", finished, vectors=vectors)


def test_the_process_answers_lives_on_and_is_started_again(
    finished: Path, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    worker = Worker()
    try:

        def end(kind: str, **request: Any) -> Event:
            return list(worker.ask(kind, "s", run_dir=str(finished), **request))[-1]

        done = end("predict", path=str(bars / "test-00.png"))
        assert sum(done["prob"]) == pytest.approx(1, abs=1e-5)
        assert end("predict", path=str(tmp_path / "broken.png"))["event"] == "error"
        assert end("near", vectors=[done["vector"]])["of"] == 9
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGSTOP)
        job = worker.ask("predict", "s", run_dir=str(finished), path=str(bars / "test-00.png"))
        os.kill(worker.pid, signal.SIGKILL)
        assert job.read(120) == {"event": "error", "message": DIED}
        assert end("predict", path=str(bars / "test-00.png"))["prob"] == done["prob"]
    except CovidvizError as error:
        pytest.fail(str(error))
    finally:
        worker.end()
