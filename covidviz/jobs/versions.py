"""What is installed, without importing any of it. Standard library only."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from covidviz import __version__
from covidviz.paths import PROJECT

__all__ = ["TorchBuild", "git_commit", "torch_build", "versions"]

PACKAGES = ("torchvision", "streamlit", "plotly", "numpy", "pandas", "pyarrow", "scikit-learn", "pillow", "pydicom",
            "safetensors")  # fmt: skip


@dataclass(frozen=True)
class TorchBuild:
    """The installed torch: `2.15.0+cu132`, and the CUDA version it was built for (`13.2`; None: for the CPU only)."""

    version: str
    cuda: str | None


def torch_build(folder: Path | None = None) -> TorchBuild | None:
    """Read from torch/version.py as text: importing torch would take seconds and hundreds of megabytes.

    Args:
        folder: of the package; default where Python would import it from.

    Returns:
        None where torch is not installed.
    """
    if folder is None:
        spec = find_spec("torch")
        if spec is None or spec.origin is None:
            return None
        folder = Path(spec.origin).parent
    try:
        text = (folder / "version.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = {name: _assigned(text, name) for name in ("__version__", "cuda")}
    return TorchBuild(found["__version__"] or "", found["cuda"])


def _assigned(text: str, name: str) -> str | None:
    match = re.search(rf"^{name}\s*(?::[^=\n]*)?=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return match[1] if match else None


def versions() -> dict[str, str]:
    """covidviz, Python, torch with its build, and the other packages that matter; without those that are missing."""
    build = torch_build()
    found = {"covidviz": __version__, "python": platform.python_version()}
    if build is not None:
        found["torch"] = build.version
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path = PROJECT) -> str | None:
    """`7f9b1c0d2e3f`, with `, changed` where files differ from it; None where it is no git checkout."""
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=10, check=True)
            for command in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + (", changed" if changes.stdout.strip() else "")
