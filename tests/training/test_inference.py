from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1

from covidviz.config import TrainConfig
from covidviz.data.manifest import load_manifest
from covidviz.errors import CovidvizError, DataError, InputError, StoreError, WeightsError
from covidviz.evaluation.metrics import classification_metrics
from covidviz.jobs.submit import prepare
from covidviz.store.reader import Run
from covidviz.store.runs import create_run
from covidviz.training.inference import evaluate_run, load_model, predict_images
from covidviz.training.worker import work


def finished_run(runs: Path, data: Path, **settings: object) -> Path:
    values = {
        "data": str(data), "model": "squeezenet1_1", "weights": "none", "image_size": 64, "epochs": 1, "head": "32",
        "lr": 0.01, "device": "cpu", "precision": "fp32", **settings,
    }  # fmt: skip
    config, _ = prepare(TrainConfig.parse(values))
    run_dir = create_run(config, runs, state="running")
    assert work(run_dir) == "completed"
    return run_dir


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet1_1().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_phantoms: Path, weights: Path) -> Path:
    """One epoch of a new head on frozen weights, on the tiny phantoms."""
    return finished_run(tmp_path_factory.mktemp("runs"), tiny_phantoms, weights=str(weights))


@pytest.fixture(scope="module")
def multi_label(tmp_path_factory: pytest.TempPathFactory, tiny_phantoms: Path) -> Path:
    settings = {"task": "multi-label", "label_rule": "covid19>pneumonia", "loss": "class_balanced"}
    return finished_run(tmp_path_factory.mktemp("runs"), tiny_phantoms, **settings)


@pytest.fixture
def images(tiny_phantoms: Path) -> list[Path]:
    samples = load_manifest(tiny_phantoms).samples
    return [tiny_phantoms / path for path in samples.loc[samples["split"] == "val", "path"]]


