"""Where the heat of a run lies: groups, two runs, one image, against the measures themselves."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from explored import finished_run, make_dataset
from starlette.applications import Starlette
from starlette.testclient import TestClient
from synthetic import CLASSES

from covidviz.catalog import CAM_METHODS
from covidviz.explain.explained import place
from covidviz.explain.masks import GRID, find_masks, known_masks
from covidviz.explain.measures import measure
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import heat_measures, heat_tasks, tasks
from covidviz.ui.components.heat_shares import paired_rows, rows_of
from covidviz.ui.heat_measures import Group, Share, groups, look, measured, two_runs
from covidviz.ui.heat_view import sentence
from covidviz.ui.results import results
from covidviz.ui.routes import ROUTES


@pytest.fixture
def data(tmp_path: Path, tiny_phantoms: Path) -> Path:
    return shutil.copytree(tiny_phantoms, tmp_path / "data" / "phantoms")


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return finished_run(runs, data)


def truth(run: Run, split: str) -> dict[str, tuple[int, int, np.ndarray]]:
    """Per sample id: true class, predicted class, shares of the lungs [C]."""
    frame, cams, masks = results(run).frame, run.cams(split), known_masks(run, split)
    rows = {name: k for k, name in enumerate(masks.sample_id)}
    found = {}
    for k, name in enumerate(cams.sample_id):
        lungs = masks.lungs(np.array([rows[name]]))
        one = frame[frame["sample_id"] == name].iloc[0]
        true = int(np.argmax([one[f"label_{c}"] for c in CLASSES]))
        said = int(np.argmax([one[f"prob_{c}"] for c in CLASSES]))
        found[str(name)] = (true, said, measure(cams.maps[k : k + 1], lungs, None).lungs[0])
    return found


def test_groups_are_means_over_their_images(run: Run):
    before = groups(run, "val")
    assert before[0].kind == "all"
    assert set(before[0].shares) == {"border", "corners"}, "nobody looked for lungs yet"
    find_masks(run, "val")
    known = truth(run, "val")
    for map_of in ("predicted", "true"):
        found = groups(run, "val", map_of)
        which = (lambda t, s: s) if map_of == "predicted" else (lambda t, s: t)
        expected = {"all images": list(known.values())}
        for i, name in enumerate(CLASSES):
            expected[name] = [one for one in known.values() if one[0] == i]
            for j, other in enumerate(CLASSES):
                expected[f"{name} → {other}"] = [one for one in known.values() if one[:2] == (i, j)]
        assert {group.name for group in found} == {name for name, images in expected.items() if images}
        for group in found:
            images = expected[group.name]
            share = group.shares["lungs"]
            assert group.images == share.n == len(images)
            assert share.value == pytest.approx(np.mean([one[2][which(*one[:2])] for one in images]), abs=1e-5)
            assert group.cell is None or group.name == " → ".join(CLASSES[int(k)] for k in group.cell.split("-"))
    assert "lesion" in found[0].shares
    assert measured(run, "val").masks == {"none": 0, "dataset": 12, "pspnet": 0, "classical": 0}


def test_several_labels_speak_of_one_label_each(runs: Path, tmp_path: Path):
    run = finished_run(runs, make_dataset(tmp_path / "data" / "noise", 36), task="multi-label", loss="bce")
    found = groups(run, "val")
    assert {group.kind for group in found} == {"class", "cell"}
    assert [group.name for group in found[:3]] == list(CLASSES)
    cells = [group for group in found if group.kind == "cell" and group.cell.startswith("0-")]
    assert sum(group.images for group in cells) == 12


def test_two_runs_beside_each_other(run: Run, runs: Path, data: Path):
    other = finished_run(runs, data, 5)
    pairs = two_runs(run, other, "val")
    assert pairs[0][0] == groups(run, "val")[0]
    assert pairs[0][1] == groups(other, "val")[0]
    names = {group.name for group in (*groups(run, "val"), *groups(other, "val"))}
    assert {next(group for group in pair if group).name for pair in pairs} == names
    rows = paired_rows(pairs)
    assert all(len(row["runs"]) == len(row["images"]) == 2 for row in rows)
    assert json.dumps(rows)
    shutil.rmtree(other.dir / layout.CAMS)
    assert all(pair[1] is None for pair in two_runs(run, other, "val"))
    assert two_runs(other, other, "val") == []


def test_without_maps_or_predictions_there_is_nothing(run: Run):
    assert groups(run, "train") == []
    assert measured(run, "x") is None
    (run.dir / layout.PREDICTIONS).unlink()
    assert groups(run, "val") == []
    assert measured(run, "val") is not None
    (run.dir / layout.CAMS / "val.npz").write_bytes(b"no archive")
    assert measured(run, "val") is None


def test_maps_that_are_no_numbers_are_left_out(run: Run):
    file = run.dir / layout.CAMS / "val.npz"
    with np.load(file) as loaded:
        kept = dict(loaded)
    kept["maps"][:5] = np.nan
    np.savez(file, **kept)
    (everything, *_) = groups(run, "val")
    assert (everything.images, everything.shares["border"].n) == (12, 7)
    assert json.dumps(rows_of([everything]), allow_nan=False)
    document = look(run, str(kept["sample_id"][0]))
    assert document["shares"]["border"] == [None] * 3


def test_a_large_split_is_measured_in_part(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heat_measures, "LIMIT", 5)
    monkeypatch.setattr(heat_measures, "PART", 2)
    heat_measures._measured.cache_clear()
    found = measured(run, "val")
    assert (len(found.sample_id), found.left_out) == (5, 7)
    assert groups(run, "val")[0].images == 5
    heat_measures._measured.cache_clear()


def test_the_words_follow_the_numbers():
    def share(value: float, chance: float) -> Share:
        return Share(value, None, None, chance, 3, (0, 1))

    assert [share(value, 0.5).beside_chance for value in (0.39, 0.4, 0.625, 0.63)] == [
        "less than", "about", "about", "more than",
    ]  # fmt: skip
    group = Group("all", "all images", 3, {"lungs": share(0.11, 0.22), "border": share(0.36, 0.36)})
    assert sentence(group) == (
        "Of the heat: 11 % in the lungs, less than what even heat would have (22 %); "
        "36 % on the border, about what even heat would have (36 %)."
    )
    assert sentence(Group("all", "", 3, {})) == "None of these maps shows any heat."


# --- one image


def test_one_image_tells_its_shares_masks_and_other_maps(run: Run):
    cams = run.cams("val")
    name = str(cams.sample_id[2])
    document = look(run, name)
    assert (document["looked"], document["source"], document["lungs"]) == (False, "none", None)
    assert document["shares"]["lungs"] == [None] * 3
    find_masks(run, "val")
    document = look(run, name)
    masks = known_masks(run, "val")
    row = masks.sample_id.tolist().index(name)
    bits = np.frombuffer(base64.b64decode(document["lungs"]), np.uint8)
    lungs = masks.lungs(np.array([row]))
    assert np.array_equal(np.unpackbits(bits).reshape(GRID, GRID), lungs[0])
    assert document["source"] == "dataset"
    assert document["shares"]["lungs"] == pytest.approx(measure(cams.maps[2:3], lungs, None).lungs[0], abs=1e-4)
    assert document["chance"]["lungs"] == pytest.approx(lungs.mean(), abs=1e-4)
    assert [method["id"] for method in document["methods"]] == [key for key in CAM_METHODS if key != "grad-cam"]
    assert all(method["map"] is None and method["source"] for method in document["methods"])

    kept = place(run, "layercam") / layout.CAMS
    kept.mkdir(parents=True)
    maps = np.random.default_rng(0).random((1, 3, 4, 4)).astype(np.float16)
    np.savez(
        kept / "val.npz", sample_id=np.array([name]), classes=np.array(CLASSES), maps=maps,
        scale=np.ones((1, 3), np.float32), method=np.array("layercam"), layer=np.array("layer4"),
    )  # fmt: skip
    made = next(method["map"] for method in look(run, name)["methods"] if method["id"] == "layercam")
    values = np.frombuffer(base64.b64decode(made["values"]), np.uint8).reshape(3, 4, 4)
    assert values == pytest.approx(255 * maps[0].astype(float), abs=0.51)
    assert look(run, "nope") is None


def test_the_route_answers_for_known_images_only(run: Run, monkeypatch: pytest.MonkeyPatch):
    client = TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1", raise_server_exceptions=False)
    name = str(run.cams("val").sample_id[0])
    answer = client.get(f"/look/{run.id}/{name}.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["task"] is None
    monkeypatch.setattr(tasks, "look", lambda what: tasks.Task(True, "30 %", None) if "masks" in what else None)
    task = client.get(f"/look/{run.id}/{name}.json").json()["task"]
    assert task == {"kind": "masks", "busy": True, "line": "30 %", "share": 0.3, "failed": None}
    for path in (f"{run.id}/nope.json", f"{run.id}/..%2F{name}.json", f"{run.id}/{name}", f"nope/{name}.json"):
        assert client.get(f"/look/{path}").status_code == 404


def test_work_is_started_once_and_forgotten_when_it_ended_well(run: Run, monkeypatch: pytest.MonkeyPatch):
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda name, *arguments: started.append((name, *arguments)))
    heat_tasks.otherwise(run, "val", "abc", ["layercam", "grad-cam", "nonsense"])
    heat_tasks.find_lungs(run, "val")
    heat_tasks.check(run)
    heat_tasks.otherwise(run, "nonsense", "abc", ["layercam"])
    heat_tasks.otherwise(run, "val", "abc", ["nonsense"])
    assert started == [
        (f"otherwise-{run.id}", "explain-otherwise", str(run.dir), "val", "abc", "layercam"),
        (f"masks-{run.id}", "masks", str(run.dir), "val"),
        (f"sanity-{run.id}", "sanity", str(run.dir)),
    ]
    monkeypatch.setattr(tasks, "look", lambda _: tasks.Task(True, "10 %", None))
    heat_tasks.check(run)
    assert len(started) == 3
    assert heat_tasks.checking(run).alive
    monkeypatch.setattr(tasks, "look", lambda _: tasks.Task(False, "100 %", None))
    assert heat_tasks.checking(run) is None
    assert heat_tasks.work(run) is None
    monkeypatch.setattr(tasks, "look", lambda _: tasks.Task(False, "gone", "gone"))
    assert heat_tasks.work(run) == {"kind": "otherwise", "busy": False, "line": "gone", "share": None, "failed": "gone"}
