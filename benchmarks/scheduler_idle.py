"""What the scheduler costs while nothing is queued: memory and processor time.

    python -m benchmarks.scheduler_idle --seconds 30

Wanted: under 40 MB and under 1 % of a core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

import psutil

from benchmarks.table import machine, markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as runs:
        process = subprocess.Popen([sys.executable, "-m", "covidviz", "scheduler", "--runs-dir", runs])
        try:
            time.sleep(3)  # let it start
            watched = psutil.Process(process.pid)
            before, peak = watched.cpu_times(), 0
            end = time.monotonic() + args.seconds
            while time.monotonic() < end:
                time.sleep(0.5)
                peak = max(peak, watched.memory_info().rss)
            after = watched.cpu_times()
        finally:
            process.terminate()
            process.wait()
    used = after.user + after.system - before.user - before.system
    print(f"{machine()}; {args.seconds:g} s\n")
    print(markdown(("memory (RSS)", "of a core"), [(f"{peak / 2**20:.1f} MB", f"{used / args.seconds:.2%}")]))


if __name__ == "__main__":
    main()