def copied(source: Path, to: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """A dataset beside its images with another labels.csv."""
    shutil.copytree(source, to)
    change(pd.read_csv(to / "labels.csv")).to_csv(to / "labels.csv", index=False)
    return to


# load_model


def test_the_network_is_that_of_the_best_epoch(run: Path, images: list[Path]):
    model, config = load_model(run)
    assert config == Run(run).config()
    assert not any(module.training for module in model.modules())
    stored = Run(run).predictions().set_index("sample_id")
    samples = Run(run).samples()
    by_path = samples.set_index("path")["sample_id"]
    root = Path(config.data)
    for document in predict_images(run, images):
        expected = stored.loc[by_path[Path(document["path"]).relative_to(root).as_posix()]]
        assert document["prob"] == {name: expected[f"prob_{name}"] for name in config.classes}


def test_starting_weights_that_are_gone_or_others_are_named(run: Path, tmp_path: Path, weights: Path):
    moved = tmp_path / "elsewhere.pth"
    weights.rename(moved)
    try:
        with pytest.raises(WeightsError, match=r"squeezenet\.pth"):
            load_model(run)
        torch.save(squeezenet1_1().state_dict(), weights)
        with pytest.raises(CovidvizError, match="is not the file this run started from"):
            load_model(run)
    finally:
        moved.replace(weights)


def test_a_run_without_best_epoch_or_config_says_so(run: Path, tmp_path: Path):
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    (copy / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(StoreError, match="no best epoch yet"):
        load_model(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(StoreError, match=r"config\.json can't be read"):
        load_model(copy)


def test_a_run_from_a_machine_with_a_gpu_is_used_on_the_cpu(run: Path, tmp_path: Path, images: list[Path]):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"fp32"', '"fp16"').replace('"cpu"', '"cuda:1"'))
    assert Run(copy).config().device == "cuda:1"
    document = next(predict_images(copy, images[:1]))
    assert document["error"] is None


# predict_images


def test_prediction_documents(run: Path, images: list[Path]):
    seen = []
    documents = list(predict_images(run, images[:3], on_progress=lambda *done: seen.append(done)))
    assert [document["path"] for document in documents] == [str(path) for path in images[:3]]
    for document in documents:
        assert document.keys() == {"path", "prob", "predicted", "error"}
        assert list(document["prob"]) == list(Run(run).config().classes)
        assert sum(document["prob"].values()) == pytest.approx(1)
        assert document["predicted"] == max(document["prob"], key=document["prob"].get)
        assert document["error"] is None
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_multi_label_predicts_a_list(multi_label: Path, images: list[Path]):
    for document in predict_images(multi_label, images[:4]):
        assert document["predicted"] == [name for name, p in document["prob"].items() if p >= 0.5]


def test_an_unreadable_image_does_not_stop_the_others(run: Path, images: list[Path], tmp_path: Path):
    broken, missing = tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes(images[0].read_bytes()[:200])
    documents = list(predict_images(run, [broken, images[0], missing, images[1]], cam_dir=tmp_path / "cams"))
    assert [document["error"] is None for document in documents] == [False, True, False, True]
    for document, name in ((documents[0], "broken.png"), (documents[2], "missing.png")):
        assert name in document["error"]
        assert document["prob"] is document["predicted"] is document["cam"] is None
    alone = next(iter(predict_images(run, [images[0]])))
    assert documents[1]["prob"] == pytest.approx(alone["prob"], abs=1e-6)


def test_only_unreadable_images(run: Path, tmp_path: Path):
    (tmp_path / "empty.png").touch()
    (document,) = predict_images(run, [tmp_path / "empty.png"])
    assert "empty" in document["error"]


def test_cam_pictures_have_safe_new_names_and_the_shape_of_the_image(run: Path, images: list[Path], tmp_path: Path):
    wide = Image.open(images[0]).convert("L").resize((300, 120))
    names = ["a b;c$(x).png", "same.png", "same.jpg", "SAME.png", "..png"]
    given = []
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        folder.mkdir()
        wide.save(folder / name, format="PNG")
        given.append(folder / name)
    cams = tmp_path / "deep" / "cams"
    documents = list(predict_images(run, given, cam_dir=cams))
    files = [Path(document["cam"]) for document in documents]
    assert sorted(files) == sorted(cams.iterdir())
    assert len({file.name.casefold() for file in files}) == len(names)
    for file, document in zip(files, documents, strict=True):
        assert file.name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert document["predicted"] in file.name
        with Image.open(file) as picture:
            assert (picture.size, picture.mode) == ((300, 120), "RGB")
    again = list(predict_images(run, given, cam_dir=cams))
    assert [document["cam"] for document in again] == [str(file) for file in files]


def test_cam_pictures_share_the_scale_of_the_run(run: Path, images: list[Path], tmp_path: Path):
    def reddest(run_dir: Path, folder: str) -> int:
        documents = predict_images(run_dir, images[:8], cam_dir=tmp_path / folder)
        pixels = [np.asarray(Image.open(document["cam"])).astype(int) for document in documents]
        return max(int((picture[..., 0] - picture[..., 1]).max()) for picture in pixels)

    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    for split in ("val", "test"):
        with np.load(copy / "cams" / f"{split}.npz") as file:
            arrays = dict(file)
        np.savez(copy / "cams" / f"{split}.npz", **{**arrays, "scale": arrays["scale"] * 1000})
    assert reddest(run, "usual") > 30  # coloured
    assert reddest(copy, "faint") < 5  # a map of a thousandth of the run's scale is nearly nothing


def test_large_images_make_pictures_of_bounded_size(run: Path, tmp_path: Path):
    Image.new("L", (3000, 1500), 80).save(tmp_path / "large.png")
    (document,) = predict_images(run, [tmp_path / "large.png"], cam_dir=tmp_path / "cams")
    with Image.open(document["cam"]) as picture:
        assert picture.size == (1024, 512)


def test_a_cam_folder_that_can_not_be_made_is_named(run: Path, images: list[Path]):
    with pytest.raises(StoreError, match="can't be made"):
        predict_images(run, images[:1], cam_dir=images[0] / "cams")


# evaluate_run


@pytest.mark.parametrize("split", ["train", "val", "test", "all"])
def test_on_its_own_data_a_run_has_exactly_the_metrics_of_its_predictions(run: Path, tiny_phantoms: Path, split: str):
    document = evaluate_run(run, tiny_phantoms, split)
    samples, stored = Run(run).samples(), Run(run).predictions()
    config = Run(run).config()
    rows = (samples["split"] == split) | (split == "all")
    labels = samples.loc[rows, [f"label_{name}" for name in config.classes]].to_numpy()
    prob = stored.loc[rows, [f"prob_{name}" for name in config.classes]].to_numpy()
    expected = classification_metrics(prob, labels, config.classes, config.task, stored.loc[rows, "loss"].to_numpy())
    loss = document["metrics"].pop("loss")
    assert loss == pytest.approx(expected.pop("loss"), rel=1e-6)
    assert document["metrics"] == expected
    assert document["run_id"] == run.name
    assert document["split"] == split
    assert document["n"] == rows.sum() == np.sum(document["confusion"]["matrix"])
    assert document["confusion"]["classes"] == list(config.classes)
    if split == "val":
        assert {"loss": loss, **expected} == Run(run).best()[1]["val"]


def test_the_label_rule_and_the_class_weights_of_the_run_hold_elsewhere_too(
    multi_label: Path, tiny_phantoms: Path, tmp_path: Path
):
    best = Run(multi_label).best()[1]["val"]
    assert evaluate_run(multi_label, tiny_phantoms, "val")["metrics"] == best
    other = copied(tiny_phantoms, tmp_path / "other", lambda table: table[table["split"] == "val"])
    document = evaluate_run(multi_label, other, "all")
    assert document["metrics"] == best
    counts = document["confusion"]
    table = pd.read_csv(other / "labels.csv")
    positive = table["label"].isin(["covid19", "pneumonia"]).sum()
    assert counts["pneumonia"]["tp"] + counts["pneumonia"]["fn"] == positive
    assert sum(counts["normal"].values()) == document["n"] == len(table)


def test_all_takes_every_image_whatever_its_split_says(run: Path, tiny_phantoms: Path, tmp_path: Path):
    other = copied(tiny_phantoms, tmp_path / "other", lambda table: table.drop(columns="split"))
    whole = evaluate_run(run, other, "all")
    assert whole["n"] == len(pd.read_csv(other / "labels.csv"))
    assert whole["confusion"] == evaluate_run(run, tiny_phantoms, "all")["confusion"]


def test_a_dataset_may_lack_a_class(run: Path, tiny_phantoms: Path, tmp_path: Path):
    other = copied(tiny_phantoms, tmp_path / "other", lambda table: table[table["label"] != "covid19"])
    document = evaluate_run(run, other, "all")
    assert document["confusion"]["classes"] == list(Run(run).config().classes)
    assert sum(document["confusion"]["matrix"][0]) == 0
    assert document["metrics"]["recall_covid19"] == 0
    assert any("covid19" in note for note in document["notes"])


def test_a_dataset_of_other_classes_is_refused(run: Path, tiny_phantoms: Path, tmp_path: Path):
    other = copied(
        tiny_phantoms,
        tmp_path / "other",
        lambda table: table.assign(label=table["label"].map(lambda name: f"my {name}")),
    )
    with pytest.raises(DataError, match="has no image of"):
        evaluate_run(run, other, "all")


def test_a_dataset_without_the_split_says_which_there_are(run: Path, tiny_phantoms: Path, tmp_path: Path):
    other = copied(tiny_phantoms, tmp_path / "other", lambda table: table.assign(split="val"))
    with pytest.raises(DataError, match="no image in test, accepted: val, all"):
        evaluate_run(run, other, "test")
    with pytest.raises(InputError, match="'tset' given, accepted: train, val, test, all"):
        evaluate_run(run, other, "tset")


def test_too_many_unreadable_images_stop_an_evaluation(run: Path, tiny_phantoms: Path, tmp_path: Path):
    other = copied(tiny_phantoms, tmp_path / "other", lambda table: table)
    victim = other / pd.read_csv(other / "labels.csv")["path"][0]
    victim.write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 60 images can't be read.*empty"):
        evaluate_run(run, other, "all")


def test_progress_reaches_the_end(run: Path, tiny_phantoms: Path):
    seen = []
    n = evaluate_run(run, tiny_phantoms, "all", on_progress=lambda *done: seen.append(done))["n"]
    assert seen[-1] == (n, n)
