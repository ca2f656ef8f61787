"""What a training can be put on. Standard library only: asks the driver, not torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Slot", "fits", "slots"]


@dataclass(frozen=True)
class Slot:
    """A place for one training at a time.

    name: `cuda:N` (N as nvidia-smi counts) or `cpu`, as in the setting `device`.
    title: for people, such as `NVIDIA A100`.
    visible: what CUDA_VISIBLE_DEVICES must be for a process in this slot; empty hides every GPU.
    """

    name: str
    title: str
    visible: str

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


CPU = Slot("cpu", "CPU", "")


def slots() -> list[Slot]:
    """Each GPU that this process may use, then the CPU.

    CUDA_VISIBLE_DEVICES is obeyed: what it hides is not offered.
    """
    found = _nvidia_smi()
    if found is None:
        found = [(index, "", "NVIDIA GPU") for index in _device_nodes()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = []
    if visible is None:
        gpus = [Slot(f"cuda:{index}", title, str(index)) for index, _, title in found]
    else:
        for entry in (part.strip() for part in visible.split(",")):
            for index, uuid, title in found:
                if entry == str(index) or (entry.startswith("GPU-") and uuid.startswith(entry)):
                    gpus.append(Slot(f"cuda:{index}", title, entry))
                    break
            else:
                if entry.startswith("MIG-"):  # a slice of a GPU, counted by its place in the list
                    gpus.append(Slot(f"cuda:{len(gpus)}", "NVIDIA GPU slice", entry))
                else:
                    break  # CUDA ignores what follows the first one that is not there
    return [*gpus, CPU]


def fits(asked: str, slot: Slot, gpu_there: bool) -> bool:
    """Whether a run that asked for device `asked` may run in `slot`; `auto` means a GPU where there is one."""
    if asked == "auto":
        return slot.is_gpu or not gpu_there
    if asked == "cuda":
        return slot.is_gpu
    return asked == slot.name


def _nvidia_smi() -> list[tuple[int, str, str]] | None:
    """(index, uuid, name) of every GPU; None where nvidia-smi is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "--query-gpu=index,uuid,name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [re.split(r"\s*,\s*", line, maxsplit=2) for line in answer.strip().splitlines()]
    return [(int(row[0]), row[1], row[2].strip()) for row in rows if len(row) == 3 and row[0].isdigit()]


def _device_nodes() -> list[int]:
    """GPUs by their device files, for containers without nvidia-smi."""
    return sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdigit())
