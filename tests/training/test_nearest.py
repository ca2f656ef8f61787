"""The training images near a new one: against scikit-learn on the same vectors, from caches, and without them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeRun, make_bars_run
from sklearn.neighbors import NearestNeighbors
from torch import nn

from covidviz.data.images import decode
from covidviz.errors import DataError, StoreError
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.training.batches import to_input
from covidviz.training.inference import Predictor
from covidviz.training.nearest import NEAREST, Neighbours, channels_of, pooled
from covidviz.training.worker import work

HEAD = {"model": "resnet18", "trainable": "head", "epochs": 1}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def head_run(tmp_path_factory: pytest.TempPathFactory, bars: Path, cache: Path) -> Path:
    """A head trained on cached features of mirrored images too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(cache))
        run_dir = make_bars_run(tmp_path_factory.mktemp("runs"), bars, augment="flip", **HEAD)
        assert work(run_dir) == "completed"
    return run_dir


@pytest.fixture(autouse=True)
def cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(cache))


def plain(predictor: Predictor, root: Path, paths: list[str]) -> np.ndarray:
    """The network before its head, by a hook on the head, averaged over places."""
    seen: list[torch.Tensor] = []
    head = predictor.model.get_submodule("fc" if hasattr(predictor.model, "fc") else "classifier")
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    images, _ = decode(root, paths, predictor.config.image_size)
    with torch.inference_mode():
        predictor.model(to_input(images))
    hook.remove()
    return seen[0].flatten(2).mean(2).numpy() if seen[0].ndim == 4 else seen[0].numpy()


def of_run(run_dir: Path) -> tuple[Predictor, Neighbours, list[str]]:
    said: list[str] = []
    predictor = Predictor.of(run_dir)
    return predictor, Neighbours.of(run_dir, predictor, lambda what, *_: said.append(what)), said


@pytest.mark.parametrize("kind", ["head", "all"])
def test_neighbours_and_what_is_usual_are_those_of_scikit_learn(
    kind: str, head_run: Path, finished: Path, bars: Path
) -> None:
    run_dir = head_run if kind == "head" else finished
    predictor, found, said = of_run(run_dir)
    assert ("computing features, train" in said) == (kind == "all")  # a head's training left them in the cache
    samples = Run(run_dir).samples()
    vectors = {
        split: plain(predictor, bars, samples.loc[samples["split"] == split, "path"].tolist())
        for split in ("train", "val", "test")
    }
    oracle = NearestNeighbors(n_neighbors=NEAREST, metric="cosine").fit(vectors["train"])
    usual = np.sort(oracle.kneighbors(vectors["val"])[0].mean(axis=1))
    np.testing.assert_allclose(found.reference, usual, atol=2e-5)
    distances, rows = oracle.kneighbors(vectors["test"])
    train = samples[samples["split"] == "train"].reset_index(drop=True)
    for answer, distance, row in zip(found.ask(torch.from_numpy(vectors["test"])), distances, rows, strict=True):
        np.testing.assert_allclose([one.distance for one in answer.nearest], distance, atol=2e-5)
        if np.diff(distance).min() > 1e-4:
            assert [one.sample_id for one in answer.nearest] == train["sample_id"][row].tolist()
        for one in answer.nearest:
            known = train.set_index("sample_id").loc[one.sample_id]
            assert one.labels == [name for name in predictor.config.classes if known[f"label_{name}"]]
        assert answer.distance == pytest.approx(distance.mean(), abs=2e-5)
        assert answer.nearer == (found.reference < answer.distance).sum()
        assert answer.beyond == pytest.approx(answer.distance / found.reference[-1])
        assert answer.twin == pytest.approx(answer.nearest[0].distance / np.median(found.reference))


def test_a_training_image_finds_itself(head_run: Path, bars: Path) -> None:
    predictor, found, _ = of_run(head_run)
    samples = Run(head_run).samples()
    train = samples[samples["split"] == "train"]
    answers = found.ask(torch.from_numpy(plain(predictor, bars, train["path"].tolist())))
    assert [answer.nearest[0].sample_id for answer in answers] == train["sample_id"].tolist()
    assert max(answer.nearest[0].distance for answer in answers) < 1e-5


def test_without_room_in_the_cache_the_same_is_computed(head_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept, _ = of_run(head_run)
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", "0")
    _, computed, said = of_run(head_run)
    assert "computing features, train" in said
    np.testing.assert_allclose(computed.vectors.numpy(), kept.vectors.numpy(), atol=1e-5)


@pytest.mark.parametrize("broken", ["dataset", "samples", "one image"])
def test_a_dataset_or_samples_that_are_gone_are_named(
    broken: str, make_run: MakeRun, bars: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(bars, tmp_path / "gone"))
    run_dir = make_run(data=str(data), **HEAD)
    assert work(run_dir) == "completed"
    predictor = Predictor.of(run_dir)
    if broken == "dataset":
        shutil.rmtree(data)
    elif broken == "samples":
        (run_dir / layout.SAMPLES).unlink()
    else:
        (data / "train-03.png").unlink()
    with pytest.raises(StoreError if broken == "samples" else DataError, match=r"samples|gone|train-03"):
        Neighbours.of(run_dir, predictor, lambda *_: None)


def test_vectors_of_another_network_are_refused(head_run: Path) -> None:
    _, found, _ = of_run(head_run)
    with pytest.raises(ValueError, match=r"accepted: \[Q, 512\]"):
        found.ask(torch.zeros(2, 7))


def test_an_image_like_no_other_is_beyond_all(head_run: Path) -> None:
    _, found, _ = of_run(head_run)
    [answer] = found.ask(-found.vectors.mean(0, keepdim=True))
    assert answer.nearer == len(found.reference)
    assert answer.beyond > 1.5
    assert answer.distance == pytest.approx(2, abs=0.2)


def test_places_are_averaged_channel_by_channel() -> None:
    values = torch.arange(2 * 3 * 4.0).reshape(2, 3, 2, 2)
    expected = values.mean((2, 3))
    assert torch.equal(pooled(values, 3), expected)
    assert torch.equal(pooled(values.flatten(1), 3), expected)  # as VGG hands them to its head

    class Front:
        front: Any = (("conv", nn.Conv2d(3, 5, 3)), ("flatten", nn.Flatten()))

    assert channels_of(Front, 8, torch.device("cpu")) == 5  # type: ignore[arg-type]
