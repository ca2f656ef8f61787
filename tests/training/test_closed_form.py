"""A head alone on cached features is trained without autograd, and nobody can tell but by the time it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covidviz.store import layout
from covidviz.store.files import read_jsonl
from covidviz.store.reader import Run
from covidviz.training import checkpoint
from covidviz.training.engine import Training
from covidviz.training.fused import FusedHead
from covidviz.training.worker import work

MakeRun = Callable[..., Path]
HEAD = {"model": "mobilenet_v3_small", "trainable": "head", "epochs": 3, "batch_size": 5}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "flip": {"augment": "flip"},
    "focal, cosine": {"loss": "focal", "focal_gamma": 3.0, "schedule": "cosine", "weight_decay": 1e-2},
    "no hidden layer": {"head": "", "momentum": 0.0},
    "two hidden layers": {"head": "16,4", "dropout": 0.3, "pos_weight": True, "train_eval": True},
    "resnet": {"model": "resnet18", "epochs": 2},
}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that were trained on in closed form."""
    taken: list[int] = []
    step = FusedHead.step

    def spy(self: FusedHead, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        taken.append(len(x))
        return step(self, x, *rest)

    monkeypatch.setattr(FusedHead, "step", spy)
    return taken


@pytest.mark.parametrize("name", SETTINGS)
def test_as_autograd(make_run: MakeRun, steps: list[int], name: str) -> None:
    runs = []
    for how in ("auto", "exact"):
        run_dir = make_run(**{**HEAD, **SETTINGS[name], "cache": how})
        assert work(run_dir) == "completed", (run_dir / layout.LOG).read_text()
        assert bool(steps) == (how == "auto")
        steps.clear()
        runs.append(run_dir)
    fused, exact = (checkpoint.load_last(run_dir / layout.LAST) for run_dir in runs)
    assert fused is not None
    assert exact is not None
    assert all(key.startswith(("classifier.", "fc.")) for key in fused["model"]), "what is frozen is not written again"
    for key, tensor in exact["model"].items():
        torch.testing.assert_close(fused["model"][key], tensor, rtol=0, atol=1e-5)
    assert torch.equal(fused["rng"], exact["rng"]), "dropout draws from the same stream"
    assert fused["optimizer"]["param_groups"] == exact["optimizer"]["param_groups"]
    moments = [{k: v for k, v in one["optimizer"]["state"].items() if v} for one in (fused, exact)]
    assert moments[0].keys() == moments[1].keys()
    for key, state in moments[1].items():
        torch.testing.assert_close(moments[0][key]["momentum_buffer"], state["momentum_buffer"], rtol=0, atol=1e-4)
    for kind in (layout.METRICS, layout.STEPS):
        (ours, _), (theirs, _) = (read_jsonl(run_dir / kind) for run_dir in runs)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            for key in one.keys() - {"seconds", "images_per_s"}:
                assert one[key] == pytest.approx(other[key], abs=1e-5), key
    columns = ["prob_covid19", "prob_normal", "prob_pneumonia", "loss"]
    ours, theirs = (Run(run_dir).predictions()[columns].to_numpy() for run_dir in runs)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "lr": 1e-3},
        {"nesterov": True},
        {"augment": "course"},
        {"cache": "off"},
        {"trainable": "features.12"},
        {"model": "squeezenet1_1"},
    ],
)
def test_what_needs_autograd_has_it(make_run: MakeRun, steps: list[int], settings: dict[str, Any]) -> None:
    run_dir = make_run(**{**HEAD, "epochs": 1, **settings})
    assert work(run_dir) == "completed"
    assert not steps


def test_stopped_and_gone_on(make_run: MakeRun, steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of an epoch and between two; the outcome is that of the run which was not stopped, bit for bit."""
    whole, parts = make_run(**HEAD), make_run(**HEAD)
    assert work(whole) == "completed"
    tell, told = Training._tell, 0

    def stop(self: Training, done: int, total: int) -> None:
        nonlocal told
        told += 1
        if told in (2, 7, 11):
            (parts / layout.STOP).touch()
        tell(self, done, total)

    state, begun = "", 0
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_tell", stop)
        while state != "completed":
            state, begun = work(parts), begun + 1
    assert begun == 4
    one, other = (checkpoint.load_last(run_dir / layout.LAST) for run_dir in (whole, parts))
    assert one is not None
    assert other is not None
    for key, tensor in one["model"].items():
        assert torch.equal(other["model"][key], tensor), key
    assert torch.equal(one["rng"], other["rng"])
    assert Run(whole).predictions().equals(Run(parts).predictions())
    for kind in (layout.METRICS, layout.STEPS):
        rows = [read_jsonl(run_dir / kind)[0] for run_dir in (whole, parts)]
        kept = [[{k: v for k, v in row.items() if k not in ("seconds", "images_per_s")} for row in one] for one in rows]
        assert kept[0] == kept[1]


def test_a_diverging_head_says_so(make_run: MakeRun, steps: list[int]) -> None:
    run_dir = make_run(**{**HEAD, "epochs": 200, "lr": 10.0, "momentum": 0.99, "weight_decay": 0.1})
    assert work(run_dir) == "failed"
    assert "try a smaller lr" in (Run(run_dir).status().error or "")
    assert steps
