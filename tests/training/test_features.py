"""Training only what learns gives what training with the whole network gives: the same weights, difference 0."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covidviz.config import TrainConfig
from covidviz.store import cache, layout
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs
from covidviz.training import checkpoint
from covidviz.training.features import cut
from covidviz.training.models import build
from covidviz.training.worker import work

MakeRun = Callable[..., Path]
HEAD = {"trainable": "head", "epochs": 2}
CASES: dict[str, dict[str, Any]] = {
    "resnet18 head": {"model": "resnet18", **HEAD},
    "resnet18 head, flip": {"model": "resnet18", "augment": "flip", **HEAD},
    "resnet18 from layer4": {"model": "resnet18", "trainable": "from:layer4", "epochs": 2, "augment": "flip"},
    "resnet18 exact inner layer": {"model": "resnet18", "trainable": "layer3.1.conv2", "epochs": 1},
    "vgg16 head": {"model": "vgg16", "trainable": "head", "epochs": 1},
    "vgg16 last block": {"model": "vgg16", "trainable": "from:features.28", "epochs": 1},
    "only val and test": {"model": "resnet18", "trainable": "head", "augment": "course", "epochs": 1},
    "train metrics": {"model": "resnet18", "trainable": "head", "train_eval": True, "epochs": 1},
}


def outcome(run_dir: Path) -> tuple[dict[str, torch.Tensor], list[str], Any]:
    lines = (run_dir / layout.METRICS).read_text().splitlines()
    metrics = [line.partition('"seconds"')[0] for line in lines]
    return checkpoint.load_best(run_dir / layout.BEST)[0], metrics, Run(run_dir).predictions()


@pytest.mark.parametrize("case", CASES)
def test_the_same_weights(make_run: MakeRun, case: str) -> None:
    results = []
    for how in ("off", "exact", "exact"):  # without, computed, found
        run_dir = make_run(**{**CASES[case], "cache": how})
        assert work(run_dir) == "completed"
        log = (run_dir / layout.LOG).read_text()
        assert ("frozen part before" in log) == (how == "exact")
        kept = how == "exact" and CASES[case].get("augment") != "course"
        assert bool(Run(run_dir).status().extra.get("frozen_once")) == kept
        results.append(outcome(run_dir))
    assert "computed" not in log
    for tensors, metrics, predictions in results[1:]:
        for name, tensor in results[0][0].items():
            torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)
        assert metrics == results[0][1]
        assert predictions.equals(results[0][2])
    maps = [Run(path).cams("test") for path in list_run_dirs(run_dir.parent)]
    assert len(maps) == 3
    for cams in maps:
        assert cams is not None
        np.testing.assert_array_equal(cams.maps, maps[0].maps)
        np.testing.assert_array_equal(cams.scale, maps[0].scale)


@pytest.mark.parametrize("model", ["squeezenet1_1", "densenet121", "efficientnet_b0", "mobilenet_v3_small"])
def test_nearly_the_same_weights(make_run: MakeRun, model: str) -> None:
    """On a CPU the 1 x 1 convolutions of these round differently in batches of another size."""
    results = []
    for how in ("off", "auto"):
        run_dir = make_run(model=model, trainable="head", epochs=1, cache=how, head="")
        assert work(run_dir) == "completed"
        results.append(outcome(run_dir)[0])
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["resnet18 head, flip", "resnet18 exact inner layer", "vgg16 last block"])
def test_fast_features_give_nearly_the_same_weights(make_run: MakeRun, case: str) -> None:
    results = []
    for how in ("exact", "auto"):
        run_dir = make_run(**{**CASES[case], "cache": how})
        assert work(run_dir) == "completed"
        results.append((run_dir, outcome(run_dir)[0]))
    for name, tensor in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], tensor, rtol=0, atol=1e-4)
    log = (results[1][0] / layout.LOG).read_text()
    if "vgg" in case:
        assert "train found" in log, "there is nothing to fold, so both are the same"
    else:
        assert "train computed" in log, "what is computed otherwise is never taken for the other"


def test_the_status_says_what_was_kept(make_run: MakeRun) -> None:
    documents = []
    for _ in range(2):
        run_dir = make_run(model="resnet18", trainable="head", augment="flip", epochs=3)
        assert work(run_dir) == "completed"
        documents.append(Run(run_dir).status().extra["frozen_cache"])
    for document, computed in zip(documents, (True, False), strict=True):
        assert document["before"] == "fc"
        assert document["bytes"] == 512 * 4 * (2 * 18 + 9 + 6)
        assert {name: (part["images"], part["variants"], part["computed"]) for name, part in document["splits"].items()
                } == {"train": (18, 2, computed), "val": (9, 1, computed), "test": (6, 1, computed)}  # fmt: skip
        assert {part["key"] for part in document["splits"].values()} <= {e.key for e in cache.entries("features")}
    seconds = {name: part["seconds"] for name, part in documents[0]["splits"].items()}
    assert seconds == {name: part["seconds"] for name, part in documents[1]["splits"].items()}, "remembered"
    once = seconds["train"] / 2 * 4 + seconds["val"] * 4 + seconds["test"]
    assert documents[1]["saved_s"] == pytest.approx(once, abs=0.051)
    assert documents[0]["saved_s"] == pytest.approx(max(0, once - sum(seconds.values())), abs=0.051)


def test_after_an_early_end_the_saving_is_that_of_the_epochs_trained(make_run: MakeRun) -> None:
    run_dir = make_run(model="resnet18", trainable="head", epochs=100, patience=1, lr=1e-12, dropout=0)
    assert work(run_dir) == "completed"
    document = Run(run_dir).status().extra["frozen_cache"]
    assert Run(run_dir).status().epoch == 2
    each = sum(document["splits"][name]["seconds"] for name in ("train", "val"))
    assert document["saved_s"] == pytest.approx(2 * each, abs=0.051)


def test_without_a_cache_nothing_is_said(make_run: MakeRun) -> None:
    run_dir = make_run(model="resnet18", trainable="head", cache="off", epochs=1)
    assert work(run_dir) == "completed"
    assert not Run(run_dir).status().extra.get("frozen_cache")


def test_nothing_to_keep(make_run: MakeRun) -> None:
    run_dir = make_run(trainable="all", epochs=1)
    assert work(run_dir) == "completed"
    assert not cache.entries("features")


@pytest.mark.parametrize("model", ["resnet18", "vgg16"])
def test_an_image_gives_the_same_features_in_every_batch(model: str) -> None:
    config = TrainConfig.parse({"data": "x", "model": model, "weights": "none", "image_size": 224})
    parts = cut(build(config, 3).eval().to(memory_format=torch.channels_last))
    assert parts is not None
    x = torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        whole = parts.before(x)
        for n in (1, 2, 3):
            assert torch.equal(parts.before(x[:n]), whole[:n])


def test_where_it_is_cut() -> None:
    def where(model: str, trainable: str) -> str | None:
        config = TrainConfig.parse({"data": ".", "model": model, "weights": "none", "trainable": trainable})
        found = cut(build(config, 3))
        return found.where if found else None

    assert where("resnet18", "head") == "fc"
    assert where("resnet18", "from:layer3") == "layer3"
    assert where("resnet18", "layer2,layer4") == "layer2"
    assert where("resnet18", "conv1") is None
    assert where("vgg16", "head") == "classifier"
    assert where("vgg16", "features.10,features.28") == "features.10"
    assert where("resnet18", "all") is None


@pytest.mark.parametrize("harm", ["truncated", "gone", "other weights"])
def test_a_cache_that_is_not_right_is_not_used(make_run: MakeRun, harm: str) -> None:
    settings = {"trainable": "head", "epochs": 1}
    first = make_run(**settings)
    assert work(first) == "completed"
    for entry in cache.entries("features"):
        if harm == "truncated":
            (entry.path / "features.bin").write_bytes(b"x" * 10)
        elif harm == "gone":
            shutil.rmtree(entry.path)
    second = make_run(**settings, seed=0 if harm != "other weights" else 1)
    assert work(second) == "completed"
    assert "found" not in (second / layout.LOG).read_text().partition("frozen part")[2].splitlines()[0]
    if harm != "other weights":
        assert outcome(second)[1] == outcome(first)[1]


def test_no_room_is_no_obstacle(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", "0")
    run_dir = make_run(trainable="head", epochs=1)
    assert work(run_dir) == "completed"
    log = (run_dir / layout.LOG).read_text()
    assert "more than the cache may take" in log
    assert not cache.entries()


def test_precision_half(make_run: MakeRun) -> None:
    """Features in bfloat16 go through the file unchanged."""
    results = []
    for how in ("off", "exact"):
        run_dir = make_run(model="resnet18", trainable="head", epochs=1, precision="bf16", cache=how)
        assert work(run_dir) == "completed"
        results.append(outcome(run_dir))
    for name, tensor in results[0][0].items():
        np.testing.assert_array_equal(results[1][0][name].numpy(), tensor.numpy())
