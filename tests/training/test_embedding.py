"""Images in two dimensions: from the features before the head, deterministic, and plain about what can't be placed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from explored import finished_run, make_dataset, with_weights

from covidviz.data.images import decode
from covidviz.errors import DataError, InputError, StoreError
from covidviz.store import cache, layout, maps
from covidviz.store.reader import Run
from covidviz.training import embedding
from covidviz.training.batches import to_input
from covidviz.training.embedding import make_map, penultimate, placed
from covidviz.training.inference import load_model
from covidviz.ui import background


def quiet(*_: object) -> None: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise", 36)


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return with_weights(finished_run(runs, data, 2, weights="none", model="resnet18", precision="fp32"))


def groups(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    of = np.arange(n) % 3
    return (10 * np.eye(3, 40)[of] + rng.normal(0, 0.5, (n, 40))).astype(np.float32), of


def test_what_is_alike_lies_together_and_the_same_way_each_time() -> None:
    found, of = groups()
    steps: list[tuple[int, int]] = []
    place, method = placed(found, lambda done, total: steps.append((done, total)))
    assert place.min(axis=0) == pytest.approx([0, 0])
    assert place.max(axis=0) == pytest.approx([1, 1])
    nearest = np.linalg.norm(place[:, None] - place[None], axis=2) + 9 * np.eye(len(place))
    assert (of[nearest.argmin(axis=1)] == of).all()
    assert steps[-1] == (embedding.ROUNDS, embedding.ROUNDS)
    assert len(steps) > 3
    assert "t-SNE" in method
    assert np.array_equal(place, placed(found, quiet)[0])


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_a_few_images_are_no_map(n: int) -> None:
    with pytest.raises(DataError, match=f"{n} .* too few for a map, accepted: 5 or more"):
        placed(groups()[0][:n], quiet)


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_equal_features_are_no_map(value: float) -> None:
    with pytest.raises(DataError, match="the same features for every image"):
        placed(np.full((20, 8), value, np.float32), quiet)


@pytest.mark.parametrize(
    "found",
    [
        groups(5)[0],
        np.repeat(np.eye(2, 6, dtype=np.float32), 10, axis=0),  # two different ones only
        np.arange(12, dtype=np.float32)[:, None],  # one number each
    ],
)
def test_little_difference_still_gives_places(found: np.ndarray) -> None:
    place, _ = placed(found, quiet)
    assert place.shape == (len(found), 2)
    assert np.isfinite(place).all()
    assert place.min() >= 0
    assert place.max() <= 1


def before_the_head(run: Run, data: Path) -> np.ndarray:
    """What enters the head, by a hook on the whole network."""
    model, config = load_model(run.dir)
    seen = []
    model.get_submodule("fc").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    rows = run.samples().query("split == 'val'")
    images, _ = decode(data, rows["path"].tolist(), config.image_size)
    with torch.inference_mode():
        model(to_input(images, torch.device("cpu")))
    return seen[0].numpy()


@pytest.mark.parametrize(("settings", "kept"), [({}, 1), ({"cache": "off"}, 0), ({"trainable": "all"}, 0)])
def test_features_are_what_enters_the_head(runs: Path, data: Path, settings: dict[str, str], kept: int) -> None:
    run = with_weights(finished_run(runs, data, 3, weights="none", model="resnet18", precision="fp32", **settings))
    ids, found = penultimate(run, "val", quiet)
    assert ids == run.samples().query("split == 'val'")["sample_id"].tolist()
    assert found == pytest.approx(before_the_head(run, data), abs=1e-4)
    assert len(cache.entries("features")) == kept
    again = penultimate(run, "val", quiet)[1]
    assert np.array_equal(again, found)


def test_a_map_is_kept_and_the_run_left_as_it_is(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.dir.rglob("*") if file.is_file()}
    assert background.main(["map", str(run.dir)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "loading the network"
    assert said[-1] == "placing: 100 %"
    assert all("%" in line for line in said[1:])
    known = maps.read(run, "val")
    assert known is not None
    assert set(known.sample_id) == set(run.samples().query("split == 'val'")["sample_id"])
    assert {file: file.stat().st_mtime_ns for file in run.dir.rglob("*") if file.is_file()} == before


def test_images_that_are_gone_are_left_out(run: Run, data: Path) -> None:
    rows = run.samples().query("split == 'val'")
    for path in rows["path"][:3]:
        (data / path).unlink()
    assert make_map(run.dir) == len(rows) - 3
    known = maps.read(run, "val")
    assert known is not None
    assert known.sample_id == rows["sample_id"][3:].tolist()
    for path in rows["path"][3:]:
        (data / path).unlink()
    with pytest.raises(DataError, match="none of the 12 images of val can be read"):
        make_map(run.dir)


def test_of_very_many_images_some_are_placed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MOST", 8)
    assert make_map(run.dir) == 8
    known = maps.read(run, "val")
    assert known is not None
    assert (len(known.sample_id), known.of) == (8, 12)


def test_features_that_are_no_numbers_are_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "penultimate", lambda *_: (["a", "b"], np.full((2, 4), np.nan, np.float32)))
    with pytest.raises(DataError, match="not numbers"):
        make_map(run.dir)


def test_wrong_use_and_missing_weights_are_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="split: 'nope' given"):
        make_map(run.dir, "nope")
    (run.dir / layout.BEST).unlink()
    with pytest.raises(StoreError, match="no best epoch"):
        make_map(run.dir)
    assert background.main(["map", str(run.dir)]) != 0
    assert "no best epoch" in capsys.readouterr().out.splitlines()[-1]
