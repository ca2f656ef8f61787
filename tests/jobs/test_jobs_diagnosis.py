"""What keeps torch from the GPU, from what can be seen without torch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from covidviz.jobs import diagnosis, versions
from covidviz.jobs.diagnosis import Facts, Gpu, diagnose, look
from covidviz.jobs.versions import TorchBuild, git_commit, torch_build

CUDA = TorchBuild("2.15.0+cu132", "13.2")
H200 = (Gpu(0, "NVIDIA H200", 143771, "9.0"),)
GOOD = Facts(CUDA, H200, "580.82.07", plugged=1)


@pytest.mark.parametrize(
    ("facts", "found", "level", "says"),
    [
        (GOOD, "fine", "ok", "fit together"),
        (Facts(CUDA), "none", "note", "run on the CPU"),
        (Facts(CUDA, complaint="No devices were found"), "none", "note", "No NVIDIA GPU"),
        (Facts(None), "no-torch", "bad", "requirements.txt"),
        (Facts(CUDA, plugged=1), "no-driver", "bad", "Install the NVIDIA driver"),
        (Facts(CUDA, driver="580.82.07"), "no-gpu-given", "bad", "--gpus all"),
        (Facts(CUDA, complaint="couldn't communicate with the NVIDIA driver", plugged=2), "driver-broken", "bad",
         "Restart"),
        (Facts(CUDA, complaint="Failed to initialize NVML: Driver/library version mismatch"), "driver-broken", "bad",
         "updated while the old one was loaded"),
        (Facts(CUDA, H200, "580.82.07", visible=""), "hidden", "bad", "CUDA_VISIBLE_DEVICES"),
        (Facts(CUDA, H200, "580.82.07", visible=" -1 "), "hidden", "bad", "'-1'"),
        (Facts(TorchBuild("2.15.0+cpu", None), H200, "580.82.07"), "cpu-torch", "bad", "pip install"),
        (Facts(TorchBuild("2.15.0", None), H200, "580.82.07", platform="win32"), "cpu-torch", "bad", "pytorch.org"),
        (Facts(CUDA, H200, "535.104.05"), "driver-too-old", "bad",
         "580.65.06 or newer, or install a torch built for CUDA 12"),
        (Facts(CUDA, (Gpu(0, "Tesla K80"),), "418.87"), "driver-too-old", "bad", "580.65.06 or newer."),
        (Facts(CUDA, (Gpu(0, "Tesla V100", 16160, "7.0"),), "580.82.07"), "gpu-too-old", "bad", "CUDA 12"),
    ],
)  # fmt: skip
def test_each_obstacle_is_named_with_its_remedy(facts: Facts, found: str, level: str, says: str) -> None:
    told = diagnose(facts)
    assert (told.id, told.level) == (found, level)
    assert says in f"{told.finding} {told.remedy}"
    assert told.finding.endswith(".") or facts.complaint
    assert bool(told.remedy) == (level == "bad")


def test_a_driver_of_the_same_cuda_major_is_new_enough() -> None:
    assert diagnose(Facts(CUDA, H200, "580.65.06")).id == "fine"
    assert diagnose(Facts(TorchBuild("2.8.0+cu128", "12.8"), H200, "525.60.13")).id == "fine"


def test_one_good_gpu_beside_an_old_one_is_fine() -> None:
    assert diagnose(Facts(CUDA, (Gpu(0, "Tesla V100", None, "7.0"), *H200), "580.82.07")).id == "fine"


def test_windows_drivers_are_not_judged_by_linux_numbers() -> None:
    assert diagnose(Facts(CUDA, H200, "528.33", platform="win32")).id == "fine"


def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, monkeypatch, """case "$1" in
      *compute_cap) echo "0, 9.0"; echo "1, 8.0";;
      *) echo "0, 580.82.07, 143771, NVIDIA H200"; echo "1, 580.82.07, [N/A], NVIDIA A100-SXM4, 80 GB";;
    esac""")  # fmt: skip
    facts = look()
    assert facts.gpus == (Gpu(0, "NVIDIA H200", 143771, "9.0"), Gpu(1, "NVIDIA A100-SXM4, 80 GB", None, "8.0"))
    assert (facts.driver, facts.complaint) == ("580.82.07", "")


def test_an_nvidia_smi_that_does_not_know_the_capability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, monkeypatch, """case "$1" in
      *compute_cap) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;;
      *) echo "0, 470.82.01, 11441, Tesla K80";;
    esac""")  # fmt: skip
    assert look().gpus == (Gpu(0, "Tesla K80", 11441, ""),)


def test_what_nvidia_smi_complains_of_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, monkeypatch, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    facts = look()
    assert facts.gpus == ()
    assert "version mismatch" in facts.complaint
    assert diagnose(facts).id == "driver-broken"


def test_the_kernel_says_its_driver_and_the_bus_its_cards(tmp_path: Path) -> None:
    said = tmp_path / "version"
    said.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build\nGCC version: 13\n"
    )
    assert diagnosis._kernel_driver(said) == "580.82.07"
    said.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n")
    assert diagnosis._kernel_driver(said) == "535.104.05"
    assert diagnosis._kernel_driver(tmp_path / "missing") is None
    for name, vendor, kind in (("a", "0x10de", "0x030200"), ("b", "0x10de", "0x040300"), ("c", "0x8086", "0x030000")):
        (tmp_path / "bus" / name).mkdir(parents=True)
        (tmp_path / "bus" / name / "vendor").write_text(vendor + "\n")
        (tmp_path / "bus" / name / "class").write_text(kind + "\n")
    assert diagnosis._plugged(tmp_path / "bus") == 1  # neither its sound part nor another maker's card
    assert diagnosis._plugged(tmp_path / "missing") == 0


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("__version__ = '2.15.0+cu132'\ndebug = False\ncuda: Optional[str] = '13.2'\n", CUDA),
        ("__version__ = '2.15.0+cpu'\ncuda: Optional[str] = None\n", TorchBuild("2.15.0+cpu", None)),
        ('__version__ = "2.4.1"\ncuda = "12.1"\n', TorchBuild("2.4.1", "12.1")),
    ],
)  # fmt: skip
def test_the_build_of_torch_is_read_as_text(tmp_path: Path, text: str, build: TorchBuild) -> None:
    (tmp_path / "version.py").write_text(text)
    assert torch_build(tmp_path) == build
    assert torch_build(tmp_path / "missing") is None


def test_it_agrees_with_the_torch_that_is_installed() -> None:
    """In a process of its own, which must not have imported torch to answer."""
    import subprocess

    code = (
        "import sys; from covidviz.jobs.versions import torch_build, versions; b = torch_build(); v = versions()\n"
        "assert 'torch' not in sys.modules; import torch\n"
        "assert (b.version, b.cuda) == (torch.__version__, torch.version.cuda), b; assert v['torch'] == b.version"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_versions_and_commit(tmp_path: Path) -> None:
    found = versions.versions()
    assert list(found)[:3] == ["covidviz", "python", "torch"]
    assert found["streamlit"].startswith("1.")
    assert git_commit(tmp_path) is None
