"""Which device and precision a config gets, and what is said when it is not the one that was hoped for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, DeviceError
from covidviz.training import devices

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")


def _config(**settings: object) -> TrainConfig:
    return TrainConfig.parse({"data": "d", **settings})


@pytest.fixture
def old_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that nvidia-smi lists and torch can't use."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Tesla K80, 470.82.01'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")


@pytest.mark.usefixtures("old_gpu")
def test_a_driver_that_is_too_old_is_named() -> None:
    with pytest.raises(DeviceError) as error:
        devices.resolve(_config(device="cuda:0"))
    for part in ("Tesla K80", "470.82.01", "CUDA 13.2", "580.65.06", "accepted here: cpu"):
        assert part in str(error.value)
    chosen = devices.resolve(_config())
    assert chosen.device.type == "cpu"
    assert "the driver 470.82.01 of the GPU Tesla K80 is too old" in chosen.notes[0]
    assert devices.resolve(_config(device="cpu")).notes == ()


@pytest.mark.usefixtures("old_gpu")
def test_other_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "11.8")
    assert "can't use the GPU Tesla K80 with driver 470.82.01" in devices.resolve(_config()).notes[0]
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "was built without CUDA" in devices.resolve(_config()).notes[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES hides every GPU"):
        devices.resolve(_config(device="cuda"))


@NO_GPU
def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.resolve(_config()).notes == ()
    with pytest.raises(DeviceError, match="device: cuda:1 given, but no NVIDIA GPU was found; accepted here: cpu"):
        devices.resolve(_config(device="cuda:1"))


@pytest.mark.parametrize("native", [True, False])
def test_precision_on_the_cpu(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: native)
    automatic = devices.resolve(_config(device="cpu"))
    assert automatic.dtype == (torch.bfloat16 if native else torch.float32)
    assert devices.resolve(_config(device="cpu", precision="fp32")).dtype == torch.float32
    forced = devices.resolve(_config(device="cpu", precision="bf16"))
    assert forced.dtype == torch.bfloat16
    assert bool(forced.notes) != native
    with pytest.raises(ConfigError, match="precision: fp16 given, accepted on the CPU: auto, fp32, bf16"):
        devices.resolve(_config(device="cpu", precision="fp16"))


@pytest.mark.parametrize(
    ("capability", "precision", "dtype"),
    [
        ((9, 0), "auto", torch.bfloat16),
        ((8, 0), "auto", torch.bfloat16),
        ((7, 5), "auto", torch.float16),
        ((6, 1), "auto", torch.float32),
        ((7, 5), "bf16", torch.bfloat16),
        ((9, 0), "fp16", torch.float16),
        ((9, 0), "fp32", torch.float32),
    ],
)
def test_precision_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    chosen = devices.resolve(_config(precision=precision))
    assert (chosen.device, chosen.dtype, chosen.title) == (torch.device("cuda", 0), dtype, "cuda:0 Some GPU")
    assert chosen.scaled == (dtype == torch.float16)


def test_gpu_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.resolve(_config(device="cuda:1")).device.index == 1
    with pytest.raises(DeviceError, match="device: cuda:2 given, accepted here: cpu, cuda:0, cuda:1"):
        devices.resolve(_config(device="cuda:2"))
    # the scheduler shows a worker one GPU only
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert devices.resolve(_config(device="cuda:3")).device.index == 0
    with pytest.raises(DeviceError, match="cuda:2 given"):
        devices.resolve(_config(device="cuda:2"))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_numerics_leaves_torch_as_it_was(kind: str) -> None:
    def flags() -> tuple[bool, bool, bool]:
        memory = torch.utils.deterministic.fill_uninitialized_memory
        return torch.are_deterministic_algorithms_enabled(), memory, torch.backends.cudnn.benchmark

    def fail() -> None:
        with devices.numerics(torch.device(kind)):
            assert flags() == ((True, False, before[2]) if kind == "cpu" else (*before[:2], True))
            raise ZeroDivisionError

    before = flags()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert flags() == before
