"""One run from start to end: what it writes, how it is told, what it notices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from covidviz.errors import StoreError
from covidviz.evaluation.metrics import classification_metrics
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.status import read_status
from covidviz.training import batches, checkpoint
from covidviz.training.alarms import validation_alarms
from covidviz.training.batches import epoch_order
from covidviz.training.engine import Training
from covidviz.training.models import build
from covidviz.training.progress import Work
from covidviz.training.worker import work

MakeRun = Callable[..., Path]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _extra(run_dir: Path, key: str) -> Any:
    return json.loads((run_dir / layout.STATUS).read_text())[key]


def test_a_run_writes_the_contract(make_run: MakeRun) -> None:
    run_dir = make_run(augment="light", monitor="val_loss", epochs=3)
    told: list[str] = []
    assert work(run_dir, told.append) == "completed"
    run = Run(run_dir)
    config = run.config()
    assert config is not None
    classes = config.classes

    status = run.status()
    assert (status.state, status.epoch, status.epochs, status.progress) == ("completed", 3, 3, 1.0)
    assert status.error is None
    assert (status.started or 0) <= (status.finished or 0)

    samples = run.samples()
    assert samples.columns[:6].tolist() == ["sample_id", "path", "split", *(f"label_{name}" for name in classes)]
    assert samples["split"].value_counts().to_dict() == {"train": 18, "val": 9, "test": 6}

    rows = _lines(run_dir / layout.METRICS)
    assert [(row["epoch"], row["split"]) for row in rows[:-1]] == [
        (epoch, split) for epoch in (1, 2, 3) for split in ("train", "val")
    ]
    losses = [row["loss"] for row in rows if row["split"] == "val"]
    best_epoch = 1 + int(np.argmin(losses))
    assert (rows[-1]["epoch"], rows[-1]["split"]) == (best_epoch, "test")
    assert {"lr", "seconds", "images_per_s"} <= rows[0].keys()
    assert "lr" not in rows[1]
    named = [
        "loss",
        "accuracy",
        "macro_f1",
        "micro_f1",
        *(f"{m}_{c}" for m in ("f1", "recall", "precision") for c in classes),
    ]
    assert list(rows[1])[2:] == named
    assert run.best()[0] == best_epoch == _extra(run_dir, "best_epoch")

    steps = _lines(run_dir / layout.STEPS)
    assert [row["step"] for row in steps] == list(range(1, 10))
    assert [row["epoch"] for row in steps] == [1] * 3 + [2] * 3 + [3] * 3
    assert np.mean([row["loss"] for row in steps[:3]]) == pytest.approx(rows[0]["loss"], rel=1e-5)

    predictions = run.predictions()
    assert predictions.columns.tolist() == ["sample_id", "split", *(f"prob_{name}" for name in classes), "loss"]
    assert predictions["sample_id"].tolist() == samples["sample_id"].tolist()
    prob = predictions[[f"prob_{name}" for name in classes]].to_numpy()
    np.testing.assert_allclose(prob.sum(axis=1), 1, rtol=1e-5)
    labels = samples[[f"label_{name}" for name in classes]].to_numpy()
    for split, row in (("val", rows[2 * best_epoch - 1]), ("test", rows[-1])):
        at = (samples["split"] == split).to_numpy()
        expected = classification_metrics(prob[at], labels[at], classes, config.task, predictions["loss"][at])
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-6)

    history = run.history()
    assert history is not None
    assert history.epoch.tolist() == [1, 2, 3]
    val = (samples["split"] == "val").to_numpy()
    assert history.sample_id.tolist() == samples["sample_id"][val].tolist()
    np.testing.assert_array_equal(history.prob[best_epoch - 1], prob[val].astype(np.float16))

    for split, n in (("val", 9), ("test", 6)):
        cams = run.cams(split)
        assert cams is not None
        assert cams.maps.shape[:2] == (n, 3)
        assert cams.sample_id.tolist() == samples["sample_id"][samples["split"] == split].tolist()

    environment = run.environment()
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["data"]["n"] == {"train": 18, "val": 9, "test": 6}
    assert len(environment["data"]["fingerprint"]) == 64
    assert environment["parameters"]["trainable"] == environment["parameters"]["total"]
    assert environment["hardware"]["cores"] > 0

    assert list(run_dir.glob(layout.EVENTS))
    log = (run_dir / layout.LOG).read_text()
    for line in told:
        assert line in log
    assert sum("epoch" in line and "val_loss" in line for line in told) == 3
    assert not list(run_dir.rglob("*.tmp"))


def test_equals_a_plain_torch_loop(make_run: MakeRun, bars: Path) -> None:
    """The plain way: PIL, torchvision's transforms, torch's SGD, one batch after the other."""
    run_dir = make_run(model="mobilenet_v3_small", dropout=0, lr=0.05, weight_decay=1e-3, monitor="val_loss")
    assert work(run_dir) == "completed"
    run = Run(run_dir)
    config, samples = run.config(), run.samples()
    assert config is not None
    model = build(config, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    prepare = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )

    def load(split: str) -> tuple[Tensor, Tensor]:
        rows = samples[samples["split"] == split]
        images = [prepare(Image.open(bars / path).convert("RGB")) for path in rows["path"]]
        return torch.stack(images), torch.tensor(rows[[f"label_{c}" for c in config.classes]].to_numpy()).argmax(1)

    (x, y), (x_val, y_val) = load("train"), load("val")
    for epoch in (1, 2):
        model.train()
        order, losses = torch.from_numpy(epoch_order(18, config.seed, epoch)), []
        for part in order.split(6):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[part]), y[part])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            val_loss = nn.functional.cross_entropy(model(x_val), y_val).item()
        rows = {row["split"]: row for row in _lines(run_dir / layout.METRICS) if row["epoch"] == epoch}
        assert rows["train"]["loss"] == pytest.approx(np.mean(losses), rel=1e-3)
        assert rows["val"]["loss"] == pytest.approx(val_loss, rel=1e-3)
    last = checkpoint.load_last(run_dir / layout.LAST)
    assert last is not None
    start = build(config, 3)
    difference = sum(((last["model"][name] - p) ** 2).sum() for name, p in model.named_parameters())
    distance = sum(((p - q) ** 2).sum() for p, q in zip(model.parameters(), start.parameters(), strict=True))
    assert difference < 1e-4 * distance  # the memory format rounds otherwise


def test_best_holds_what_differs_from_the_starting_weights(make_run: MakeRun, tmp_path: Path) -> None:
    config = Run(make_run(model="resnet18", head="")).config()
    assert config is not None
    torch.save(build(config.replace(seed=7), 3).state_dict(), tmp_path / "start.pth")
    run_dir = make_run(model="resnet18", weights=str(tmp_path / "start.pth"), trainable="layer4.1.bn2", epochs=1)
    assert work(run_dir) == "completed"
    tensors, metadata = checkpoint.load_best(run_dir / layout.BEST)
    names = [f"layer4.1.bn2.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    assert sorted(tensors) == sorted([*names, "fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"])
    assert metadata["epoch"] == "1"
    assert metadata["stored"] == "changed"

    # rebuilt, it is the network that made the predictions
    run = Run(run_dir)
    config = run.config()
    assert config is not None
    model = checkpoint.rebuild(run_dir / layout.BEST, config, 3)
    state, start = model.state_dict(), torch.load(tmp_path / "start.pth", weights_only=True)
    assert all(
        torch.equal(state[name], start[name]) for name in start if name not in (*names, "fc.0.weight", "fc.0.bias")
    )
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)

    torch.save(build(config.replace(seed=8), 3).state_dict(), tmp_path / "start.pth")
    with pytest.raises(StoreError, match="is not the file this run started from"):
        checkpoint.rebuild(run_dir / layout.BEST, config, 3)


def test_frozen_values_stay_through_a_whole_run(make_run: MakeRun) -> None:
    run_dir = make_run(model="resnet18", trainable="head", weight_decay=0.1, epochs=2, image_size=64)
    assert work(run_dir) == "completed"
    config = Run(run_dir).config()
    assert config is not None
    start = build(config, 3).state_dict()
    tensors, metadata = checkpoint.load_best(run_dir / layout.BEST)
    assert metadata["stored"] == "all"  # from scratch
    for name, tensor in tensors.items():
        assert torch.equal(tensor, start[name]) == (not name.startswith("fc.")), name


def test_multi_label(make_run: MakeRun, bars: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(bars / "labels.csv")
    frame["path"] = [str(bars / path) for path in frame["path"]]
    for name in ("covid19", "pneumonia"):
        frame[name] = (frame["label"] == name).astype(int)
    frame["pneumonia"] |= frame["covid19"]
    data = tmp_path / "labels.csv"
    # paths must lie in the folder of labels.csv
    for path in frame["path"]:
        (tmp_path / Path(path).name).write_bytes(Path(path).read_bytes())
    frame["path"] = [Path(path).name for path in frame["path"]]
    frame.drop(columns="label").to_csv(data, index=False)
    run_dir = make_run(
        data=str(data), task="multi-label", loss="asymmetric", monitor="val_exact_match", train_eval=True
    )
    assert work(run_dir) == "completed"
    rows = _lines(run_dir / layout.METRICS)
    assert {"label_accuracy", "exact_match", "recall_covid19"} <= rows[0].keys()
    assert "accuracy" not in rows[0]
    prob = Run(run_dir).predictions()[["prob_covid19", "prob_pneumonia"]].to_numpy()
    assert not np.allclose(prob.sum(axis=1), 1)


def test_training_metrics_in_evaluation_mode(make_run: MakeRun) -> None:
    run_dir = make_run(train_eval=True, epochs=1, dropout=0.9, augment="course")
    assert work(run_dir) == "completed"
    row = _lines(run_dir / layout.METRICS)[0]
    predictions = Run(run_dir).predictions()
    # one epoch, so the best network is the one that was measured
    assert row["loss"] == pytest.approx(predictions["loss"][predictions["split"] == "train"].mean(), rel=1e-6)


def test_without_test_images(make_run: MakeRun, bars: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(bars / "labels.csv")
    for path in frame["path"]:
        (tmp_path / path).write_bytes((bars / path).read_bytes())
    frame[frame["split"] != "test"].to_csv(tmp_path / "labels.csv", index=False)
    run_dir = make_run(data=str(tmp_path), epochs=1)
    assert work(run_dir) == "completed"
    assert set(Run(run_dir).predictions()["split"]) == {"train", "val"}
    assert not (run_dir / layout.CAMS / "test.npz").exists()


def test_validation_is_neither_augmented_nor_trained_on(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []
    forward = batches.to_input

    def spy(batch: Tensor, *where: Any) -> Tensor:
        seen.append((torch.is_grad_enabled(), len(batch) == 9))
        return forward(batch, *where)

    def only_training(batch: Tensor, how: str, **_: object) -> Tensor:
        assert how == ("light" if torch.is_grad_enabled() else "none")
        return batch

    monkeypatch.setattr(batches, "to_input", spy)
    monkeypatch.setattr(batches, "augment", only_training)
    modes: list[tuple[bool, int]] = []
    step = nn.Module.__call__

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, nn.Dropout):
            modes.append((self.training, len(args[0])))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__call__", call)
    run_dir = make_run(epochs=1, augment="light", batch_size=6)
    assert work(run_dir) == "completed"
    assert all(gradient != is_val for gradient, is_val in seen[:4])
    assert all(training == (n == 6) for training, n in modes[:4])


def test_early_stopping(make_run: MakeRun) -> None:
    # with a rate this small nothing moves, so the first epoch stays the best
    run_dir = make_run(epochs=50, patience=2, lr=1e-12, dropout=0)
    assert work(run_dir) == "completed"
    assert (_extra(run_dir, "best_epoch"), read_status(run_dir).epoch) == (1, 3)


def test_steps_are_thinned_and_schedules_followed(make_run: MakeRun) -> None:
    run_dir = make_run(epochs=3, schedule="step", lr_steps="2:1e-3,3:1e-4")
    assert work(run_dir) == "completed"
    assert [row["lr"] for row in _lines(run_dir / layout.STEPS)] == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4] * 3)
    lrs = [row["lr"] for row in _lines(run_dir / layout.METRICS) if row["split"] == "train"]
    assert lrs == pytest.approx([1e-2, 1e-3, 1e-4])


def test_nan_ends_the_run(make_run: MakeRun) -> None:
    run_dir = make_run(lr=10, epochs=5, optimizer="sgd")
    assert work(run_dir) == "failed"
    error = read_status(run_dir).error or ""
    assert "try a smaller lr" in error
    assert "NaN" in error or "infinite" in error
    assert "Traceback" in (run_dir / layout.LOG).read_text()


def test_alarms() -> None:
    labels = np.eye(3, dtype=np.int8)[[0, 1, 2, 0]]
    loss = np.ones(4, dtype=np.float32)
    good = np.float32([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
    classes, task = ("a", "b", "c"), "single-label"
    assert validation_alarms(good, labels, loss, classes, task) == []
    constant = np.float32([[0.5, 0.3, 0.2]] * 4)
    found = validation_alarms(constant, labels, loss, classes, task)
    assert found[0].startswith("Every validation image gets the same prediction")
    assert found[1:] == ["b is never predicted in validation.", "c is never predicted in validation."]
    assert validation_alarms(good, labels, -loss, classes, task)[0].startswith("The loss is negative (-1)")
    # a class that is not there need not be predicted
    assert validation_alarms(good[:, :2], labels[:2, :2], loss, ("a", "b"), "multi-label") == []


def test_alarms_reach_the_status(make_run: MakeRun) -> None:
    run_dir = make_run(epochs=1, lr=1e-9)
    assert work(run_dir) == "completed"
    alarms = _extra(run_dir, "alarms")
    assert any("is never predicted" in alarm for alarm in alarms)
    assert all(alarm in (run_dir / layout.LOG).read_text() for alarm in alarms)


def test_a_full_gpu_says_the_batch_size_that_fits(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Training._step

    def full(self: Training, batch: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, labels)

    monkeypatch.setattr(Training, "_step", full)
    run_dir = make_run(batch_size=16)
    assert work(run_dir) == "failed"
    assert read_status(run_dir).error == "the memory of cpu is too small for batch_size 16; batch_size 2 fits"

    def always(self: Training, batch: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Training, "_step", always)
    run_dir = make_run(batch_size=16)
    assert work(run_dir) == "failed"
    assert (read_status(run_dir).error or "").endswith("even for batch_size 1; try a smaller image_size")


@pytest.mark.parametrize("cache", ["off", "exact"])
def test_keeping_images_changes_nothing(make_run: MakeRun, cache: str) -> None:
    rows = []
    for how in ("auto", cache):
        run_dir = make_run(epochs=1, cache=how, augment="course")
        assert work(run_dir) == "completed"
        rows.append(_lines(run_dir / layout.METRICS))
    for one, other in zip(*rows, strict=True):
        drop = ("seconds", "images_per_s")
        assert {k: v for k, v in one.items() if k not in drop} == {k: v for k, v in other.items() if k not in drop}


@pytest.mark.parametrize("precision", ["bf16"])
def test_reduced_precision_trains(make_run: MakeRun, precision: str) -> None:
    run_dir = make_run(epochs=1, precision=precision)
    assert work(run_dir) == "completed"
    assert Run(run_dir).environment()["precision"] == "bfloat16"
    tensors, _ = checkpoint.load_best(run_dir / layout.BEST)
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


def test_work_adds_up(make_run: MakeRun) -> None:
    config = Run(make_run(epochs=2, train_eval=True)).config()
    assert config is not None
    work_ = Work(config, {"train": 18, "val": 9, "test": 6})
    seen = []
    for _ in range(2):
        for amount in (work_.train, 18, 9):
            work_.enter(amount)
            seen.append(work_.at(1)[0])
    for amount in (18, 9, 6, 9 * Work.EXPLAIN, 6 * Work.EXPLAIN):
        work_.enter(amount)
        seen.append(work_.at(1)[0])
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    work_.skip_epochs(1)
    work_.enter(work_.train)
    assert work_.at(1)[0] == pytest.approx(seen[3])
