"""The Images page: filters, order, the image in the link, and every caption with its own numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from explored import finished_run, make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.paths import PROJECT
from covidviz.store.reader import Run
from covidviz.ui import nav
from covidviz.ui.results import measured

MAIN = PROJECT / "covidviz" / "ui" / "main.py"


def page(**params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(nav.IMAGES).run()
    assert not at.exception
    return at


def component(at: AppTest, key: str) -> dict[str, Any]:
    given = {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}
    return json.loads(given[key])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise")


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return finished_run(runs, data)


def check_captions(run: Run, items: list[dict[str, Any]], split: str) -> None:
    """Each shown image carries the numbers of its own row (the course's reports mixed them up)."""
    samples, predictions = run.samples(), run.predictions()
    assert samples is not None
    assert predictions is not None
    known, said = samples.set_index("sample_id"), predictions.set_index("sample_id")
    classes = ("covid19", "normal", "pneumonia")
    for item in items:
        assert known.loc[item["id"], "split"] == split
        assert item["p"] == pytest.approx([float(said.loc[item["id"], f"prob_{name}"]) for name in classes], abs=1e-4)
        assert item["y"] == [int(known.loc[item["id"], f"label_{name}"]) for name in classes]
        assert dict(item["facts"])["file"] == known.loc[item["id"], "path"]


@pytest.mark.parametrize("split", ["val", "test", "train"])
@pytest.mark.parametrize("order", ["worst", "best", "all"])
def test_every_order_shows_the_right_images_with_their_own_numbers(run: Run, split: str, order: str) -> None:
    at = page(run=run.id, split=split, order=order)
    items = component(at, "gallery")["items"]
    check_captions(run, items, split)
    numbers = measured(run, split)
    right = sum(numbers.confusion["matrix"][k][k] for k in range(3))
    n = sum(numbers.support.values())
    assert len(items) == {"worst": n - right, "best": right, "all": n}[order]
    assert {item["right"] for item in items} == {"worst": {False}, "best": {True}, "all": {True, False}}[order]
    assert component(at, "viewer")["selected"] == items[0]["id"]


def test_the_worst_has_the_highest_loss_of_all_wrong_ones(run: Run) -> None:
    losses = [float(dict(item["facts"])["loss"]) for item in component(page(run=run.id), "gallery")["items"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) > 1


def test_a_link_restores_split_order_class_and_image(run: Run) -> None:
    link = {"run": run.id, "split": "test", "order": "all", "cls": "normal"}
    ids = [item["id"] for item in component(page(**link), "gallery")["items"]]
    again = page(**link, img=ids[3])
    assert component(again, "viewer")["selected"] == component(again, "gallery")["selected"] == ids[3]
    assert [item["id"] for item in component(again, "gallery")["items"]] == ids
    assert again.selectbox(key="which").value == "cls normal"


def test_a_cell_shows_as_many_images_as_it_counts(run: Run) -> None:
    matrix = measured(run, "val").confusion["matrix"]
    for i in range(3):
        for j in range(3):
            at = page(run=run.id, cell=f"{i}-{j}")
            if matrix[i][j]:
                items = component(at, "gallery")["items"]
                assert len(items) == matrix[i][j]
                check_captions(run, items, "val")
            else:
                assert "No image fits" in at.info[0].value


def test_the_widgets_write_the_link(run: Run) -> None:
    at = page(run=run.id)
    at.selectbox(key="which").set_value("cell 0-0").run()
    assert at.query_params["cell"] == "0-0"
    assert at.query_params["order"] == "all"
    at.selectbox(key="which").set_value("cls pneumonia").run()
    assert "cell" not in at.query_params
    assert at.query_params["cls"] == "pneumonia"
    next(group for group in at.get("button_group") if group.key == "order").set_value("best").run()
    assert at.query_params["order"] == "best"
    assert {item["right"] for item in component(at, "gallery")["items"]} == {True}
    assert not at.exception


def test_multi_label_judges_the_chosen_label(runs: Path, data: Path) -> None:
    run = finished_run(runs, data, 3, task="multi-label", loss="bce")
    at = page(run=run.id, cls="covid19", order="worst")
    items = component(at, "gallery")["items"]
    assert items
    assert all(item["y"][0] == 1 and item["p"][0] < 0.5 and not item["right"] for item in items)
    cell = component(page(run=run.id, cell="0-fn"), "gallery")["items"]
    assert {item["id"] for item in cell} == {item["id"] for item in items}
    check_captions(run, cell, "val")


def test_pages_of_sixty_follow_the_image_in_the_link(runs: Path, tmp_path: Path) -> None:
    run = finished_run(runs, make_dataset(tmp_path / "data" / "many", 400))
    at = page(run=run.id, order="all", split="val")
    first = component(at, "gallery")
    assert len(first["items"]) == 60
    assert first["total"] == sum(measured(run, "val").support.values())
    second = page(run=run.id, order="all", split="val", img=first["after"])
    assert component(second, "viewer")["selected"] == first["after"] == component(second, "gallery")["items"][0]["id"]
    assert component(second, "gallery")["before"] == first["items"][-1]["id"]
    check_captions(run, component(second, "gallery")["items"], "val")


@pytest.mark.parametrize(
    "params", [{"img": "nope"}, {"cls": "<b>"}, {"order": "x"}, {"split": "../"}, {"cell": "99-99"}, {"cell": "0-fn"}]
)
def test_what_a_link_may_not_say_is_ignored(run: Run, params: dict[str, str]) -> None:
    assert component(page(run=run.id, **params), "gallery")["items"]


def test_a_run_without_predictions_says_so_and_shows_the_way(runs: Path) -> None:
    at = page(run=write_synthetic_run(runs, 1, "running").name)
    assert "when it is completed" in at.info[0].value
    assert not at.get("bidi_component")


def test_without_a_link_the_newest_completed_run_is_shown(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    write_synthetic_run(runs, 2, "queued")
    assert component(page(), "gallery")["base"] == f"/img/{run.id}/"


def test_deleted_images_leave_captions(run: Run, data: Path) -> None:
    shutil.rmtree(data)
    at = page(run=run.id)
    assert "not where they were" in at.warning[0].value
    assert all(item["v"] is None and item["what"] for item in component(at, "gallery")["items"])


@pytest.mark.parametrize("path", [nav.RUN, nav.IMAGES])
def test_a_fresh_process_shows_the_page_without_torch(run: Run, path: str) -> None:
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
at = AppTest.from_file({str(MAIN)!r}, default_timeout=60)
at.query_params["run"] = {run.id!r}
at.switch_page({path!r}).run()
assert not at.exception and at.get("bidi_component")
print([name for name in ("torch", "torchvision", "sklearn", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
