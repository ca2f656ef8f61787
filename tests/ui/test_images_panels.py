"""Epochs and map on the Images page, and the epochs on the Run page: links, filters, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored import finished_run, make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.evaluation.replay import FATES
from covidviz.paths import PROJECT
from covidviz.store import layout, maps
from covidviz.store.reader import Run
from covidviz.ui import nav, replays, tasks
from covidviz.ui.places import place_map, points
from covidviz.ui.replays import found_at, replay

MAIN = PROJECT / "covidviz" / "ui" / "main.py"
HALF = "-100,-100~500,-100~500,1100~-100,1100"


def page(target: Any = nav.IMAGES, **params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(target).run()
    assert not at.exception
    return at


def component(at: AppTest, key: str) -> dict[str, Any] | None:
    found = {node.proto.id.rpartition("-")[2]: node.proto.json for node in at.get("bidi_component")}
    return json.loads(found[key]) if key in found else None


def shown(at: AppTest) -> list[str]:
    gallery = component(at, "gallery")
    return [item["id"] for item in gallery["items"]] if gallery else []


def sentence(at: AppTest) -> str:
    return next(text.value for text in at.markdown if text.value.startswith("**"))


def captions(at: AppTest) -> str:
    return "\n".join(caption.value for caption in at.caption)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise")


def with_epochs(run: Run, epochs: int = 6) -> Run:
    samples = run.samples()
    ids = samples.loc[samples["split"] == "val", "sample_id"].tolist()
    prob = np.random.default_rng(3).dirichlet(np.ones(3), (epochs, len(ids))).astype(np.float16)
    np.savez(run.dir / layout.HISTORY, sample_id=np.array(ids), epoch=np.arange(1, epochs + 1), prob=prob)
    return run


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return with_epochs(finished_run(runs, data))


def draw_map(run: Run) -> None:
    samples = run.samples()
    ids = samples.loc[samples["split"] == "val", "sample_id"].tolist()
    maps.write(run, "val", ids, np.random.default_rng(0).random((len(ids), 2)), "by chance", len(ids))


def test_a_link_shows_the_images_as_they_were_in_an_epoch(run: Run) -> None:
    for epoch in (2, 5):
        at = page(run=run.id, epoch=str(epoch))
        wrong = found_at(run, epoch).frame.query("not right").sort_values("loss", ascending=False)  # type: ignore[union-attr]
        assert shown(at) == wrong["sample_id"].tolist()
        assert f"in epoch {epoch}" in sentence(at)
        item = component(at, "gallery")["items"][0]  # type: ignore[index]
        assert ["epoch", str(epoch)] in item["facts"]
        scrubber = component(at, "images_replay")
        assert scrubber is not None  # the link opens its panel
        assert (scrubber["epoch"], scrubber["live"]) == (epoch, False)
        assert "heat maps are of the best" in captions(at)


def test_without_an_epoch_in_the_link_the_panels_are_closed_and_nothing_changes(run: Run) -> None:
    at = page(run=run.id)
    assert component(at, "images_replay") is None
    assert "epoch" not in sentence(at)
    at.session_state["images_panels"] = ["epochs", "map"]
    at.session_state["_images_panels"] = ["epochs", "map"]
    at.run()
    assert component(at, "images_replay")["epoch"] is None  # type: ignore[index]
    assert "There is no map" in captions(at)  # of a run without weights


@pytest.mark.parametrize("fate", FATES)
def test_images_of_a_fate_are_those_that_had_it(run: Run, fate: str) -> None:
    known = replay(run)
    assert known is not None
    at = page(run=run.id, fate=fate, order="all")
    assert set(shown(at)) == known.of_fate(fate)
    if shown(at):
        assert replays.FATE_TITLES[fate].lower() in sentence(at)
        told = {dict(item["facts"])["over the epochs"] for item in component(at, "gallery")["items"]}  # type: ignore[index]
        words = {"flickering": "right since epoch", "forgotten": "wrong since epoch", "learned": "learned in epoch"}
        assert all(words.get(fate, fate.replace("-", " ")) in one for one in told)


def test_the_map_chooses_images_and_says_so(run: Run) -> None:
    draw_map(run)
    at = page(run=run.id, area=HALF, order="all")
    sent = json.loads(points(run, None) or b"")
    inside = {name for name, x in zip(sent["ids"], sent["x"], strict=True) if x < 0.5}
    assert set(shown(at)) == inside
    assert f"**{len(inside)} images**" in sentence(at)
    assert "chosen in the map" in sentence(at)
    assert component(at, "place_map")["area"] == [[-0.1, -0.1], [0.5, -0.1], [0.5, 1.1], [-0.1, 1.1]]  # type: ignore[index]
    assert "by chance" in captions(at)
    at.button(key="clear_filters").click().run()
    assert "area" not in at.query_params


def test_an_outline_without_a_map_is_said(run: Run) -> None:
    at = page(run=run.id, area=HALF)
    assert "no map, so no choice on it" in captions(at)
    assert shown(at)


@pytest.mark.parametrize("params", [{"epoch": "99"}, {"epoch": "<b>"}, {"fate": "x"}, {"area": "x"}, {"epoch": "²"}])
def test_what_a_link_may_not_say_is_ignored(run: Run, params: dict[str, str]) -> None:
    assert shown(page(run=run.id, **params)) == shown(page(run=run.id))


def test_other_splits_have_no_epochs(run: Run) -> None:
    at = page(run=run.id, epoch="2")
    at.query_params["split"] = "test"
    at.run()
    assert "of validation only" in captions(at)
    assert component(at, "images_replay") is None
    at.button(key="panels_val").click().run()
    assert component(at, "images_replay") is not None


def test_a_run_without_history_says_so(run: Run) -> None:
    at = page(run=run.id, epoch="2")
    (run.dir / layout.HISTORY).unlink()
    at.run()
    assert "were not kept for this run" in captions(at)
    assert shown(at)
    at = page(nav.RUN, run=run.id)
    assert "were not kept for this run" in captions(at)


def test_a_run_that_trains_shows_its_latest_epoch(runs: Path, data: Path) -> None:
    run = with_epochs(Run(write_synthetic_run(runs, 1, "running", artefacts=True, data=data)), 3)
    at = page(run=run.id)
    assert "As in epoch 3: this run has not ended yet" in captions(at)
    assert shown(at)
    with_epochs(run, 4)
    at.run()
    assert "As in epoch 4" in captions(at)
    at = page(nav.RUN, run=run.id)
    assert component(at, "run_replay")["live"] is True  # type: ignore[index]


@pytest.mark.parametrize(("state", "words"), [("stopped", "the last that this run got to"), ("completed", "be read")])
def test_a_run_without_predictions_shows_the_last_epoch_it_has(runs: Path, data: Path, state: str, words: str) -> None:
    run = with_epochs(Run(write_synthetic_run(runs, 1, state, artefacts=True, data=data)), 3)
    (run.dir / layout.PREDICTIONS).unlink(missing_ok=True)
    at = page(run=run.id)
    assert words in captions(at)
    assert shown(at)


def test_the_run_page_has_the_epochs_and_none_before_the_first(runs: Path, run: Run) -> None:
    scrubber = component(page(nav.RUN, run=run.id), "run_replay")
    assert scrubber is not None
    assert scrubber["url"] == f"/replay/{run.id}?v={replays.key(run)}"
    queued = write_synthetic_run(runs, 2, "queued")
    at = page(nav.RUN, run=queued.name)
    assert component(at, "run_replay") is None
    assert "Epoch by epoch" not in [one.value for one in at.subheader]


def test_drawing_the_map_is_offered_and_its_failure_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.dir / layout.CHECKPOINTS).mkdir(exist_ok=True)
    (run.dir / layout.BEST).write_bytes(b"no weights")
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda *args: started.append(args))
    at = page(run=run.id)
    at.session_state["_images_panels"] = ["map"]
    at.run()
    at.button(key="draw_map").click().run()
    assert started == [(f"map-{run.id}", "map", str(run.dir))]
    failed = tasks.Task(alive=False, line="x", failed="the *disk* is full")
    monkeypatch.setattr(tasks, "look", lambda name: failed if "map" in name else None)
    at.run()
    assert "the \\*disk\\* is full" in captions(at)
    assert at.button(key="draw_map").label == "Try again"
    going = tasks.Task(alive=True, line="placing: 40 %", failed=None)
    monkeypatch.setattr(tasks, "look", lambda name: going if "map" in name else None)
    at.run()
    assert place_map(run) is None
    assert not [button for button in at.button if button.key == "draw_map"]
