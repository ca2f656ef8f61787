"""Whether trainings can use the GPU of this machine, and if not, why and what helps. Standard library only.

Neither torch is imported nor a CUDA context made: the driver is asked through nvidia-smi and /proc, torch's build is
read from its version file. What only a try can tell (a GPU that is broken) shows when a training starts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from covidviz.gpus import OLDEST_CAPABILITY, OLDEST_DRIVER, numbers
from covidviz.jobs.versions import TorchBuild, torch_build

__all__ = ["Diagnosis", "Facts", "Gpu", "diagnose", "look"]

NVIDIA = "0x10de"  # the PCI vendor number


@dataclass(frozen=True)
class Gpu:
    """As the driver lists it. capability: such as `9.0`, empty where unknown; memory_mb: None where unknown."""

    index: int
    name: str
    memory_mb: int | None = None
    capability: str = ""


@dataclass(frozen=True)
class Facts:
    """What can be seen from outside.

    gpus: those the driver lists. driver: its version, None where none answers. complaint: what nvidia-smi said
    instead of listing them. plugged: NVIDIA GPUs on the PCI bus. visible: CUDA_VISIBLE_DEVICES, None where not set.
    """

    torch: TorchBuild | None
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    complaint: str = ""
    plugged: int = 0
    visible: str | None = None
    platform: str = "linux"


@dataclass(frozen=True)
class Diagnosis:
    """`id` for programs; `level`: `ok`, `note` (nothing is wrong) or `bad` (a GPU lies idle); `remedy` may be empty."""

    id: str
    level: str
    finding: str
    remedy: str


def look() -> Facts:
    """The facts of this machine; asks nvidia-smi, which takes up to a second."""
    gpus, driver, complaint = _nvidia_smi()
    return Facts(
        torch=torch_build(),
        gpus=gpus,
        driver=driver or _kernel_driver(),
        complaint=complaint,
        plugged=_plugged(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        platform=sys.platform,
    )


def diagnose(facts: Facts) -> Diagnosis:
    """The first thing that keeps torch from the GPU, with what helps in one sentence."""
    if facts.torch is None:
        return Diagnosis(
            "no-torch", "bad", "PyTorch is not installed, so nothing can be trained.",
            "Install what requirements.txt lists: pip install -r requirements.txt",
        )  # fmt: skip
    for check in _CHECKS:
        if (found := check(facts, facts.torch)) is not None:
            return found
    title = f"{facts.gpus[0].name}" if len(facts.gpus) == 1 else f"{len(facts.gpus)} GPUs"
    driver = f"driver {facts.driver}" if facts.driver else "its driver"
    return Diagnosis(
        "fine", "ok", f"{title}, {driver} and torch {facts.torch.version} (CUDA {facts.torch.cuda}) fit together.", ""
    )


def _no_gpu(facts: Facts, torch: TorchBuild) -> Diagnosis | None:  # noqa: ARG001
    if facts.gpus:
        return None
    mismatch = "mismatch" in facts.complaint.lower()
    if mismatch or (facts.complaint and facts.plugged):
        return Diagnosis(
            "driver-broken", "bad", f"The NVIDIA driver does not answer: {facts.complaint}",
            "Restart this machine: its driver was updated while the old one was loaded." if mismatch
            else "Restart this machine; if that does not help, install the NVIDIA driver again.",
        )  # fmt: skip
    if facts.plugged and not facts.driver:
        return Diagnosis(
            "no-driver", "bad", "This machine has an NVIDIA GPU, but no driver for it.",
            "Install the NVIDIA driver of your system and restart the machine.",
        )  # fmt: skip
    if facts.driver:
        return Diagnosis(
            "no-gpu-given", "bad", f"The NVIDIA driver {facts.driver} is loaded, but shows no GPU here.",
            "If this is a container, start it with its GPUs (docker run --gpus all) and with nvidia-smi inside.",
        )  # fmt: skip
    return Diagnosis("none", "note", "No NVIDIA GPU was found; trainings run on the CPU.", "")


def _hidden(facts: Facts, torch: TorchBuild) -> Diagnosis | None:  # noqa: ARG001
    if facts.visible is None or facts.visible.strip() not in ("", "-1"):
        return None
    return Diagnosis(
        "hidden", "bad", f"CUDA_VISIBLE_DEVICES={facts.visible.strip()!r} hides every GPU from covidviz.",
        "Start covidviz without that variable, or with the numbers of the GPUs it may use.",
    )  # fmt: skip


def _cpu_torch(facts: Facts, torch: TorchBuild) -> Diagnosis | None:
    if torch.cuda is not None:
        return None
    how = (
        "pip install --force-reinstall torch torchvision"
        if facts.platform == "linux"
        else "choose CUDA on pytorch.org/get-started"
    )
    return Diagnosis(
        "cpu-torch", "bad", f"torch {torch.version} was built without CUDA and can not use the {facts.gpus[0].name}.",
        f"Install the build with CUDA: {how}",
    )  # fmt: skip


def _old_driver(facts: Facts, torch: TorchBuild) -> Diagnosis | None:
    needed = OLDEST_DRIVER.get(_major(torch))
    # The numbers are those of Linux drivers; Windows counts its own.
    if facts.platform != "linux" or needed is None or facts.driver is None or numbers(facts.driver) >= numbers(needed):
        return None
    runs = [major for major, oldest in OLDEST_DRIVER.items() if numbers(oldest) <= numbers(facts.driver)]
    other = f", or install a torch built for CUDA {max(runs)}" if runs else ""
    return Diagnosis(
        "driver-too-old", "bad",
        f"The driver {facts.driver} is too old for torch {torch.version}, which was built for CUDA {torch.cuda}.",
        f"Update the NVIDIA driver to {needed} or newer{other}.",
    )  # fmt: skip


def _old_gpu(facts: Facts, torch: TorchBuild) -> Diagnosis | None:
    needed = OLDEST_CAPABILITY.get(_major(torch))
    known = [gpu for gpu in facts.gpus if gpu.capability]
    if needed is None or not known or any(numbers(gpu.capability) >= numbers(needed) for gpu in known):
        return None
    lower = [major for major, oldest in OLDEST_CAPABILITY.items() if numbers(oldest) <= numbers(known[0].capability)]
    other = f"Install a torch built for CUDA {max(lower)}" if lower else "Use the CPU"
    return Diagnosis(
        "gpu-too-old", "bad",
        f"The {known[0].name} (compute capability {known[0].capability}) is too old for CUDA {torch.cuda}, for which "
        f"torch {torch.version} was built.",
        f"{other}: CUDA {torch.cuda} needs compute capability {needed} or newer.",
    )  # fmt: skip


_CHECKS: tuple[Callable[[Facts, TorchBuild], Diagnosis | None], ...] = (
    _no_gpu, _hidden, _cpu_torch, _old_driver, _old_gpu,
)  # fmt: skip


def _major(torch: TorchBuild) -> int:
    return int((torch.cuda or "0").partition(".")[0])


def _nvidia_smi() -> tuple[tuple[Gpu, ...], str | None, str]:
    """GPUs, driver version, and what it said where it failed."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), None, ""
    rows, complaint = _ask(program, "index,driver_version,memory.total,name")
    more, _ = _ask(program, "index,compute_cap") if rows else ([], "")  # unknown to drivers before 510
    capability = {row[0]: row[1] for row in more if len(row) == 2}
    gpus = tuple(
        Gpu(int(row[0]), row[3], int(row[2]) if row[2].isdigit() else None, capability.get(row[0], ""))
        for row in rows
        if len(row) == 4 and row[0].isdigit()
    )
    return gpus, rows[0][1] if gpus else None, complaint


def _ask(program: str, fields: str) -> tuple[list[list[str]], str]:
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"nvidia-smi could not be run ({type(error).__name__})"
    if done.returncode:
        said = " ".join((done.stdout or done.stderr).split())
        return [], said[:200] or f"nvidia-smi ended with code {done.returncode}"
    last = fields.count(",")
    return [re.split(r"\s*,\s*", line.strip(), maxsplit=last) for line in done.stdout.splitlines() if "," in line], ""


def _kernel_driver(path: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """The version of the loaded kernel driver, for containers without nvidia-smi."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", path.read_text(errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def _plugged(bus: Path = Path("/sys/bus/pci/devices")) -> int:
    """NVIDIA GPUs on the PCI bus, whether a driver knows them or not."""
    count = 0
    try:
        for device in bus.iterdir():
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
            count += vendor == NVIDIA and kind.startswith("0x03")  # display controllers: not their sound parts
    except OSError:
        return count
    return count
