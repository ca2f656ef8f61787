"""Which device computes, in which precision, and why not on the GPU."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from covidviz.config import TrainConfig
from covidviz.errors import ConfigError, DeviceError
from covidviz.gpus import OLDEST_DRIVER, numbers

__all__ = ["Device", "numerics", "resolve", "training_order"]


@dataclass(frozen=True)
class Device:
    """Where and how a run computes.

    dtype: of the arithmetic inside autocast; float32 means no autocast.
    scaled: whether gradients need a GradScaler (fp16).
    notes: what a person should know about the choice.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    scaled: bool = False
    title: str = "cpu"
    notes: tuple[str, ...] = ()

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of every forward pass."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def resolve(config: TrainConfig) -> Device:
    """The device and precision of a config on this machine.

    `auto` takes the first visible GPU and, where there is none that works, the CPU with a note that says why.

    Raises:
        DeviceError: a GPU is asked for and can't be used; names GPU, driver and what torch needs.
        ConfigError: `precision` does not exist on the device.
    """
    notes: list[str] = []
    device = torch.device("cpu")
    problem = _cuda_problem()
    if config.device.startswith("cuda"):
        if problem is not None:
            raise DeviceError(f"device: {config.device} given, but {problem}; accepted here: cpu")
        device = _gpu(config.device)
    elif config.device == "auto" and problem is None:
        device = torch.device("cuda", 0)
    elif config.device == "auto" and _gpus():
        notes.append(f"training on the CPU: {problem}")
    dtype = _dtype(config.precision, device, notes)
    title = "cpu" if device.type == "cpu" else f"cuda:{device.index} {torch.cuda.get_device_name(device)}"
    return Device(device, dtype, dtype == torch.float16, title, tuple(notes))


def _gpu(name: str) -> torch.device:
    count = torch.cuda.device_count()
    index = int(name.partition(":")[2] or 0)
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    if index >= count and str(index) in visible[:count]:
        index = visible.index(str(index))  # the scheduler shows a worker only its own GPU, which then counts as 0
    if index >= count:
        raise DeviceError(f"device: {name} given, accepted here: cpu, {', '.join(f'cuda:{i}' for i in range(count))}")
    return torch.device("cuda", index)


def _cuda_problem() -> str | None:
    """Why CUDA can't be used, or None where it can."""
    with contextlib.suppress(Exception):  # a broken driver may raise anything here
        if torch.cuda.is_available():
            return None
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    gpus = _gpus()
    if not gpus:
        return "no NVIDIA GPU was found"
    name, driver = gpus[0]
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA and can't use the GPU {name}"
    needed = OLDEST_DRIVER.get(int(torch.version.cuda.partition(".")[0]))
    if needed is not None and numbers(driver) < numbers(needed):
        return (
            f"the driver {driver} of the GPU {name} is too old for torch {torch.__version__} with CUDA "
            f"{torch.version.cuda}, which needs driver {needed} or newer; update it or install an older torch"
        )
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) can't use the GPU {name} with driver {driver}"


def _gpus() -> list[tuple[str, str]]:
    """(name, driver version) of each GPU that the driver lists, whether torch can use it or not."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rpartition(",") for line in answer.splitlines() if "," in line]
    return [(name.strip(), driver.strip()) for name, _, driver in rows]


def _dtype(precision: str, device: torch.device, notes: list[str]) -> torch.dtype:
    if device.type == "cuda":
        major = torch.cuda.get_device_capability(device)[0]
        if precision == "auto":
            # Before compute capability 7 there are no fp16 matrix units, before 8 no bf16 ones.
            return torch.bfloat16 if major >= 8 else torch.float16 if major >= 7 else torch.float32
    else:
        if precision == "fp16":
            raise ConfigError("precision: fp16 given, accepted on the CPU: auto, fp32, bf16")
        native = cpu_has_bf16()
        if precision == "auto":
            return torch.bfloat16 if native else torch.float32
        if precision == "bf16" and not native:
            notes.append("this CPU has no bf16 arithmetic, so bf16 is slower here than fp32")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices natively (AVX512_BF16 or AMX)."""
    if platform.system() != "Linux":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def training_order(device: torch.device) -> torch.memory_format:
    """The memory order in which a whole network trains fastest.

    With AVX2 alone convolutions go forward faster in channels_last but backward slower: VGG-16 loses a quarter.
    """
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if slow else torch.channels_last


@contextlib.contextmanager
def numerics(device: torch.device) -> Iterator[None]:
    """CPU: deterministic kernels, which cost nothing there. CUDA: the fastest convolution for the fixed image size."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory, cudnn = torch.utils.deterministic, torch.backends.cudnn
    filling, benchmark = memory.fill_uninitialized_memory, cudnn.benchmark  # type: ignore[attr-defined]
    try:
        if device.type == "cpu":
            torch.use_deterministic_algorithms(True, warn_only=True)
            # Every new tensor would be written twice otherwise.
            memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        else:
            cudnn.benchmark = True
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filling  # type: ignore[attr-defined]
        cudnn.benchmark = benchmark
