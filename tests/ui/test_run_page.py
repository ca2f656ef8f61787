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
from covidviz.jobs.queue import enqueue
from covidviz.store import layout
from covidviz.store import runs as run_store
from covidviz.store.files import write_json_atomic
from covidviz.store.reader import Run
from covidviz.ui import nav, server
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
    rows = {row["name"]: row for row in component(at, "per_class")["rows"]}
    assert rows["normal"]["precision"]["value"] == pytest.approx(numbers.metrics["precision_normal"])
    assert rows["normal"]["recall"]["low"] < rows["normal"]["recall"]["value"] < rows["normal"]["recall"]["high"]
    assert rows["normal"]["f1"]["value"] == pytest.approx(numbers.metrics["f1_normal"])
    assert rows["normal"]["images"] == numbers.support["normal"]


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
    assert [trace["name"] for trace in loss] == ["each step", "train", "validation", "best: 4"]
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
    assert "learning rate ten times smaller" in at.info[0].value
    order = [node.type for node in at.main if node.type in ("title", "error", "code", "info", "bidi_component")]
    assert order[:4] == ["title", "error", "code", "info"]
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


def test_settings_are_those_that_differ_from_the_defaults_or_all(runs: Path) -> None:
    at = page(run=write_synthetic_run(runs, 3, loss="focal").name)
    table = at.dataframe[-1].value.set_index("setting")
    assert table.loc["Focal gamma", ["this run", "default"]].tolist() == ["1.5", "2"]
    assert table.loc["Learning rate", "this run"] == "0.0001"
    assert not {"Dataset", "Momentum", "Learning rate of the backbone"} & set(table.index)
    at.toggle(key="settings_all").set_value(True).run()
    assert {"Dataset", "Momentum"} <= set(at.dataframe[-1].value["setting"])


def test_settings_beside_those_of_another_run(runs: Path) -> None:
    run, other = (write_synthetic_run(runs, i, name=f"{i}", loss="cross_entropy", model="vgg16").name for i in (1, 2))
    at = page(run=run)
    assert run not in at.selectbox(key="settings_other").options
    at.selectbox(key="settings_other").set_value(other).run()
    table = at.dataframe[-1].value.set_index("setting")
    assert table.loc["Seed", ["this run", "default", "other run"]].tolist() == ["1", "0", "2"]
    assert "Network" not in table.index  # both differ from the default, but not from each other


def open_tab(at: AppTest, title: str) -> AppTest:
    at.session_state["run_tabs"] = title
    at.run()
    assert not at.exception
    return at


