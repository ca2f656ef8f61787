"""The view "Where it looks" of the Run page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored import finished_run
from streamlit.testing.v1 import AppTest

from covidviz.explain.dependence import Dependence, Step, write
from covidviz.explain.masks import find_masks
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import nav, tasks

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


def page(run: Run, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update({"run": run.id, "view": "heat", **params})
    at.switch_page(nav.RUN).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    parts = [*at.subheader, *at.markdown, *at.error, *at.info, *at.caption]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def table(at: AppTest) -> dict[str, Any]:
    given = {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}
    return json.loads(given["heat_shares"])


@pytest.fixture
def run(runs: Path, tmp_path: Path, tiny_phantoms: Path) -> Run:
    return finished_run(runs, shutil.copytree(tiny_phantoms, tmp_path / "data" / "phantoms"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda name, *arguments: asked.append(arguments))
    return asked


def test_border_and_corners_at_once_lungs_on_demand(run: Run, started: list[tuple[str, ...]]) -> None:
    at = page(run)
    assert [column["key"] for column in table(at)["columns"]] == ["border", "corners"]
    at.button(key="find_lungs").click().run()
    assert started == [("masks", str(run.dir), "val")]
    find_masks(run, "val")
    at.run()
    assert [column["key"] for column in table(at)["columns"]] == ["lungs", "border", "corners", "lesion", "pointing"]
    assert "12 lung masks come with the dataset." in texts(at)
    assert "Of the heat:" in texts(at)
    assert not [button for button in at.button if button.key == "find_lungs"]
    rows = table(at)["rows"]
    assert rows[0]["name"] == "all images"
    assert rows[0]["images"] == [12]
    at.segmented_control(key="heat_map_of").set_value("true").run()
    assert table(at)["rows"][0]["runs"] != rows[0]["runs"]


def test_work_in_progress_and_failure_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(True, "40 %", None) if "masks" in name else None)
    at = page(run)
    assert not [button for button in at.button if button.key == "find_lungs"]
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(False, "x", "all is <b>lost</b>"))
    at = page(run)
    assert "The lungs could not be found: all is <b>lost</b>" in texts(at)
    assert "It could not be checked: all is <b>lost</b>" in texts(at)
    assert at.button(key="find_lungs")


def test_a_split_without_maps_says_so(run: Run) -> None:
    at = page(run, split="train")
    assert "There are no heat maps of train" in texts(at)
    shutil.rmtree(run.dir / layout.CAMS)
    at = page(run)
    assert "There are no heat maps of validation" in texts(at)
    assert "Do the heat maps depend" in texts(at)


def test_maps_of_other_images_than_the_predictions(run: Run) -> None:
    import numpy as np

    file = run.dir / layout.CAMS / "val.npz"
    with np.load(file) as loaded:
        kept = dict(loaded)
    np.savez(file, **{**kept, "sample_id": np.array([f"x{k}" for k in range(12)])})
    assert "None of the images of this split has both" in texts(page(run))


def test_the_sanity_check_and_its_badge(run: Run, started: list[tuple[str, ...]]) -> None:
    at = page(run)
    assert at.button(key="check_sanity").disabled
    assert "It needs the weights of this run" in texts(at)
    (run.dir / layout.CHECKPOINTS).mkdir(exist_ok=True)
    (run.dir / layout.BEST).write_bytes(b"weights")
    at = page(run)
    at.button(key="check_sanity").click().run()
    assert started == [("sanity", str(run.dir))]
    epoch, _ = run.best()
    for last, word in ((0.1, "✓ yes"), (0.5, "~ partly"), (0.9, "✕ no")):
        steps = (Step("fc", 0.5, 0.4, 0.6), Step("conv1", last, last, last))
        write(run, Dependence("grad-cam", "layer4", epoch, 24, 0, steps))
        at = page(run)
        assert word in texts(at)
        assert f"{last:.2f} once every layer is" in texts(at)


def test_maps_of_few_points_say_nothing_about_the_border(run: Run) -> None:
    path = run.dir / layout.CAMS / "val.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["maps"] = arrays["maps"][..., :2, :2]
    np.savez(path, **arrays)
    said = texts(page(run))
    assert "2 x 2 points, too few" in said
    assert "Of the heat" not in said
