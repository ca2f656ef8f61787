"""The New run page: every setting, what a link holds, what is refused, and Train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from explored import make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.catalog import LOSSES, MODELS
from covidviz.config import TrainConfig
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs
from covidviz.ui import fields, nav, queries, tasks
from covidviz.ui.new_run import summary

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


@pytest.fixture
def data(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=36)


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.jobs.repeat.ensure_scheduler", lambda runs_dir: None)


def page(values: dict[str, Any] | str | None = None, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    if values is not None:
        params["s"] = values if isinstance(values, str) else json.dumps(values)
    at.query_params.update(params)
    at.switch_page(nav.NEW_RUN).run()
    assert not at.exception
    return at


def run(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception
    return at


def link(at: AppTest) -> dict[str, Any]:
    given = at.query_params["s"]
    return json.loads(given if isinstance(given, str) else given[0])


def plain(at: AppTest) -> str:
    parts = [*at.markdown, *at.error, *at.info, *at.caption, *at.toast]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def component(at: AppTest, key: str) -> dict[str, Any]:
    """What a component of ours was given to draw."""
    found = [one.proto for one in at.get("bidi_component") if one.proto.id.endswith(f"-{key}")]
    assert len(found) == 1, [one.proto.id for one in at.get("bidi_component")]
    return json.loads(found[0].json)


def keys(at: AppTest) -> set[str]:
    kinds = (
        at.text_input, at.selectbox, at.slider, at.select_slider, at.number_input, at.toggle, at.multiselect,
        at.button_group, at.get("segmented_control"),
    )  # fmt: skip
    return {widget.key for kind in kinds for widget in kind if widget.key}


def test_every_setting_has_its_field(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "loss": "focal", "focal_alpha": 0.5, "schedule": "step", "lr_steps": "2:1e-3"})
    shown = keys(at)
    for name in TrainConfig.model_fields:
        if name == "head":  # chosen in the drawing, which tests/browser/test_new_run.py drives
            continue
        assert any(key.startswith(f"new_{name}") for key in shown), f"{name} can't be set"
    assert set(fields.LABELS) == set(TrainConfig.model_fields)


def test_nothing_chosen_yet(runs: Path, data: Path) -> None:
    at = page()
    assert at.button("new_train").disabled
    assert not at.error
    assert "Choose a dataset" in plain(at)
    assert "noise (data)" in at.selectbox("new_data").options


def test_a_dataset_shows_its_classes_and_counts(runs: Path, data: Path) -> None:
    at = page()
    at.selectbox("new_data").set_value(str(data))
    run(at)
    assert link(at) == {"data": str(data)}
    shown = component(at, "new_dataset")
    assert [row["name"] for row in shown["classes"]] == ["covid19", "normal", "pneumonia"]
    assert shown["splits"] == ["train", "val", "test"]
    assert shown["totals"] == [12, 12, 12]
    assert all(row["counts"] == [4, 4, 4] and len(row["ids"]) == 4 for row in shown["classes"])
    assert not at.button("new_train").disabled


@pytest.mark.parametrize("path", ["/nowhere/at/all", "![](http://evil.test)", "\0"])
def test_a_missing_dataset_is_one_sentence_beside_it(runs: Path, path: str) -> None:
    at = page({"data": path})
    assert len(at.error) == 1
    assert at.button("new_train").disabled


def test_a_dataset_with_one_class_says_so(runs: Path, folders: Path) -> None:
    table = "path,label\n" + "".join(f"{i}.png,normal\n" for i in range(5))
    (folders / "one").mkdir()
    for i in range(5):
        (folders / "one" / f"{i}.png").touch()
    (folders / "one" / "labels.csv").write_text(table)
    at = page({"data": str(folders / "one")})
    assert "one class only" in plain(at)


def test_settings_go_into_the_link_and_come_back(runs: Path, data: Path) -> None:
    at = page({"data": str(data)})
    at.text_input("new_lr_typed").set_value("3e-4")
    run(at)
    at.select_slider("new_batch_size_slider").set_value(64)
    run(at)
    at.slider("new_dropout").set_value(0.25)
    run(at)
    at.selectbox("new_loss").set_value("focal")
    run(at)
    at.slider("new_focal_gamma").set_value(1.5)
    run(at)
    expected = {"lr": 3e-4, "batch_size": 64, "dropout": 0.25, "loss": "focal", "focal_gamma": 1.5}
    assert link(at) == {"data": str(data), **expected}
    again = page(link(at))
    assert again.select_slider("new_lr_slider").value == 3e-4
    assert again.slider("new_focal_gamma").value == 1.5
    text = plain(again)
    assert "Learning rate: **0.0003** :gray[(was 0.01)]" in text
    assert "Loss: **Focal** :gray[(was Cross-entropy)]" in text


def test_a_browser_that_is_behind_does_not_take_a_change_back(runs: Path, data: Path) -> None:
    at = page({"data": str(data)})
    at.select_slider("new_lr_slider").set_value(0.02)
    run(at)
    behind = at.select_slider("new_lr_slider").set_value(0.02)._widget_state
    at.text_input("new_lr_typed_1").set_value("0.0025")
    run(at)
    at.slider("new_dropout").set_value(0.25)
    states = at._tree.get_widget_states()  # as sent by a page that does not show the typed rate yet
    states.widgets.append(behind)
    at._run(states)
    assert link(at) == {"data": str(data), "lr": 0.0025, "dropout": 0.25}
    assert at.select_slider("new_lr_slider_1").value == 0.0025


def test_any_learning_rate_can_be_typed_and_a_wrong_one_is_named(runs: Path, data: Path) -> None:
    at = page({"data": str(data)})
    for text, value in (("0.01234", 0.01234), ("7e-5", 7e-5), ("10", 10)):
        at.text_input("new_lr_typed").set_value(text)
        assert link(run(at))["lr"] == value
    at.text_input("new_lr_typed").set_value("-1")
    run(at)
    assert "'-1' given, accepted: above 0 to 10" in plain(at)
    assert at.text_input("new_lr_typed").value == "-1"
    assert at.button("new_train").disabled
    assert "see Learning rate" in plain(at)


def test_gamma_and_alpha_appear_with_focal_only(runs: Path, data: Path) -> None:
    assert not {"new_focal_gamma", "new_alpha_on"} & keys(page({"data": str(data)}))
    at = page({"data": str(data), "loss": "focal"})
    assert "new_focal_gamma" in keys(at)
    assert "new_focal_alpha" not in keys(at)
    at.toggle("new_alpha_on").set_value(True)
    assert "new_focal_alpha" in keys(run(at))
    assert link(at)["focal_alpha"] == 0.25
    at.toggle("new_alpha_on").set_value(False)
    assert "focal_alpha" not in link(run(at))
    assert [c["name"] for c in component(at, "new_focal_curve")["series"]] == ["cross-entropy", "focal"]


@pytest.mark.parametrize("model", MODELS)
def test_the_drawing_has_the_layers_of_the_network(runs: Path, data: Path, model: str) -> None:
    last = MODELS[model].layer_names[-1]
    drawn = component(
        page({"data": str(data), "model": model, "trainable": f"from:{last}", "head": [64, 8]}), "new_network"
    )
    assert tuple(layer["name"] for layer in drawn["layers"]) == MODELS[model].layer_names
    assert (drawn["trainable"], drawn["head"], drawn["classes"]) == (f"from:{last}", [64, 8], 3)


def test_what_the_drawing_says_goes_into_the_form(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr("covidviz.ui.new_run.network.network", lambda drawn, *, key, on_change: said.append(on_change))
    at = page({"data": str(data), "head": "abc"})
    assert "'abc'" in plain(at)
    changes = {"change": ("layer2,layer4", [512, 64])}
    monkeypatch.setattr(
        "covidviz.ui.new_run.head.show", lambda form: said[-1](*changes.pop("change")) if changes else None
    )
    run(run(at))
    assert (link(at)["trainable"], link(at)["head"]) == ("layer2,layer4", [512, 64])


def test_exact_layers(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "trainable": "layer2,layer4.1"})
    drawn = component(at, "new_network")
    assert drawn["extras"] == [{"name": "layer4.1", "layer": "layer4", "parameters": 4720640}]
    assert at.text_input("new_trainable").value == "layer2,layer4.1"
    at.text_input("new_trainable").set_value("layer9")
    run(at)
    assert "no layer 'layer9'" in plain(at)
    assert at.button("new_train").disabled
    assert component(at, "new_network")["trainable"] == "head"


def test_another_network_keeps_the_rest_and_says_what_it_reset(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "trainable": "from:layer3", "lr": 0.2, "epochs": 3})
    at.selectbox("new_model").set_value("vgg16")
    run(at)
    assert link(at) == {"data": str(data), "lr": 0.2, "epochs": 3, "model": "vgg16"}
    assert "back to the head" in plain(at)


def test_losses_are_those_of_the_task(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "loss": "cross_entropy"})
    at.selectbox("new_task").set_value("multi-label")
    run(at)
    fit = [row.title for row in LOSSES.values() if "multi-label" in row.tasks]
    assert at.selectbox("new_loss_1").options == fit  # another one: its value was changed from elsewhere
    assert at.selectbox("new_loss_1").value == "bce"
    assert "loss" not in link(at)


@pytest.mark.parametrize("text", ["[[[", "null", '{"dropout": 7}', '{"zzz": 1}', "9" * 9000])
def test_a_strange_link_is_a_clear_page(runs: Path, text: str) -> None:
    at = page(text)
    assert at.title[0].value == "New run"
    assert at.info


def test_a_link_whose_settings_do_not_fit_says_so_at_the_field(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "loss": "bce"})
    assert "'bce' does not fit task single-label" in plain(at)
    assert at.button("new_train").disabled


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "0.01"), (3e-4, "3e-4"), (1.25e-5, "1.25e-5"), (10.0, "10"), (0.0, "0"), (32, "32"), (0.3 * 1e-3, "3e-4"),
     (0.1 + 0.2, "0.30000000000000004"), ("abc", "abc")],
)  # fmt: skip
def test_numbers_on_the_ruler_are_exact(value: object, text: str) -> None:
    assert fields._short(value) == text


def test_a_clone_is_the_run_again(runs: Path, data: Path) -> None:
    original = write_synthetic_run(
        runs, 1, data=data, lr=0.123, model="vgg16", trainable="from:features.24", loss="focal", focal_gamma=3.3,
        focal_alpha=0.4, head="64,32", schedule="step", lr_steps="2:1e-3", backbone_lr=1e-4, epochs=7, seed=5,
        patience=2, tags="a,b", image_size=128, augment="light", optimizer="adamw", weight_decay=0.02,
        name="my run", momentum=0.85,
    )  # fmt: skip
    at = page(clone=original.name)
    assert "A clone of" in plain(at)
    assert "Nothing yet" in plain(at)
    at.button("new_train").click()
    run(at)
    (made,) = [path for path in list_run_dirs(runs) if path != original]
    assert Run(made).config() == Run(original).config()


def test_what_differs_is_said_against_the_cloned_run(runs: Path, data: Path) -> None:
    original = write_synthetic_run(runs, 1, data=data, lr=0.123)
    at = page(clone=original.name)
    at.number_input("new_epochs").set_value(4)
    run(at)
    assert "Differs from the cloned run" in plain(at)
    assert "Epochs: **4** :gray[(was 10)]" in plain(at)
    at.button("new_reset").click()
    assert "Nothing yet" in plain(run(at))


@pytest.mark.parametrize("run_id", ["20260101-000000-x-0000", "../../etc", "<b>![x](http://evil.test)</b>"])
def test_cloning_an_unknown_run_says_so(runs: Path, run_id: str) -> None:
    at = page(clone=run_id)
    assert "There is no run" in at.info[0].value
    assert "](http:" not in at.info[0].value


def test_the_form_survives_a_visit_elsewhere(runs: Path, data: Path) -> None:
    write_synthetic_run(runs, 1)
    at = page({"data": str(data), "lr": 0.5})
    run(at.switch_page(nav.RUNS))
    at.query_params.clear()
    run(at.switch_page(nav.NEW_RUN))
    assert at.text_input("new_lr_typed").value == "0.5"
    assert at.selectbox("new_data").value == str(data)


def test_train_submits_and_leads_to_the_run(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "epochs": 2, "weights": "none", "name": "**first**"})
    at.button("new_train").click()
    run(at)
    (made,) = list_run_dirs(runs)
    config = Run(made).config()
    assert config is not None
    assert (config.epochs, config.weights, config.name) == (2, "none", "**first**")
    assert config.classes == ("covid19", "normal", "pneumonia")
    assert Run(made).status().state == "queued"
    assert made.name in at.query_params["run"]


def test_a_double_click_submits_once(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = page({"data": str(data), "weights": "none"})
    at.button("new_train").click()
    run(at)
    # The second click arrives from the page the browser still shows.
    at.query_params.clear()
    at.query_params["s"] = json.dumps({"data": str(data), "weights": "none"})
    run(at.switch_page(nav.NEW_RUN))
    at.button("new_train").click()
    run(at)
    assert len(list_run_dirs(runs)) == 1
    monkeypatch.setattr(summary, "DOUBLE_CLICK_S", 0)
    at.query_params.clear()
    at.query_params["s"] = json.dumps({"data": str(data), "weights": "none"})
    run(at.switch_page(nav.NEW_RUN))
    at.button("new_train").click()
    run(at)
    assert len(list_run_dirs(runs)) == 2


def test_what_submit_refuses_is_said_and_nothing_is_lost(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "monitor": "val_recall_nosuch", "epochs": 3})
    at.button("new_train").click()
    run(at)
    assert "'nosuch' is no class of the dataset" in plain(at)
    assert list_run_dirs(runs) == []
    assert at.number_input("new_epochs").value == 3
    at.number_input("new_epochs").set_value(4)
    assert "nosuch' is no class" not in "".join(error.value for error in run(at).error)


def test_a_dataset_deleted_before_train(runs: Path, data: Path) -> None:
    at = page({"data": str(data)})
    (data / "labels.csv").unlink()
    at.button("new_train").click()
    run(at)
    assert at.error
    assert list_run_dirs(runs) == []


def test_several_seeds_are_as_many_runs(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "weights": "none", "seed": 3, "tags": ["mine"]})
    at.number_input("new_repeat").set_value(3)
    run(at)
    assert at.query_params["k"] in ("3", ["3"])
    assert at.button("new_train").label == "Train 3 runs"
    assert "seeds 3 to 5" in plain(at)
    at.button("new_train").click()
    run(at)
    configs = sorted((Run(path).config() for path in list_run_dirs(runs)), key=lambda c: c.seed if c else -1)
    assert [c.seed for c in configs if c] == [3, 4, 5]
    assert {c.tags for c in configs if c} == {("mine", "seeds 3 to 5")}
    assert [c.name.rpartition(" seed ")[2] for c in configs if c] == ["3", "4", "5"]
    assert at.title[0].value == "Runs"
    assert "3 runs are in the queue" in plain(at)


@pytest.mark.parametrize("k", ["0", "-1", "1e9", "x", "99999", "²"])
def test_a_strange_number_of_seeds_in_a_link(runs: Path, data: Path, k: str) -> None:
    at = page({"data": str(data)}, k=k)
    assert 1 <= at.number_input("new_repeat").value <= 20


def test_the_time_is_not_invented_but_learned(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.jobs.estimate.host_name", lambda: "laptop")  # where synthetic runs say they ran
    settings = {"data": str(data), "device": "cpu", "image_size": 64, "weights": "none"}
    assert "Time unknown before the first run" in plain(page(settings))
    write_synthetic_run(runs, 2, data=data, device="cpu", model="resnet18", image_size=64)
    queries.index().snapshot()
    text = plain(page(settings))
    assert "Time unknown" not in text
    assert "about **5 s**" in text
    assert "of memory" in text
    assert "on disk" in text


def test_warnings_stand_beside_the_button(runs: Path, data: Path) -> None:
    text = plain(page({"data": str(data), "weights": "none", "lr": 2.0}))
    assert "the frozen network stays random" in text
    assert "very high for SGD" in text


def test_the_link_to_copy_holds_only_what_differs(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "lr": 0.5, "epochs": 10}, k="2")
    query = dict(parse_qsl(urlsplit(component(at, "new_copy")["link"]).query))
    assert json.loads(query["s"]) == {"data": str(data), "lr": 0.5}
    assert query["k"] == "2"


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
def test_schedules_show_their_curve(runs: Path, data: Path, schedule: str) -> None:
    at = page({"data": str(data), "schedule": schedule, "lr_steps": "2:1e-3" if schedule == "step" else None})
    drawn = [one for one in at.get("bidi_component") if one.proto.id.endswith("-new_schedule_curve")]
    assert len(drawn) == (schedule != "constant")


def test_without_data_phantoms_are_offered(runs: Path, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.ui.phantoms.data_dir", lambda: folders / "made")
    monkeypatch.setattr("covidviz.ui.datasets.datasets", list)
    started: list[tuple[str, ...]] = []
    state: dict[str, tasks.Task | None] = {"task": None}
    monkeypatch.setattr(tasks, "start", lambda *a: started.append(a))
    monkeypatch.setattr(tasks, "look", lambda name: state["task"])
    monkeypatch.setattr(tasks, "forget", lambda name: state.update(task=None))
    at = page()
    at.button("new_phantoms_make").click()
    run(at)
    out = folders / "made" / "phantoms-small"
    assert started == [("phantoms", "phantoms", str(out), "small")]
    state["task"] = tasks.Task(True, "drawing phantoms: 40 %", None)
    assert "Making phantoms" in plain(run(at))
    make_dataset(out, n=18)
    state["task"] = tasks.Task(False, "", None)
    run(at)
    assert link(at)["data"] == str(out)


def test_phantoms_that_failed_say_why(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.ui.datasets.datasets", list)
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(False, "disk full: /x", "disk full: /x"))
    at = page()
    assert "disk full" in plain(at)
    assert not at.button("new_phantoms_make").disabled


def test_quick_edits_survive_a_link_from_before_the_last_one(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "loss": "focal"})
    before = at.query_params["s"]
    at.slider(key="new_dropout").set_value(0.2)
    run(at)
    at.query_params["s"] = before  # as a browser sends it that has not heard of the first edit yet
    at.slider(key="new_momentum").set_value(0.5)
    run(at)
    assert link(at)["dropout"] == 0.2
    assert link(at)["momentum"] == 0.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "5 s"), (33, "35 s"), (58, "1 min"), (89.5 * 60, "90 min"), (5400, "1.5 h"), (1e5, "28 h"), (3e5, "3 days")],
)
def test_an_estimate_has_no_more_digits_than_it_deserves(seconds: float, text: str) -> None:
    assert summary.roughly(seconds) == text


def test_a_span_names_its_unit_once() -> None:
    assert summary._span("3 min", "5 min") == "3 to 5 min"
    assert summary._span("40 s", "2 min") == "40 s to 2 min"
