"""A training process that trains nothing: `python fake_worker.py RUN_DIR`. What it does is told by the run's name."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from covidviz.jobs.scheduler import ensure_scheduler
from covidviz.store import layout
from covidviz.store.files import read_json
from covidviz.store.writer import RunWriter

COMMAND = [sys.executable, __file__]


def main(run_dir: Path) -> int:
    name = str((read_json(run_dir / layout.CONFIG) or {}).get("name"))
    with (run_dir.parent / "starts.txt").open("a") as file:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        file.write(f"{run_dir.name} {name.replace(' ', '_')} [{visible}] {os.getpid()}\n")
    if name == "exit early":
        print("ModuleNotFoundError: No module named 'torch'")
        return 3
    with RunWriter(run_dir) as run:
        run.status(state="running", device="cpu")
        for epoch in range(1, 4):
            if name.startswith("slow"):
                for _ in range(600):
                    if run.stop_requested() or (run_dir / "finish").exists():
                        break
                    time.sleep(0.05)
            if run.stop_requested():
                run.status(state="stopped")
                break
            run.metrics(epoch, "val", {"macro_f1": epoch / 10})
            run.status(epoch=epoch, progress=epoch / 3)
            if name == "killed":
                run.path(layout.LAST).write_bytes(b"")
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "silent":
                return 0
            if name == "lingers" and not (run_dir / "second").exists():
                (run_dir / "second").touch()
                run.status(state="stopped")
                run.close()
                time.sleep(2)
                return 0
        else:
            run.status(state="completed", progress=1.0)
    return 0


if __name__ == "__main__":
    where = Path(sys.argv[1])
    code = main(where)
    ensure_scheduler(where.parent, command=COMMAND)
    sys.exit(code)
