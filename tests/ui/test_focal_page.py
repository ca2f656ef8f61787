"""The Focal loss page and its routes: what the components are given, and links that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored import finished_run, make_dataset
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from synthetic import CLASSES

from covidviz.evaluation.ranking import prob_of
from covidviz.store.reader import Run
from covidviz.ui import lab_answers, nav
from covidviz.ui.focal import settings
from covidviz.ui.focal.sources import built_in
from covidviz.ui.results import measured, results
from covidviz.ui.routes import ROUTES

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


def page(**params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(nav.FOCAL).run()
    assert not at.exception
    return at


def given(at: AppTest, key: str) -> dict[str, Any]:
    found = {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}
    return json.loads(found[key])


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Run:
    return finished_run(runs, make_dataset(tmp_path / "data" / "noise"), name="a *run*")


def test_without_runs_there_is_an_example(runs: Path) -> None:
    drawn = given(page(), "focal")
    assert drawn["url"] is None
    assert drawn["made_up"]["n"] * drawn["made_up"]["c"] == len(drawn["made_up"]["prob"])
    assert drawn["counts"][drawn["k"]] == [200, 6000]
    assert given(page(view="batch"), "batch_focal")["controls"][0]["name"] == "gamma"
    at = page(view="mistakes")
    assert "no finished run" in at.info[0].value
    assert set(built_in("untrained").made_up["prob"]) == {0.5}  # type: ignore[index]


def test_a_run_brings_its_probabilities_and_the_counts_of_its_training(run: Run) -> None:
    drawn = given(page(k="normal"), "focal")
    assert drawn["url"].startswith(f"/scores/{run.id}/val?v=")
    assert drawn["classes"] == list(CLASSES)
    assert drawn["classes"][drawn["k"]] == "normal"
    train = run.samples().query("split == 'train'")
    assert drawn["counts"] == [[int(train[f"label_{c}"].sum()), int((1 - train[f"label_{c}"]).sum())] for c in CLASSES]
    assert {one["name"]: one["default"] for one in drawn["controls"]}["yes"] == drawn["counts"][drawn["k"]][0]


@pytest.mark.parametrize(
    "text", ["[[", "7", '{"gamma": 99}', '{"gamma": true}', '{"loss": "x"}', '{"clip": null}', "9" * 5000]
)
def test_a_strange_link_is_the_default(runs: Path, text: str) -> None:
    assert given(page(f=text, run="../etc", k="nobody", split="x", view="x"), "focal")["settings"] == {}


def test_a_link_is_a_view(runs: Path) -> None:
    drawn = given(
        page(**{"from": "untrained", "f": '{"loss":"asymmetric","clip":0.1,"alpha":null,"gamma":2.0}'}), "focal"
    )
    assert drawn["settings"] == {"loss": "asymmetric", "clip": 0.1, "alpha": None}
    assert settings.carried('{"yes":3,"gamma":1}') == {"gamma": 1}


def test_the_sandbox_starts_from_the_true_score(run: Run) -> None:
    drawn = given(page(view="mistakes", run=run.id), "sandbox")
    known, found = measured(run, "val"), results(run)
    assert found is not None
    assert drawn["matrix"] == known.confusion["matrix"]
    for one in drawn["metrics"]:
        assert one["value"] == known.metrics[one["name"]]
        assert one["low"] <= one["value"] <= one["high"]
    cannot = {one["name"]: one["cannot"] for one in drawn["mistakes"]}
    assert "weights of this run are gone" in cannot["train-mode"]  # a synthetic run has none
    rows = found.frame[found.frame["split"] == "val"]
    wrong = rows[~rows["right"]].sort_values("loss", ascending=False, kind="stable")
    assert [one["id"] for one in drawn["mixed"]["meant"]] == wrong["sample_id"].tolist()[:8]
    places = np.argsort(-rows.loc[~rows["right"], "loss"].to_numpy(), kind="stable")[:8]
    assert [one["id"] for one in drawn["mixed"]["shown"]] == rows["sample_id"].iloc[places].tolist()
    assert drawn["lab"]["trainable"] == "head"
    assert prob_of(rows, found.classes).shape[1] == len(drawn["classes"])


def test_the_route_asks_for_a_token_and_a_run(run: Run) -> None:
    client = TestClient(Starlette(routes=list(ROUTES)), base_url="http://127.0.0.1")
    body = {"mistake": "augmented", "split": "val"}
    headers = {"X-Covidviz-Token": lab_answers.token(), "X-Covidviz-Session": "s1"}
    assert client.post(f"/what_if/{run.id}", json=body).status_code == 403
    assert client.post("/what_if/nobody", json=body, headers=headers).status_code == 404
    big = {**body, "more": "x" * 5000}
    assert client.post(f"/what_if/{run.id}", json=big, headers=headers).status_code == 400
    said = client.post(f"/what_if/{run.id}", json={"split": 1}, headers=headers).text.splitlines()
    assert json.loads(said[-1])["message"] == "accepted: an object with mistake and split"
