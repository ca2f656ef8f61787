"""The traffic light of New run, and the process that checks a dataset."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from explored import make_dataset
from reported import report
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.data.doctor import Check
from covidviz.errors import DataError
from covidviz.ui import background, doctor, nav, tasks
from covidviz.ui.new_run import light

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


@pytest.fixture
def data(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=36)


def new_run(data: Path, **values: Any) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params["s"] = json.dumps({"data": str(data), **values})
    at.switch_page(nav.NEW_RUN).run()
    assert not at.exception
    return at


def lights(at: AppTest) -> list[str]:
    return [one.proto.label.replace("\\", "") for one in at.get("page_link") if one.proto.page == "data"]


def test_choosing_a_dataset_in_new_run_has_it_checked(runs: Path, data: Path, checked: list[Any]) -> None:
    at = new_run(data)
    assert checked == [(data, "split")]
    assert lights(at) == ["Data: not checked"]
    assert not at.button("new_train").disabled


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ([], "Data: fine"),
        ([Check("odd-images", "note", "")], "Data: fine"),
        ([Check("file-traits", "warn", "")], "Data: 1 thing to know"),
        ([Check("file-traits", "warn", ""), Check("source-shortcut", "bad", "")], "Data: 2 things to know"),
        ([Check("near-duplicates", "warn", "")], "Data: 1 thing to know"),
        ([Check("patient-overlap", "bad", ""), Check("file-traits", "warn", "")], "Leaks between splits"),
    ],
)
def test_the_words_of_the_light(runs: Path, data: Path, checks: list[Check], words: str, checked: list[Any]) -> None:
    report(data, "split", *checks)
    at = new_run(data)
    assert lights(at) == [words]
    assert not at.button("new_train").disabled
    assert not checked


def test_while_it_is_checked_the_light_says_how_far(
    runs: Path, data: Path, checked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = tasks.Task(True, "comparing: 42 %", None)
    monkeypatch.setattr(doctor.tasks, "look", lambda name: busy if name.startswith("doctor-") else None)
    assert lights(new_run(data)) == ["Checking the data … 42 %"]
    assert not checked


def test_where_the_check_failed_the_light_says_so(runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = tasks.Task(False, "none can be read", "none can be read")
    monkeypatch.setattr(doctor.tasks, "look", lambda name: over if name.startswith("doctor-") else None)
    at = new_run(data)
    assert lights(at) == ["Data: can't be checked"]
    assert not at.button("new_train").disabled


def test_another_split_column_is_another_question(runs: Path, data: Path, checked: list[Any]) -> None:
    table = pd.read_csv(data / "labels.csv")
    table.assign(other=table["split"]).to_csv(data / "labels.csv", index=False)
    report(data, "split")
    assert lights(new_run(data)) == ["Data: fine"]
    assert lights(new_run(data, split_column="other")) == ["Data: not checked"]
    assert checked == [(data, "other")]


def test_a_changed_dataset_is_checked_again(runs: Path, data: Path, checked: list[Any]) -> None:
    report(data)
    new_run(data)
    assert not checked
    lines = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(lines[:-1]) + "\n")
    new_run(data)
    assert checked == [(data, "split")]


def test_a_dataset_that_is_gone_has_no_light(runs: Path, folders: Path, checked: list[Any]) -> None:
    at = new_run(folders / "nowhere")
    assert lights(at) == []
    assert not checked
    assert set(light.SHAPES) == {"ok", "note", "warn", "bad"}


def test_a_slow_lookup_blocks_nothing_and_starts_nothing(
    runs: Path, data: Path, checked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    report(data)
    real, go_on = doctor.known, threading.Event()
    monkeypatch.setattr(doctor, "known", lambda *args: (go_on.wait(60), real(*args))[1])
    monkeypatch.setattr(doctor, "WAIT_S", 0.01)
    at = new_run(data)
    assert lights(at) == ["Checking the data …"]
    assert not at.button("new_train").disabled
    go_on.set()
    assert doctor.report(data, "split", wait=60) is not None
    assert lights(new_run(data)) == ["Data: fine"]
    assert not checked


# --- the process ---


def test_the_process_tells_how_far_it_is(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diagnose(path: str, column: str, *, tell: Any) -> None:
        tell(0.0, "reading")
        tell(0.5, "comparing")
        report(Path(path), column)

    nice: list[int] = []
    monkeypatch.setattr("covidviz.data.doctor.diagnose", diagnose)
    monkeypatch.setattr(background.os, "nice", nice.append, raising=False)
    assert background.main(["doctor", str(data), "split"]) == 0
    assert capsys.readouterr().out.splitlines() == ["reading: 0 %", "comparing: 50 %"]
    assert nice == [10]
    assert doctor.report(data, "split") is not None


def test_its_error_is_its_last_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diagnose(path: str, column: str, *, tell: Any) -> None:
        raise DataError("none of 36 images can be read")

    monkeypatch.setattr("covidviz.data.doctor.diagnose", diagnose)
    monkeypatch.setattr(background.os, "nice", lambda n: n, raising=False)
    assert background.main(["doctor", str(data), "split"]) == 2
    assert capsys.readouterr().out == "none of 36 images can be read\n"


def test_no_report_where_there_is_no_cache(data: Path, runs: Path) -> None:
    assert doctor.report(data, "split") is None
    write_synthetic_run(runs, 1, data=data)
    assert doctor.running(data, "split") is None
    assert doctor.failed(data, "split") is None