def test_only_the_end_of_a_long_log_is_sent(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    (run_dir / layout.LOG).write_text("".join(f"line {i} <b>![x](http://evil)</b>\n" for i in range(20_000)))
    given = component(open_tab(page(run=run_dir.name), "Log"), "run_log")
    assert given["lines"][-1] == "line 19999 <b>![x](http://evil)</b>"
    assert (len(given["lines"]), given["cut"], given["live"]) == (3000, True, False)


def test_the_machine_is_shown_where_it_was_recorded(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    assert "No load of the machine" in texts(open_tab(page(run=run_dir.name), "CPU, GPU, memory"))
    rows = [{"time": 100.0 + 5 * i, "cpu_percent": 50, "memory_mb": 2048, "gpu_percent": 80} for i in range(9)]
    (run_dir / layout.SYSTEM).write_text("".join(json.dumps(row) + "\n" for row in rows))
    at = open_tab(page(run=run_dir.name), "CPU, GPU, memory")
    load, memory = (component(at, key)["figure"]["data"] for key in ("load_Load", "load_Memo"))
    assert [trace["name"] for trace in load] == ["CPU", "GPU"]
    assert memory[0]["y"] == [2.0] * 9


def test_notes_are_saved_and_those_of_two_people_kept_apart(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, tags=("a", "b"))
    mine, theirs = (open_tab(page(run=run_dir.name), "Notes") for _ in range(2))
    note, tags = f"notes_note_{run_dir.name}", f"notes_tags_{run_dir.name}"

    def save(at: AppTest, text: str, words: str, button: str = "notes_save") -> None:
        at.text_area(key=note).set_value(text)
        at.text_input(key=tags).set_value(words)
        at.button(key=button).click().run()
        assert not at.exception

    save(theirs, "theirs", "b, new")
    save(mine, "mine", "a, b, x")
    kept = Run(run_dir).notes()
    assert kept["note"] == "theirs"
    assert sorted(kept["tags"]) == ["b", "new", "x"]
    assert "Somebody saved something else" in texts(mine)
    assert mine.text_area(key=note).value == "mine"  # what was typed is not lost
    mine.button(key="notes_mine").click().run()
    assert Run(run_dir).notes()["note"] == "mine"
    assert not mine.warning
    theirs.run()  # had nothing unsaved: shows what is saved
    assert theirs.text_area(key=note).value == "mine"
    save(mine, "", "b")
    assert Run(run_dir).notes()["note"] == ""


def test_a_conflict_may_end_with_theirs(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    at = open_tab(page(run=run_dir.name), "Notes")
    run_store.edit_notes(run_dir, note="theirs")
    at.text_area(key=f"notes_note_{run_dir.name}").set_value("mine").run()
    at.button(key="notes_theirs").click().run()
    assert at.text_area(key=f"notes_note_{run_dir.name}").value == "theirs"
    assert not at.warning
    assert Run(run_dir).notes()["note"] == "theirs"


def test_the_look_of_the_curves_is_chosen_above_them(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, epochs=8)
    at = page(run=run_dir.name)
    at.multiselect(key="run_measures").set_value(["Accuracy", "Recall of covid19"]).run()
    at.slider(key="curves_smoothing").set_value(0.6)
    at.session_state["curves_x"], at.session_state["curves_log"] = "time", ["loss"]
    at.run()
    loss, metric = (component(at, key)["figure"] for key in ("loss_plot", "metric_plot"))
    assert loss["layout"]["yaxis"]["type"] == "log"
    assert loss["layout"]["xaxis"]["title"]["text"] == "time trained, s"
    shown = {trace["uid"]: trace for trace in metric["data"]}
    assert set(shown) == {f"{column} {split}{raw}" for column in ("accuracy", "recall_covid19")
                          for split in ("train", "val") for raw in ("", " raw")} | {"best"}  # fmt: skip
    assert shown["accuracy train"]["x"] == [10.0 * epoch for epoch in range(1, 9)]
    at.switch_page(nav.RUNS).run()
    at.query_params["run"] = run_dir.name
    at.switch_page(nav.RUN).run()
    assert at.slider(key="curves_smoothing").value == 0.6  # remembered
    assert at.multiselect(key="run_measures").value == ["Accuracy", "Recall of covid19"]


def test_a_queued_run_says_where_it_stands(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ensure_scheduler", lambda folder: None)
    first, second = (write_synthetic_run(runs, i, "queued") for i in (1, 2))
    for run_dir in (first, second):
        enqueue(run_dir)
    assert "1 run before it" in progress(page(run=second.name))
    assert "next in the queue" in progress(page(run=first.name))


def progress(at: AppTest) -> str:
    return " ".join(node.proto.text for node in at.get("progress"))


@pytest.mark.parametrize("n", [1, 2, 20])
def test_any_number_of_classes_and_images(runs: Path, n: int) -> None:
    classes = ("covid19", "normal") if n == 1 else tuple(f"class {i}" for i in range(n))
    run_dir = write_synthetic_run(runs, 1, artefacts=True, n=4 if n == 1 else 40, classes=classes)
    at = page(run=run_dir.name, cell="0-0")
    assert len(component(at, "per_class")["rows"]) == len(classes)
    assert sum(row["images"] for row in component(at, "per_class")["rows"]) == (1 if n == 1 else 10)


def test_a_run_that_vanishes_under_an_open_page(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    at = page(run=run.id)
    shutil.rmtree(run.dir)
    at.run()
    assert not at.exception
    assert "There is no run" in at.error[0].value
