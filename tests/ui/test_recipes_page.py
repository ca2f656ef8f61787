"""The Recipes page: published numbers beside the runs made here, and queueing them; and New run from a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from explored import make_dataset
from reported import component, said
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.recipes import recipes, reports
from covidviz.recipes.compare import data_kind, differences
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs
from covidviz.ui import nav
from covidviz.ui.recipes import page as recipes_page
from covidviz.ui.recipes import rows as tables
from covidviz.ui.recipes import run_all

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"
BINARY = {"classes": ("infected", "normal"), "critical_class": "infected"}


@pytest.fixture
def data(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=36)


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.jobs.many_recipes.ensure_scheduler", lambda runs_dir: None)
    monkeypatch.setattr(run_all, "can_fetch", lambda model: False)
    monkeypatch.setattr(run_all, "is_cached", lambda model: model == "resnet18")


def page(page: str = nav.RECIPES, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(page).run()
    assert not at.exception
    return at


def shown(at: AppTest) -> dict[str, Any]:
    found = component(at, "recipes_table")
    assert found is not None
    return found


def row(at: AppTest, name: str) -> dict[str, Any]:
    return next(one for one in shown(at)["rows"] if one["id"] == name)


@pytest.mark.parametrize("part", list(reports()))
def test_every_report_stands_there_without_any_run(runs: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_all.datasets, "offered", list)  # not even a dataset
    at = page(report=part)
    rows = shown(at)["rows"]
    assert [one["kind"] for one in rows] == ["base", *["recipe"] * len(reports()[part].recipes)]
    assert all(len(one["cells"]) == len(shown(at)["columns"]) for one in rows)
    assert "Its claim: " in said(at)
    assert "No run was made from these recipes here yet" in said(at)
    assert "Choose a dataset" in said(at)
    assert not shown(at)["canRun"]


def test_published_numbers_beside_every_definition(runs: Path) -> None:
    at = page(report="msds19043")
    titles = [column["title"] for column in shown(at)["columns"]]
    assert titles == ["per label", "exact match", "micro", "macro", "covid19", "normal", "pneumonia", "95 % interval"]
    best = row(at, "msds19043/15")
    assert (best["published"], best["f1"]) == ("84.97", ".805")
    assert [cell["text"] for cell in best["cells"]] == [
        "84.98", "55 to 68", ".806", ".672", ".165", ".950", ".902", "20 of 28"]  # fmt: skip
    assert best["cells"][-1]["note"] == "53 to 85 %"
    assert "only tell that it lies between" in best["cells"][1]["title"]
    assert row(at, "msds19043/05")["marks"] == ["! constant predictor"]
    assert [cell["text"] for cell in row(at, "base")["cells"]][:2] == ["75.80", "63.69"]
    assert row(page(report="mscs19008"), "mscs19008/part1-head-lr1e-3-b60")["cells"][0]["text"] == "–"
    assert row(page(), "bscs17028/vgg16-conv10")["wrong"]


def test_runs_stand_below_their_recipe_with_what_they_changed(runs: Path, data: Path) -> None:
    name = "bscs17028/resnet18-fc"
    settings = {
        **BINARY,
        **recipes()[name].variant(),
        "image_size": 64,
        "label_rule": "covid19=infected,pneumonia=infected",
    }
    write_synthetic_run(runs, 1, artefacts=True, **settings)
    write_synthetic_run(runs, 2, "running", **settings)
    write_synthetic_run(runs, 3, artefacts=True, **{**settings, "recipe": "bscs17028/gone"})
    at = page(report="bscs17028")
    live, done = [one for one in shown(at)["rows"] if one["kind"] == "run"]
    assert live["state"].startswith("running, ")
    assert live["cells"][0]["text"] == "–"
    assert "other data" in done["marks"]
    assert done["about"].startswith("Image size 64 · ")  # the rule that only reads the classes is no difference
    assert "Label rule" not in done["about"]
    assert float(done["cells"][0]["text"]) > 0
    assert "saying " in done["about"]
    assert "No run was made" not in said(at)


def test_one_click_runs_a_recipe_and_all_of_them(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = page(report="bscs17028", data=str(data))
    assert shown(at)["canRun"]
    assert "covid19=infected,pneumonia=infected" in said(at)
    assert at.button("recipes_run_all").label == "Run all 6 of this report"
    assert "Time unknown" in said(at)
    assert "VGG-16 are not on this machine" in said(at)
    at.selectbox("recipes_size").select("64 px")
    at.selectbox("recipes_epochs").select("1").run()
    at.button("recipes_run_all").click().run()
    made = [Run(path).config() for path in list_run_dirs(runs)]
    assert {one.name for one in made if one} == {"bscs17028/resnet18-fc", "bscs17028/resnet18-entire"}
    assert all(one and (one.image_size, one.epochs, one.critical_class) == (64, 1, "infected") for one in made)
    assert "neither here nor to be had" in said(at)  # VGG-16, and it says so
    assert "a run with these settings is queued" in said(at)
    report = reports()["bscs17028"]
    where = run_all.Place(str(data), ("covid19", "normal", "pneumonia"), {"weights": "none"})
    monkeypatch.setattr(run_all.flash, "say", lambda *_: None)
    recipes_page._start(report, where, "bscs17028/vgg16-fc", False)
    recipes_page._start(report, where, "msds19043/01", False)  # of another report: nothing
    recipes_page._start(report, where, "<b>", False)
    assert len(list_run_dirs(runs)) == 3


def test_a_dataset_without_the_classes_says_the_mapping(runs: Path, folders: Path) -> None:
    data = make_dataset(folders / "data" / "two", n=36)
    text = (data / "labels.csv").read_text().replace("covid19", "cat").replace("pneumonia", "dog")
    (data / "labels.csv").write_text(text)
    at = page(report="msds19043", data=str(data))
    assert "covid19 and pneumonia are missing" in at.error[0].value.replace("\\", "")
    assert not shown(at)["canRun"]
    assert page(report="<b>x", data="/nowhere").error


def test_what_a_run_changed_and_whose_data_it_is() -> None:
    config = recipes()["msds19043/03"].config("/d", image_size=64)
    assert differences(config.resolve(("covid19", "normal", "pneumonia")).dump()) == {"image_size": 64}
    assert differences(config.replace(label_rule=None).dump()) == {"image_size": 64, "label_rule": None}
    assert differences(config.replace(label_rule="corona=covid19,pneumonia>covid19@train").dump()) == {"image_size": 64}
    report = reports()["msds19043"]
    assert data_kind(report, {k: dict(v) for k, v in report.images.items()}, set()) == "course"
    assert data_kind(report, {k: dict(v) for k, v in report.images.items()}, {"hospital-a"}) == "phantoms"
    assert data_kind(report, {"val": {"normal": 3}}, {"nih"}) == "other"


def test_many_runs_of_one_recipe_are_counted() -> None:
    report = reports()["bscs17028"]
    name = report.recipes[0].name
    made = [
        tables.Made(f"id{i}", "n", name, False, "queued", 0.0, "<i>x (data)", "", {}, "single-label") for i in range(6)
    ]
    found = [one for one in tables.rows(report, made) if one["kind"] == "run"]
    assert len(found) == tables.SHOWN
    assert "2 older ones" in found[-1]["about"]


# --- New run


def link(at: AppTest) -> dict[str, Any]:
    given = at.query_params["s"]
    return json.loads(given if isinstance(given, str) else given[0])


def test_a_new_run_starts_from_a_recipe(runs: Path, data: Path) -> None:
    at = page(nav.NEW_RUN, s=json.dumps({"data": str(data), "lr": 0.5}))
    at.selectbox("new_recipe").select("bscs17028/vgg16-conv10").run()
    assert not at.exception
    values = link(at)
    assert (values["model"], values["trainable"], values["lr"]) == ("vgg16", "features.10", 0.001)
    assert values["label_rule"] == "covid19=infected,pneumonia=infected"
    assert values["data"] == str(data)
    assert "Differs from the recipe" in said(at)
    assert "Nothing yet" in said(at)
    assert not at.button("new_train").disabled
    at.selectbox("new_optimizer").select("adam").run()
    assert "Optimizer: **Adam**" in said(at)
    at.button("new_reset").click().run()
    assert link(at) == values


def test_a_link_may_name_a_recipe(runs: Path, data: Path) -> None:
    at = page(nav.NEW_RUN, recipe="msds19043/1")
    assert at.selectbox("new_recipe").value == "msds19043/01"
    assert at.session_state["_form_draft"][1]["loss"] == "batch_focal"
    at = page(nav.NEW_RUN, recipe="bscs17028/vgg")
    assert "There is no such recipe" in said(at)
    assert "bscs17028/vgg16-fc" in said(at)
    at = page(nav.NEW_RUN, s=json.dumps({"recipe": "<b>no", "lr": 0.5}))
    assert "recipe" not in at.session_state["_form_draft"][1]
    assert at.session_state["_form_draft"][1]["lr"] == 0.5


def test_another_dataset_keeps_the_recipe_and_fits_it(runs: Path, data: Path, folders: Path) -> None:
    other = make_dataset(folders / "data" / "other", n=36)
    text = (other / "labels.csv").read_text().replace("covid19", "infected").replace("pneumonia", "infected")
    (other / "labels.csv").write_text(text)
    at = page(nav.NEW_RUN, recipe="bscs17028/resnet18-fc")
    at.selectbox("new_data").set_value(str(data)).run()
    assert link(at)["label_rule"] == "covid19=infected,pneumonia=infected"
    at.selectbox("new_data").set_value(str(other)).run()
    assert "label_rule" not in link(at)
    assert link(at)["classes"] == ["infected", "normal"]
    assert not at.button("new_train").disabled
