"""The same training on a GPU. Skipped where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from covidviz.config import TrainConfig
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.status import read_status
from covidviz.training import devices
from covidviz.training.batches import Images, augment, to_input
from covidviz.training.engine import Training
from covidviz.training.worker import work

MakeRun = Callable[..., Path]

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run(make_run: MakeRun, precision: str) -> None:
    run_dir = make_run(device="cuda", precision=precision, augment="light", epochs=3)
    assert work(run_dir) == "completed", (run_dir / layout.LOG).read_text()
    assert read_status(run_dir).device.startswith("cuda:0 ")
    assert len(Run(run_dir).predictions()) == 33
    assert "gpu" in Run(run_dir).environment()["hardware"]


def test_cpu_and_gpu_agree(make_run: MakeRun) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        run_dir = make_run(device=device, precision="fp32", dropout=0, lr=1e-3, augment="flip", epochs=1)
        assert work(run_dir) == "completed"
        losses.append([json.loads(line)["loss"] for line in (run_dir / layout.METRICS).read_text().splitlines()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_stop_and_go_on(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = make_run(device="cuda", epochs=2)
    record = Training._record

    def stop(self: Training, step: int, lr: float, loss: torch.Tensor) -> None:
        record(self, step, lr, loss)
        (run_dir / layout.STOP).touch()

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_record", stop)
        assert work(run_dir) == "stopped"
    assert work(run_dir) == "completed"


def test_a_batch_that_does_not_fit(make_run: MakeRun) -> None:
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.2e9 / total))
    try:
        # 18 images of 512 px need about 2 GB in VGG-16
        run_dir = make_run(device="cuda", model="vgg16", precision="fp32", image_size=512, batch_size=18, epochs=1)
        assert work(run_dir) == "failed"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    error = read_status(run_dir).error or ""
    assert "is too small for batch_size 18" in error
    assert "fits" in error or "try a smaller image_size" in error


@pytest.mark.parametrize("resident", [True, False])
def test_batches(tmp_path: Path, resident: bool) -> None:
    device = torch.device("cuda", 0)
    pictures = torch.randint(0, 256, (6, 64, 64), dtype=torch.uint8).numpy()
    images = Images(tmp_path, [str(i) for i in range(6)], 64, decoded=pictures, device=device, resident=resident)
    (batch,) = images.batches([torch.tensor([4, 0]).numpy()])
    assert batch.is_cuda
    assert torch.equal(batch.cpu(), torch.from_numpy(pictures[[4, 0]]))
    for how in ("none", "flip", "light", "course"):
        ours = augment(batch, how, seed=0, epoch=1, number=0)
        theirs = augment(batch.cpu(), how, seed=0, epoch=1, number=0)
        assert (ours.cpu().int() - theirs.int()).abs().max() <= 1
    torch.testing.assert_close(to_input(batch, device).cpu(), to_input(batch.cpu()))


def test_the_first_gpu_is_automatic() -> None:
    chosen = devices.resolve(TrainConfig.parse({"data": "d"}))
    assert chosen.device == torch.device("cuda", 0)
    assert chosen.dtype == (torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16)
