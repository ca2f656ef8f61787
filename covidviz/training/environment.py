"""What a run was computed with: versions, hardware, git commit, data."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

from covidviz import __version__
from covidviz.paths import PROJECT

__all__ = ["describe_machine"]

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "pydicom", "safetensors", "scikit-learn", "streamlit")


def describe_machine(device: torch.device) -> dict[str, Any]:
    """`versions`, `hardware` and `git` of environment.json."""
    versions = {"covidviz": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    versions["torch"] = torch.__version__  # with its build, such as +cu132
    hardware: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "cuda": torch.version.cuda,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        hardware |= {"gpu": properties.name, "gpu_memory_gb": round(properties.total_memory / 1e9, 1)}
    return {"versions": versions, "hardware": hardware, "git": _git(), "command": sys.argv}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git() -> dict[str, Any] | None:
    """Commit of the project and whether files differ from it; None where it is no git checkout."""
    try:
        answers = [
            subprocess.run(
                ["git", "-C", str(PROJECT), *command], capture_output=True, text=True, timeout=10, check=True
            )
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": answers[0].stdout.strip(), "modified": bool(answers[1].stdout.strip())}
