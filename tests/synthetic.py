"""Complete run directories without any training, for tests of the index and the pages and for benchmarks.

>>> run_dir = write_synthetic_run(runs_dir, 7, state="running", epochs=20)
>>> run_dir = write_synthetic_run(runs_dir, 8, data=tiny_phantoms, artefacts=True)   # with images to look at
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from covidviz.config import TrainConfig
from covidviz.store import layout
from covidviz.store.files import to_json, write_json_atomic
from covidviz.store.status import host_name, process_start

CLASSES = ("covid19", "normal", "pneumonia")
START = 1_780_000_000.0


def write_synthetic_run(
    runs_dir: Path,
    i: int,
    state: str = "completed",
    epochs: int = 10,
    *,
    artefacts: bool = False,
    data: Path | None = None,
    n: int = 60,
    **settings: Any,
) -> Path:
    """A run directory as a training would have left it; deterministic in `i`.

    Args:
        i: its number: gives the id, the creation time (a minute apart), and the noise in its curves.
        state: any of the five states, or `lost` (says running, but its last heartbeat is an hour old).
            `running` is kept alive by the pid of the calling process and a heartbeat of now.
        epochs: planned; `completed` and `stopped` have all of them, `running`, `lost`, `failed` half, `queued` none.
        artefacts: also write samples.parquet and, when completed, predictions, history, CAMs and checkpoints.
        data: a real dataset folder for samples.parquet, so that images can be shown; else `n` invented samples.
        settings: fields of TrainConfig.
    """
    rng = random.Random(i)
    config = TrainConfig.parse({
        "data": str(data or "/data/xrays"), "epochs": epochs, "image_size": 64,
        "model": ("resnet18", "vgg16")[i % 2], "lr": 10 ** -(1 + i % 4), "focal_gamma": i % 5 / 2,
        "loss": ("cross_entropy", "focal")[i % 3 == 0], "tags": ("course",) if i % 10 == 0 else (), "seed": i,
        "name": f"synthetic {i}", **settings,
    })  # fmt: skip
    config = config.resolve(config.classes or CLASSES)
    created = START + 60 * i
    run_dir = runs_dir / f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(created))}-synthetic-{i}-{i % 65536:04x}"
    run_dir.mkdir(parents=True)
    done = {"queued": 0, "completed": epochs, "stopped": epochs}.get(state, max(1, epochs // 2))
    status: dict[str, Any] = {
        "state": "running" if state == "lost" else state, "epoch": done, "epochs": epochs, "progress": done / epochs,
        "eta_s": None, "heartbeat": created + 10 * done, "device": "cpu", "host": "laptop", "pid": 1234,
        "pid_start": None, "error": None, "created": created, "started": created + 1, "finished": created + 10 * done,
        "support": {"train": dict.fromkeys(config.classes, 40), "val": dict.fromkeys(config.classes, 12)},
    }  # fmt: skip
    if state == "queued":
        status |= {"heartbeat": None, "pid": None, "host": None, "started": None, "finished": None}
    elif state == "running":
        here = {"host": host_name(), "pid": os.getpid(), "pid_start": process_start(os.getpid())}
        status |= {"heartbeat": time.time(), "finished": None, "eta_s": 60.0, **here}
    elif state == "lost":
        status |= {"heartbeat": time.time() - 3600, "finished": None, "eta_s": 60.0}
    elif state == "failed":
        status["error"] = "loss became not-a-number at epoch 3; a lower lr may help"
    write_json_atomic(run_dir / layout.CONFIG, config.dump())
    write_json_atomic(run_dir / layout.STATUS, status)
    write_json_atomic(
        run_dir / layout.NOTES, {"name": config.name, "tags": list(config.tags), "note": "", "archived": False}
    )
    if done:
        lines = [row for epoch in range(1, done + 1) for row in _metrics(config, epoch, rng)]
        (run_dir / layout.METRICS).write_text("".join(to_json(row) + "\n" for row in lines))
        steps = [{"step": s, "epoch": 1 + s // 10, "loss": 1.1 * 0.99**s, "lr": config.lr} for s in range(10 * done)]
        (run_dir / layout.STEPS).write_text("".join(to_json(row) + "\n" for row in steps))
        (run_dir / layout.LOG).write_text(f"epoch {done} of {epochs}\n")
    if artefacts:
        _artefacts(run_dir, config, state, done, n, i, data)
    return run_dir


def _metrics(config: TrainConfig, epoch: int, rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for split, ceiling in (("train", 0.97), ("val", 0.9)):
        score = ceiling * (1 - 0.6 * 0.75**epoch) + rng.uniform(-0.02, 0.02)
        row: dict[str, Any] = {"epoch": epoch, "split": split, "loss": 1.1 * (1 - score) + 0.05}
        if config.task == "single-label":
            row["accuracy"] = score
        else:
            row |= {"label_accuracy": score, "exact_match": 0.9 * score}
        row |= {"macro_f1": score - 0.01, "micro_f1": score}
        for name in config.classes:
            row |= {f"{metric}_{name}": score + rng.uniform(-0.03, 0.03) for metric in ("f1", "recall", "precision")}
        if split == "train":
            row |= {"lr": config.lr, "seconds": 10.0, "images_per_s": 62.8}
        rows.append(row)
    return rows


def _artefacts(run_dir: Path, config: TrainConfig, state: str, done: int, n: int, seed: int, data: Path | None) -> None:
    import numpy as np
    import pandas as pd

    from covidviz.store.writer import RunWriter

    rng = np.random.default_rng(seed)
    classes = config.classes
    if data is not None:
        from covidviz.data.manifest import load_manifest

        samples = load_manifest(data, task=config.task).samples
    else:
        label = rng.integers(0, len(classes), n)
        samples = pd.DataFrame({
            "sample_id": [f"{k:08x}" for k in range(n)],
            "path": [f"images/{k:04}.png" for k in range(n)],
            "split": np.array(["train", "train", "val", "test"])[np.arange(n) % 4],
            **{f"label_{name}": (label == c).astype(np.int8) for c, name in enumerate(classes)},
            "patient_id": [f"p{k // 2}" for k in range(n)],
        })  # fmt: skip
    truth = samples[[f"label_{name}" for name in classes]].to_numpy()
    before = {name: (run_dir / name).read_bytes() for name in (layout.STATUS,)}
    with RunWriter(run_dir) as writer:
        writer.samples(samples)
        writer.environment({"python": "3.11", "torch": "2.15.0", "device": "cpu", "data_fingerprint": "0" * 16})
        if state == "completed":
            logits = 1.6 * truth + rng.normal(0, 1, truth.shape)
            prob = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            loss = -np.log((prob * truth).sum(1).clip(1e-7))
            frame = samples[["sample_id", "split"]].copy()
            for c, name in enumerate(classes):
                frame[f"prob_{name}"] = prob[:, c].astype(np.float32)
            frame["loss"] = loss.astype(np.float32)
            writer.predictions(frame)
            val = (samples["split"] == "val").to_numpy()
            curve = [prob[val] * (e / done) + (1 - e / done) / len(classes) for e in range(1, done + 1)]
            writer.history(samples["sample_id"][val].tolist(), range(1, done + 1), np.stack(curve))
            for split in ("val", "test"):
                some = (samples["split"] == split).to_numpy()
                maps = rng.random((int(some.sum()), len(classes), 4, 4))
                writer.cams(
                    split, samples["sample_id"][some].tolist(), classes, maps, rng.random(maps.shape[:2]) + 0.1,
                    "grad-cam", "layer4",
                )  # fmt: skip
    for name, content in before.items():
        (run_dir / name).write_bytes(content)
