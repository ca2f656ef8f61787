"""Slots: what nvidia-smi says, and what CUDA_VISIBLE_DEVICES leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from covidviz.jobs import devices
from covidviz.jobs.devices import Slot, fits, slots

SMI = """#!/bin/sh
echo "0, GPU-aaaa-1, NVIDIA A100-SXM4, 80 GB"
echo "1, GPU-bbbb-2, NVIDIA H200"
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_is_a_slot_and_the_cpu() -> None:
    assert slots() == [
        Slot("cuda:0", "NVIDIA A100-SXM4, 80 GB", "0"),
        Slot("cuda:1", "NVIDIA H200", "1"),
        Slot("cpu", "CPU", ""),
    ]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("visible", "names"),
    [("1", ["cuda:1"]), ("1,0", ["cuda:1", "cuda:0"]), ("", []), ("-1", []), ("0,7,1", ["cuda:0"]),
     ("GPU-bbbb", ["cuda:1"]), ("MIG-1234", ["cuda:0"])],
)  # fmt: skip
def test_hidden_gpus_are_not_offered(visible: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = slots()
    assert [slot.name for slot in found] == [*names, "cpu"]
    assert all(slot.visible in visible for slot in found)


def test_a_failing_driver_leaves_the_cpu(two_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_device_nodes", list)
    for program in ("#!/bin/sh\nexit 9\n", "#!/bin/sh\necho 'No devices were found'\n"):
        two_gpus.write_text(program)
        assert [slot.name for slot in slots()] == ["cpu"]
    monkeypatch.setattr(devices, "_device_nodes", lambda: [0, 1])
    two_gpus.unlink()
    monkeypatch.setenv("PATH", str(two_gpus.parent))
    assert [slot.name for slot in slots()] == ["cuda:0", "cuda:1", "cpu"]


def test_which_run_fits_where() -> None:
    cpu, gpu = Slot("cpu", "CPU", ""), Slot("cuda:1", "GPU", "1")
    assert fits("auto", cpu, gpu_there=False)
    assert not fits("auto", cpu, gpu_there=True)
    assert fits("auto", gpu, gpu_there=True)
    assert fits("cuda", gpu, gpu_there=True)
    assert fits("cuda:1", gpu, gpu_there=True)
    assert not fits("cuda:0", gpu, gpu_there=True)
    assert not fits("cuda", cpu, gpu_there=False)
    assert fits("cpu", cpu, gpu_there=True)
    assert not fits("cpu", gpu, gpu_there=True)
