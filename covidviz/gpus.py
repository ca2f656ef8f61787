"""What NVIDIA's drivers and GPUs can run. Standard library only: asked by trainings and by pages without torch."""

from __future__ import annotations

__all__ = ["OLDEST_CAPABILITY", "OLDEST_DRIVER", "numbers"]

# First driver of the branch that each CUDA major version runs on (NVIDIA CUDA compatibility guide, Linux).
OLDEST_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
# Lowest compute capability that each CUDA major version can be built for (NVIDIA CUDA release notes).
OLDEST_CAPABILITY = {11: "3.5", 12: "5.0", 13: "7.5"}


def numbers(version: str) -> tuple[int, ...]:
    """`580.65.06` to (580, 65, 6), to be compared."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
