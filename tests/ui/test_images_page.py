"""The Images page: filters, order, the image in the link, and every caption with its own numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from explored import finished_run, make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.evaluation.ranking import ORDERS
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import nav, tasks
from covidviz.ui.image_query import Query, rows_of
from covidviz.ui.results import measured

CLASSES = ("covid19", "normal", "pneumonia")
HOSTILE = "<b>![x](http://evil.example/c.png)</b>"
MAIN = PROJECT / "covidviz" / "ui" / "main.py"


def page(**params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(nav.IMAGES).run()
    assert not at.exception
    return at


def components(at: AppTest) -> dict[str, str]:
    return {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}


def component(at: AppTest, key: str) -> dict[str, Any]:
    return json.loads(components(at)[key])


def sentence(at: AppTest) -> str:
    return next(text.value for text in at.markdown if text.value.startswith("**"))


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
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_shows_the_right_images_with_their_own_numbers(run: Run, split: str, order: str) -> None:
    at = page(run=run.id, split=split, order=order)
    items = component(at, "gallery")["items"]
    check_captions(run, items, split)
    numbers = measured(run, split)
    right = sum(numbers.confusion["matrix"][k][k] for k in range(3))
    n = sum(numbers.support.values())
    assert len(items) == {"worst": n - right, "best": right}.get(order, n)
    assert {item["right"] for item in items} == {"worst": {False}, "best": {True}}.get(order, {True, False})
    assert component(at, "gallery")["opened"] is None


def test_the_worst_has_the_highest_loss_of_all_wrong_ones(run: Run) -> None:
    losses = [float(dict(item["facts"])["loss"]) for item in component(page(run=run.id), "gallery")["items"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) > 1


def test_a_link_restores_split_order_class_and_image(run: Run) -> None:
    link = {"run": run.id, "split": "test", "order": "all", "cls": "normal"}
    ids = [item["id"] for item in component(page(**link), "gallery")["items"]]
    again = page(**link, img=ids[3])
    assert component(again, "gallery")["opened"] == {"id": ids[3], "at": 3}
    assert [item["id"] for item in component(again, "gallery")["items"]] == ids
    assert again.selectbox(key="pick_true").value == "normal"


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
            assert (at.selectbox(key="pick_true").value, at.selectbox(key="pick_predicted").value) == (
                CLASSES[i],
                CLASSES[j],
            )


def test_the_widgets_write_the_link(run: Run) -> None:
    at = page(run=run.id)
    at.selectbox(key="pick_true").set_value("covid19").run()
    assert at.query_params["cls"] == "covid19"
    assert at.query_params["order"] == "worst"
    at.selectbox(key="pick_predicted").set_value("covid19").run()
    assert at.query_params["cell"] == "0-0"  # both together are a cell of the matrix
    assert at.query_params["order"] == "all"
    assert "cls" not in at.query_params
    at.selectbox(key="pick_predicted").set_value("").run()
    at.selectbox(key="pick_true").set_value("pneumonia").run()
    assert "cell" not in at.query_params
    assert at.query_params["cls"] == "pneumonia"
    next(group for group in at.get("button_group") if group.key == "order").set_value("best").run()
    assert at.query_params["order"] == "best"
    assert {item["right"] for item in component(at, "gallery")["items"]} == {True}
    at.button(key="clear_filters").click().run()
    assert "cls" not in at.query_params
    assert at.query_params["order"] == "best"
    assert not at.exception


def test_a_random_order_is_in_the_link_and_can_be_shuffled_again(run: Run) -> None:
    at = page(run=run.id, order="random", seed="4", split="train")
    ids = [item["id"] for item in component(at, "gallery")["items"]]
    again = page(run=run.id, order="random", seed="4", split="train")
    assert [item["id"] for item in component(again, "gallery")["items"]] == ids
    at.button(key="shuffle").click().run()
    assert at.query_params["seed"] != "4"
    shuffled = [item["id"] for item in component(at, "gallery")["items"]]
    assert shuffled != ids
    assert sorted(shuffled) == sorted(ids)
    assert "in random order" in sentence(at)


def test_the_sentence_says_what_is_shown(run: Run) -> None:
    assert "**24 images** of test, the most uncertain first" in sentence(
        page(run=run.id, split="test", order="uncertain")
    )
    some = sentence(page(run=run.id, cls="covid19", pred=HOSTILE, order="all"))
    assert some.endswith("of validation\\: true covid19, highest loss first")
    cell = sentence(page(run=run.id, cell="1-2", order="random"))
    assert "true normal, predicted pneumonia, in random order" in cell


def test_the_source_is_a_filter_where_there_are_several(runs: Path, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data" / "sources")
    labels = pd.read_csv(data / "labels.csv")
    labels["source"] = [HOSTILE if k % 2 else "plain" for k in range(len(labels))]
    labels.to_csv(data / "labels.csv", index=False)
    run = finished_run(runs, data, 4)
    at = page(run=run.id, order="all")
    at.selectbox(key="pick_source").set_value(HOSTILE).run()
    assert at.query_params["source"] == HOSTILE
    items = component(at, "gallery")["items"]
    assert {dict(item["facts"])["source"] for item in items} == {HOSTILE}
    assert "<b>" not in sentence(at).replace("\\<b\\>", "")


def test_an_image_of_the_link_that_is_not_here_is_said_and_can_be_shown(run: Run) -> None:
    samples = run.samples()
    assert samples is not None
    other = samples.loc[samples["split"] == "test", "sample_id"].iloc[0]
    at = page(run=run.id, split="val", img=other)
    assert component(at, "gallery")["opened"] is None
    assert f"Image {other} is not among these" in " ".join(note.value for note in at.caption)
    at.button(key="show_img").click().run()
    assert at.query_params["split"] == "test"
    assert component(at, "gallery")["opened"]["id"] == other
    at = page(run=run.id, img="nope", cell="9-9", cls="<b>")
    notes = " ".join(note.value for note in at.caption)
    assert "no image nope" in notes
    assert "no cell 9" in notes
    assert "no class \\<b\\>" in notes


def test_images_without_a_map_can_be_explained_where_the_weights_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert component(page(run=run.id, split="val"), "gallery")["explain"] == {
        "missing": 0, "weights": False, "task": None
    }  # fmt: skip
    without = component(page(run=run.id, split="train", order="all"), "gallery")
    assert without["explain"] == {"missing": without["total"], "weights": False, "task": None}
    (run.dir / layout.CHECKPOINTS).mkdir()
    (run.dir / layout.BEST).write_bytes(b"x")
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(True, "40 %", None))
    busy = component(page(run=run.id, split="train"), "gallery")["explain"]
    assert busy["weights"] is True
    assert busy["task"] == {"busy": True, "line": "40 %", "share": 0.4, "failed": None}
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(False, "gone", "the weights are gone"))
    assert component(page(run=run.id, split="train"), "gallery")["explain"]["task"]["failed"] == "the weights are gone"
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(False, "100 %", None))
    assert component(page(run=run.id, split="train"), "gallery")["explain"]["task"] is None


def test_multi_label_judges_the_chosen_label(runs: Path, data: Path) -> None:
    run = finished_run(runs, data, 3, task="multi-label", loss="bce")
    at = page(run=run.id, cls="covid19", order="worst")
    items = component(at, "gallery")["items"]
    assert items
    assert all(item["y"][0] == 1 and item["p"][0] < 0.5 and not item["right"] for item in items)
    cell = component(page(run=run.id, cell="0-fn"), "gallery")["items"]
    assert {item["id"] for item in cell} == {item["id"] for item in items}
    check_captions(run, cell, "val")
    at.selectbox(key="pick_cell").set_value("1-tn").run()
    assert at.query_params["cell"] == "1-tn"
    assert "cls" not in at.query_params
    assert all(item["y"][1] == item["d"][1] == 0 for item in component(at, "gallery")["items"])


def test_pages_of_sixty_follow_the_image_in_the_link(runs: Path, tmp_path: Path) -> None:
    run = finished_run(runs, make_dataset(tmp_path / "data" / "many", 400))
    at = page(run=run.id, order="all", split="val")
    first = component(at, "gallery")
    assert len(first["items"]) == 60
    assert first["total"] == sum(measured(run, "val").support.values())
    rows = rows_of(run, Query("val", "all"))
    wanted = rows["sample_id"].iloc[60]
    second = component(page(run=run.id, order="all", split="val", img=wanted), "gallery")
    assert (second["offset"], second["opened"]) == (60, {"id": wanted, "at": 60})
    assert [item["id"] for item in second["items"]] == rows["sample_id"].iloc[60:120].tolist()
    check_captions(run, second["items"], "val")


@pytest.mark.parametrize(
    "params", [{"img": "nope"}, {"cls": "<b>"}, {"order": "x"}, {"split": "../"}, {"cell": "99-99"}, {"cell": "0-fn"}]
)
def test_what_a_link_may_not_say_is_ignored(run: Run, params: dict[str, str]) -> None:
    assert component(page(run=run.id, **params), "gallery")["items"]


@pytest.mark.parametrize(
    ("state", "words"),
    [("running", "when it is completed"), ("stopped", "Resume"), ("lost", "Resume"), ("failed", "failed before")],
)
def test_a_run_without_predictions_says_why_and_shows_the_way(runs: Path, state: str, words: str) -> None:
    at = page(run=write_synthetic_run(runs, 1, state).name)
    assert words in at.info[0].value
    assert "gallery" not in components(at)
    assert at.get("page_link")


def test_a_split_without_mistakes_is_good_news(run: Run) -> None:
    predictions, samples = run.predictions(), run.samples()
    assert predictions is not None
    assert samples is not None
    for name in CLASSES:
        predictions[f"prob_{name}"] = samples[f"label_{name}"].astype("float32")
    predictions.to_parquet(run.dir / layout.PREDICTIONS, index=False)
    at = page(run=run.id, order="worst")
    assert "No image of this split is wrong" in at.success[0].value
    at = page(run=run.id, order="worst", cls="normal")
    at.button(key="show_all").click().run()
    assert at.query_params["order"] == "all"
    assert component(at, "gallery")["items"]


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
