"""The Run page in every state a run can be in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from explored import finished_run, make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.jobs import submit
from covidviz.store import layout
from covidviz.store import runs as run_store
from covidviz.store.files import write_json_atomic
from covidviz.store.reader import Run
from covidviz.ui import nav
from covidviz.ui.results import measured

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


def page(path: str = nav.RUN, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(path).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    parts = [*at.title, *at.subheader, *at.markdown, *at.error, *at.warning, *at.info, *at.caption, *at.code]
    return plain("\n".join(str(part.value) for part in parts))


def plain(markdown: str) -> str:
    """Without what `md` adds to keep text from being markup."""
    return markdown.replace("\\", "").replace("\u2060", "")


def component(at: AppTest, key: str) -> dict[str, Any]:
    """What the component with this key was given."""
    given = {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}
    return json.loads(given[key])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise")


def test_without_runs_it_says_where_to_begin(runs: Path) -> None:
    at = page()
    assert "no runs yet" in at.info[0].value


@pytest.mark.parametrize("link", ["20260101-000000-x-0000", "../../etc", "<b>![x](http://evil)</b>", ""])
def test_an_unknown_run_is_said_and_others_offered(runs: Path, link: str) -> None:
    write_synthetic_run(runs, 1)
    at = page(run=link)
    if link:
        assert "There is no run" in at.error[0].value
        assert "![x](http" not in at.error[0].value
    assert at.selectbox(key="pick_run").options


def test_the_newest_run_is_shown_without_a_link(runs: Path) -> None:
    write_synthetic_run(runs, 1, name="old")
    write_synthetic_run(runs, 2, name="new")
    assert page().title[0].value == "new"
    assert page(run=next(runs.glob("*-synthetic-1-*")).name).title[0].value == "old"


def test_a_completed_run_shows_its_matrix_and_the_worst_images(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    at = page(run=run.id)
    numbers = measured(run, "val")
    groups = component(at, "matrix")["groups"]
    assert [[cell["n"] for cell in row["cells"]] for row in groups[0]["rows"]] == numbers.confusion["matrix"]
    wrong = sum(numbers.support.values()) - sum(numbers.confusion["matrix"][k][k] for k in range(3))
    assert f"{wrong} wrong image" in texts(at)
    assert len(component(at, "run_gallery")["items"]) == wrong
    metrics = {metric.label: metric.value for metric in at.metric}
    assert metrics["Accuracy"] == f"{numbers.metrics['accuracy']:.3f}"
    assert metrics["Recall of covid19"] == f"{numbers.metrics['recall_covid19']:.3f}"
    table = at.dataframe[0].value.set_index("class")
    assert table.loc["normal", "precision"] == pytest.approx(numbers.metrics["precision_normal"])
    assert table.loc["normal", "images"] == numbers.support["normal"]


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_every_cell_opens_exactly_its_images(runs: Path, data: Path, task: str) -> None:
    run = finished_run(runs, data, task=task, loss="focal")
    at = page(run=run.id, split="test")
    for group in component(at, "matrix")["groups"]:
        for row in group["rows"]:
            for cell in row["cells"]:
                at.query_params["cell"] = cell["id"]
                at.run()
                assert component(at, "matrix")["selected"] == cell["id"]
                if cell["n"]:
                    assert len(component(at, "run_gallery")["items"]) == cell["n"]
                    assert f"**{cell['n']} image" in texts(at)
                else:
                    assert "No image is in this cell" in texts(at)


@pytest.mark.parametrize(
    "params", [{"split": "nope"}, {"cell": "7-7"}, {"cell": "<b>"}, {"cell": "0-tp"}, {"img": "\x00"}]
)
def test_what_a_link_may_not_say_is_ignored(runs: Path, data: Path, params: dict[str, str]) -> None:
    run = finished_run(runs, data)
    at = page(run=run.id, **params)
    assert component(at, "matrix")["selected"] is None
    assert "wrong image" in texts(at)


def test_each_split_has_its_own_matrix_and_a_missing_one_is_not_offered(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    predictions = run.predictions()
    assert predictions is not None
    predictions[predictions["split"] != "test"].to_parquet(run.dir / layout.PREDICTIONS, index=False)
    at = page(run=run.id, split="test")
    control = next(group for group in at.get("button_group") if group.key == "split")
    assert [option.content for option in control.proto.options] == ["Validation (24)", "Train (24)"]
    assert control.value == "val"


def test_a_running_run_shows_curves_progress_and_stop(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "running", epochs=8)
    status = json.loads((run_dir / layout.STATUS).read_text())
    alarm = "![x](http://evil) is never predicted"
    write_json_atomic(run_dir / layout.STATUS, {**status, "alarms": [alarm], "phase": "training"})
    at = page(run=run_dir.name)
    assert "running" in texts(at)
    assert "epoch 4 of 8" in texts(at)
    assert plain(at.warning[0].value) == alarm
    assert "![x](http" not in at.warning[0].value
    loss = component(at, "loss_plot")["figure"]["data"]
    assert [trace["name"] for trace in loss] == ["steps", "train", "validation", "best: 4"]
    assert len(loss[1]["x"]) == 4
    assert "come when the run is completed" in texts(at)
    at.button(key="run_stop").click().run()
    assert (run_dir / layout.STOP).exists()
    assert at.button(key="run_stop").disabled


def test_a_queued_run_that_is_stopped_can_be_resumed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "ensure_scheduler", lambda folder: None)
    run_dir = write_synthetic_run(runs, 1, "queued")
    at = page(run=run_dir.name)
    assert "queued" in texts(at)
    at.button(key="run_stop").click().run()
    assert Run(run_dir).status().state == "stopped"
    assert "made at the end of a run" in texts(at)
    at.button(key="run_resume").click().run()
    assert Run(run_dir).status().state == "queued"
    assert not at.exception


def test_a_failed_run_says_why_first_and_shows_the_end_of_its_log(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, "failed")
    (run_dir / layout.LOG).write_text("first\n" * 500 + "the last line\n")
    at = page(run=run_dir.name)
    assert "loss became not" in at.error[0].value
    assert at.code[0].value.endswith("the last line")
    assert len(at.code[0].value) < 200
    assert at.button(key="run_resume")


@pytest.mark.parametrize("state", ["stopped", "lost"])
def test_an_unfinished_run_can_be_resumed(runs: Path, state: str) -> None:
    at = page(run=write_synthetic_run(runs, 1, state).name)
    assert at.button(key="run_resume").label == "Resume"
    assert bool(at.error) == (state == "lost")


def test_a_broken_directory_is_a_page_like_any_other(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, artefacts=True)
    for name in (layout.CONFIG, layout.STATUS, layout.METRICS, layout.STEPS, layout.PREDICTIONS, layout.NOTES):
        (run_dir / name).write_bytes(b"\x00{")
        assert page(run=run_dir.name)
    for file in run_dir.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert "missing" in page(run=run_dir.name).error[0].value


def test_a_deleted_run_can_be_brought_back(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    run_store.delete_run(run_dir)
    at = page(run=run_dir.name)
    assert "not any more" in at.error[0].value
    at.button(key="restore").click().run()
    assert at.title[0].value == "synthetic 1"
    assert not at.exception


def test_a_hostile_name_stays_text(runs: Path) -> None:
    name = "<script>x</script> ![beacon](http://evil/x.png) [link](http://evil) :red[x] $x$ " + "long " * 30
    at = page(run=write_synthetic_run(runs, 1, name=name[:200]).name)
    title = at.title[0].value
    assert "![" not in title
    assert "](" not in title
    assert len(plain(title)) <= 70


def test_the_images_that_are_gone_are_said_once(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    shutil.rmtree(data)
    at = page(run=run.id)
    assert [warning.value for warning in at.warning] == [
        "The image files of this run are not where they were. Numbers and predictions are kept."
    ]


def test_settings_are_all_there(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 3, loss="focal")
    table = page(run=run_dir.name).dataframe[-1].value.set_index("setting")["value"]
    assert table["Focal gamma"] == "1.5"
    assert table["Learning rate"] == "0.0001"
