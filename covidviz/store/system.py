"""The machine's load while a training runs."""

from __future__ import annotations

import os
import shutil
import subprocess

__all__ = ["SystemMonitor"]


class SystemMonitor:
    """Reads CPU, memory and, where there is one, the GPU this process may use."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        psutil.cpu_percent()  # the first call only starts the measurement
        self._gpu = self._gpu_query()

    def read(self) -> dict[str, float | None]:
        """One line for system.jsonl.

        Returns:
            `cpu_percent` of the whole machine, `memory_mb` of this process, `memory_percent` of the whole machine,
            and, with a GPU, `gpu_percent` and `gpu_memory_mb` (highest and sum over the visible GPUs).
        """
        import psutil

        values: dict[str, float | None] = {
            "cpu_percent": psutil.cpu_percent(),
            "memory_mb": round(self._process.memory_info().rss / 2**20, 1),
            "memory_percent": psutil.virtual_memory().percent,
        }
        if self._gpu:
            values.update(self._read_gpu(self._gpu))
        return values

    @staticmethod
    def _gpu_query() -> list[str] | None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        program = shutil.which("nvidia-smi")
        if program is None or (visible is not None and visible.strip() in ("", "-1")):
            return None
        which = [f"--id={visible}"] if visible else []
        return [program, *which, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]

    @staticmethod
    def _read_gpu(command: list[str]) -> dict[str, float | None]:
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=4, check=True).stdout
            rows = [[float(cell) for cell in line.split(",")] for line in answer.strip().splitlines()]
            return {"gpu_percent": max(row[0] for row in rows), "gpu_memory_mb": sum(row[1] for row in rows)}
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return {"gpu_percent": None, "gpu_memory_mb": None}
