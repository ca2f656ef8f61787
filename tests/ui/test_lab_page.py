"""The Live lab page: what it draws, what a link holds, and what the component is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from explored import make_dataset
from streamlit.testing.v1 import AppTest

from covidviz.config import TrainConfig, knob
from covidviz.errors import ConfigError
from covidviz.ui import lab_answers, nav
from covidviz.ui.lab_settings import config_of, controls, decode, difference, sweeps

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


@pytest.fixture
def data(folders: Path) -> Path:
    return make_dataset(folders / "data" / "noise", n=36)


def page(values: dict[str, Any] | str | None = None) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    if values is not None:
        at.query_params["s"] = values if isinstance(values, str) else json.dumps(values)
    at.switch_page(nav.LAB).run()
    assert not at.exception
    return at


def link(at: AppTest) -> dict[str, Any]:
    given = at.query_params["s"]
    return json.loads(given if isinstance(given, str) else given[0])


def plain(at: AppTest) -> str:
    parts = [*at.markdown, *at.error, *at.info, *at.caption, *at.toast]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def component(at: AppTest) -> dict[str, Any] | None:
    """What the lab was given to draw; None where it is not there."""
    found = [one.proto for one in at.get("bidi_component") if one.proto.id.endswith("-lab")]
    assert len(found) < 2
    return json.loads(found[0].json) if found else None


# --- the page ---


def test_without_a_dataset_phantoms_are_offered(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covidviz.ui.datasets.datasets", list)
    at = page()
    assert at.button("new_phantoms_make") is not None
    assert component(at) is None


def test_a_dataset_is_chosen_above(runs: Path, data: Path) -> None:
    at = page()
    assert "Choose a dataset" in plain(at)
    assert component(at) is None
    at.selectbox("lab_data").select(str(data)).run()
    assert link(at) == {"data": str(data)}
    drawn = component(at)
    assert drawn is not None
    assert drawn["base"] == {"data": str(data), "model": "resnet18", "weights": "imagenet", "image_size": 224}
    assert drawn["token"] == lab_answers.token()
    assert drawn["settings"] == {}
    assert drawn["echo"] is None


def test_a_link_sets_everything(runs: Path, data: Path) -> None:
    values = {"data": str(data), "weights": "none", "image_size": 64, "lr": 0.5, "head": [], "threshold": 0.3}
    at = page(values)
    drawn = component(at)
    assert drawn is not None
    assert drawn["base"]["image_size"] == 64
    assert drawn["settings"] == {"lr": 0.5, "head": [], "threshold": 0.3}
    assert at.selectbox("lab_weights").value == "none"
    at.selectbox("lab_model").select("mobilenet_v3_small").run()
    assert link(at) == {**values, "model": "mobilenet_v3_small"}
    drawn = component(at)
    assert drawn is not None
    assert drawn["settings"] == {"lr": 0.5, "head": [], "threshold": 0.3}


def test_weights_from_a_file(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "weights": "/somewhere/mine.pth"})
    assert at.selectbox("lab_weights").value == "/somewhere/mine.pth"
    drawn = component(at)
    assert drawn is not None
    assert drawn["base"]["weights"] == "/somewhere/mine.pth"


def test_what_the_component_settled_on_is_known_as_its_own(runs: Path, data: Path) -> None:
    at = page({"data": str(data), "lr": 0.5})
    at.session_state["lab"] = {"settled": {"values": {"lr": 0.5}, "at": 7}}
    at.run()
    drawn = component(at)
    assert drawn is not None
    assert drawn["echo"] == 7
    at.query_params["s"] = json.dumps({"data": str(data), "lr": 0.1})  # Back, or another link
    at.run()
    drawn = component(at)
    assert drawn is not None
    assert (drawn["echo"], drawn["settings"]) == (None, {"lr": 0.1})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "can't be read"),
        ("[1]", "can't be read"),
        ('{"lr": "x"}', "Learning rate"),
        ('{"optimizer": "adam"}', "the lab does not change"),
        ('{"model": "squeezenet1_1"}', "which the lab does not take"),
        ('{"threshold": 2}', "the threshold"),
        ('{"__class__": 1}', "no setting"),
    ],
)
def test_a_bad_link_says_what_was_left_out(runs: Path, data: Path, text: str, says: str) -> None:
    at = page(text)
    assert says in plain(at)
    assert component(at) is None


@pytest.mark.parametrize("name", ["nowhere", "<b>x</b>"])
def test_a_dataset_that_is_not_there(runs: Path, tmp_path: Path, name: str) -> None:
    at = page({"data": str(tmp_path / name)})
    assert name in plain(at)
    assert component(at) is None


def test_several_labels_lead_to_new_run(runs: Path, data: Path) -> None:
    table = pd.read_csv(data / "labels.csv")
    table.loc[0, "label"] = "covid19|pneumonia"
    table.to_csv(data / "labels.csv", index=False)
    at = page({"data": str(data)})
    assert component(at) is None
    assert "several labels" in plain(at)
    (target,) = at.get("page_link")
    assert target.proto.page.startswith("new_run")
    assert "multi-label" in target.proto.query_string


def test_a_slow_choice_is_named(runs: Path, data: Path) -> None:
    text = plain(page({"data": str(data), "model": "vgg16"}))
    assert "25,088 features per image, 49 times those of ResNet-18" in text
    assert "about 9 times as long" in text
    assert "features per image" not in plain(page({"data": str(data), "weights": "none"}))


def test_without_a_critical_class_there_is_no_threshold(runs: Path, data: Path) -> None:
    table = pd.read_csv(data / "labels.csv").replace({"label": {"covid19": "tb"}})
    table.to_csv(data / "labels.csv", index=False)
    drawn = component(page({"data": str(data)}))
    assert drawn is not None
    names = [row["name"] for row in drawn["controls"]]
    assert "lr" in names
    assert not {"threshold", "focal_alpha"} & set(names)
    assert not {"threshold", "focal_alpha"} & {row["field"] for row in drawn["sweeps"]}


# --- the settings ---


def test_sliders_hold_their_defaults_and_stay_in_the_fields_range() -> None:
    for row in controls("covid19"):
        name = row["name"]
        json.dumps(row, allow_nan=False)
        if name != "threshold":
            default = config_of({"data": "x"})
            value = getattr(default, name)
            assert row["default"] == (list(value) if isinstance(value, tuple) else value or row["default"]), name
            assert knob(name)["help"] in row["help"] or name == "loss"
        values = [one["value"] for one in row.get("stops", row.get("options", []))]
        values += [row[end] for end in ("low", "high") if end in row]
        values += [row[end] for end in ("most",) if row.get(end) is not None]
        for value in values:
            if name == "threshold":
                assert value is None or 0 <= value <= 1
            else:
                TrainConfig.parse({"data": ".", **({"critical_class": "c"} if "alpha" in name else {}), name: value})


def test_every_point_of_a_sweep_is_a_setting_the_slider_has() -> None:
    rows = {row["name"]: row for row in controls("covid19")}
    for sweep in sweeps("covid19"):
        row = rows[sweep["field"]]
        assert len(sweep["values"]) <= 64
        for value in sweep["values"]:
            if "most" in row:
                assert row["least"] <= value <= row["most"]
            if sweep["field"] != "threshold":
                config_of({"data": "x", "loss": "focal", sweep["field"]: value})


def test_a_link_holds_what_differs_and_comes_back() -> None:
    values = {"lr": 0.01, "momentum": 0.5, "head": [64], "loss": "focal", "focal_gamma": 1.0, "threshold": 0.25}
    kept = difference(values)
    assert kept == {"momentum": 0.5, "head": (64,), "loss": "focal", "focal_gamma": 1.0, "threshold": 0.25}
    assert decode(json.dumps(kept)) == (kept, [])
    assert difference({"loss": "cross_entropy", "threshold": None}) == {}


def test_a_run_has_only_what_has_an_effect() -> None:
    config = config_of({"data": "x", "focal_gamma": 1.0, "focal_alpha": 0.5, "threshold": 0.3, "lr": 0.5})
    assert config == TrainConfig(data="x", lr=0.5)
    config = config_of({"data": "x", "loss": "focal", "focal_gamma": 1.0, "pos_weight": True})
    assert config == TrainConfig(data="x", loss="focal", focal_gamma=1.0)
    with pytest.raises(ConfigError, match="lr"):
        config_of({"data": "x", "lr": -1})
