"""The Data page: what is shown of a dataset and of its report, and when a check begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pandas as pd
import pytest
from explored import make_dataset
from reported import component, report, said
from streamlit.testing.v1 import AppTest

from covidviz.data.doctor import CHECKS, Check
from covidviz.data.doctor.keep import load
from covidviz.errors import StoreError
from covidviz.ui import data_page, data_page_checks, doctor, nav, tasks

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"
HOSTILE = "<img src=x> ![b](http://evil.example/x.png) **bold**"


@pytest.fixture
def data(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=36)


def page(data: Path | str | None = None, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update({**({"data": str(data)} if data is not None else {}), **params})
    at.switch_page(nav.DATA).run()
    assert not at.exception
    return at


def test_without_data_phantoms_are_offered(runs: Path, checked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.ui.datasets.offered", list)
    at = page()
    assert "Choose a dataset" in said(at)
    assert at.button("new_phantoms_make")
    assert not checked


def test_a_chosen_dataset_is_shown_and_checked_once(runs: Path, data: Path, checked: list[Any]) -> None:
    at = page(data)
    classes = component(at, "data_classes")
    assert classes is not None
    assert [row["counts"] for row in classes["classes"]] == [[4, 4, 4]] * 3
    assert checked == [(data, "split")]
    assert "Not checked yet" in said(at)
    assert all(title in said(at) for title in CHECKS.values())
    assert component(at, "data_checks") is None
    at.run()
    page(data)
    assert checked == [(data, "split")]


def test_the_dataset_last_worked_on_comes_without_a_link(
    runs: Path, data: Path, folders: Path, checked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVIDVIZ_DATA_DIR", str(folders / "data"))
    other = make_dataset(folders / "data" / "aaa", n=18)
    at = page()
    assert at.selectbox("data_pick").value == str(other)
    assert not checked  # nobody chose it
    at.button("data_check").click().run()
    assert checked == [(other, "split")]
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params["s"] = json.dumps({"data": str(data)})
    at.switch_page(nav.NEW_RUN).run()
    at.query_params.clear()
    at.switch_page(nav.DATA).run()
    assert at.selectbox("data_pick").value == str(data)


def test_a_report_is_lines_the_worst_first(runs: Path, data: Path, checked: list[Any]) -> None:
    report(data, "split", Check("near-duplicates", "bad", "2 pairs."), Check("odd-images", "note", "One."),
           Check("file-traits", "warn", "Size tells."))  # fmt: skip
    at = page(data, check="odd-images")
    assert not checked
    assert "1 problem, 1 warning, 1 note; 9 of 12 checks are fine." in said(at)
    assert "checked just now in 3.5 s" in said(at)
    drawn = component(at, "data_checks")
    assert drawn is not None
    assert [row["id"] for row in drawn["lines"]][:3] == ["near-duplicates", "file-traits", "odd-images"]
    assert [(row["shape"], row["word"]) for row in drawn["lines"]][:4] == [
        ("✕", "problem"), ("!", "warning"), ("i", "note"), ("✓", "fine"),
    ]  # fmt: skip
    assert drawn["opened"] == "odd-images"


@pytest.mark.parametrize("check", ["nonsense", "", HOSTILE])
def test_a_link_with_another_check_opens_none(runs: Path, data: Path, check: str) -> None:
    report(data)
    drawn = component(page(data, check=check), "data_checks")
    assert drawn is not None
    assert drawn["opened"] is None


def test_nothing_found(runs: Path, data: Path) -> None:
    report(data)
    assert "Nothing found; 12 of 12 checks are fine." in said(page(data))


def test_while_it_is_checked_the_old_report_stays(
    runs: Path, data: Path, checked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = tasks.Task(True, "comparing all pairs: 42 %", None)
    monkeypatch.setattr(doctor.tasks, "look", lambda name: busy if name.startswith("doctor-") else None)
    at = page(data)
    assert [bar.proto.value for bar in at.get("progress")] == [42]
    assert "results appear here by themselves" in said(at)
    assert not [button for button in at.button if button.label.startswith("Check")]
    report(data)
    assert component(page(data), "data_checks") is not None
    assert not checked


def test_why_a_check_failed_and_again(
    runs: Path, data: Path, checked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = tasks.Task(False, "all images are unreadable", "all images are unreadable")
    monkeypatch.setattr(doctor.tasks, "look", lambda name: over if name.startswith("doctor-") else None)
    at = page(data)
    assert "The check could not be done: all images are unreadable" in said(at)
    checked.clear()
    at.button("data_check").click().run()
    assert checked == [(data, "split")]
    killed = tasks.Task(False, "comparing: 40 %", "comparing: 40 %")
    monkeypatch.setattr(doctor.tasks, "look", lambda name: killed)
    assert doctor.failed(data, "split") == "it ended early (comparing: 40 %)"


def test_a_full_disk_is_said(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, column: str) -> None:
        raise StoreError("the log can't be written: no space left")

    monkeypatch.setattr(doctor, "_launch", full)
    assert "no space left" in said(page(data))


def test_several_split_columns_are_offered(runs: Path, data: Path, checked: list[Any]) -> None:
    table = pd.read_csv(data / "labels.csv")
    table.assign(naive=table["split"][::-1].to_numpy(), site="a").to_csv(data / "labels.csv", index=False)
    at = page(data)
    assert at.selectbox("data_column").options == ["split", "naive"]
    at.selectbox("data_column").set_value("naive").run()
    assert "naive" in at.query_params["column"]
    assert checked[-1] == (data, "naive")


def test_a_column_that_is_not_there_and_back(runs: Path, data: Path, checked: list[Any]) -> None:
    at = page(data, column="nowhere")
    if at.error:  # some layouts know no columns and take it
        at.button("data_default").click().run()
        assert not at.error
    assert component(at, "data_classes") is not None


@pytest.mark.parametrize("path", ["/nowhere/at/all", HOSTILE, "\0"])
def test_a_missing_dataset_is_one_sentence(runs: Path, path: str, checked: list[Any]) -> None:
    at = page(path)
    assert len(at.error) == 1
    assert not checked
    assert component(at, "data_checks") is None


def test_three_images_without_patients(runs: Path, folders: Path, checked: list[Any]) -> None:
    few = make_dataset(folders / "data" / "few", n=3)
    pd.read_csv(few / "labels.csv").drop(columns="patient_id").to_csv(few / "labels.csv", index=False)
    report(few, "split", Check("support", "warn", "3 images."))
    at = page(few)
    assert "3 images · 3 classes" in said(at)
    assert "No patients are named" in said(at)
    drawn = component(at, "data_checks")
    assert drawn is not None
    assert drawn["lines"][0]["id"] == "support"


def test_more_images_come_when_asked_for(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = load(data).samples["path"].tolist()
    report(data, "split", Check("odd-images", "note", "Many.", n=36, samples=paths))
    asked: dict[str, Any] = {}
    monkeypatch.setattr(data_page, "lines", lambda given, **more: asked.update(more, lines=given))
    at = page(data)
    assert len(asked["lines"][0]["groups"]) == data_page_checks.EACH
    asked["on_more"]("no check")
    asked["on_more"]("odd-images")
    at.run()
    assert len(asked["lines"][0]["groups"]) == data_page_checks.EACH + data_page_checks.MORE


def test_images_of_several_labels(runs: Path, data: Path) -> None:
    table = pd.read_csv(data / "labels.csv")
    table.loc[0, "label"] = "covid19|pneumonia"
    table.to_csv(data / "labels.csv", index=False)
    report(data, "split", Check("odd-images", "note", "One.", n=1, samples=[str(table.loc[0, "path"])]))
    at = page(data)
    drawn = component(at, "data_checks")
    assert drawn is not None
    assert drawn["lines"][0]["groups"][0]["images"][0]["label"] == "covid19 + pneumonia"
    links = [one.proto.query_string for one in at.get("page_link") if one.proto.page == "new_run"]
    assert [json.loads(dict(parse_qsl(link))["s"])["task"] for link in links] == ["multi-label"]


def test_train_on_it_takes_the_split_column_along(runs: Path, data: Path) -> None:
    table = pd.read_csv(data / "labels.csv").rename(columns={"split": "mine"})
    table.to_csv(data / "labels.csv", index=False)
    links = [
        one.proto.query_string for one in page(data, column="mine").get("page_link") if one.proto.page == "new_run"
    ]
    assert [json.loads(dict(parse_qsl(link))["s"]) for link in links] == [{"data": str(data), "split_column": "mine"}]


def test_what_anyone_wrote_stays_out_of_markup(runs: Path, data: Path) -> None:
    table = pd.read_csv(data / "labels.csv")
    table.assign(source=HOSTILE, patient_id=HOSTILE).to_csv(data / "labels.csv", index=False)
    report(
        data, "split", Check("odd-images", "bad", HOSTILE, HOSTILE, HOSTILE, 1, load(data).samples["path"].tolist()[:1])
    )
    at = page(data)
    assert "evil" not in "\n".join(str(part.value) for part in [*at.markdown, *at.caption])
    assert at.get("bidi_component")
