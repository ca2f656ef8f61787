"""What the fast computation of the frozen part does to the metrics: runs in each mode with the same seeds.

    COVIDVIZ_TEST_DATA=... python -m benchmarks.precision --image-size 112 --seeds 0 1 2

`exact` is fp32 and the network as it is, `fast` fp32 with BatchNorm folded into the convolutions (what `cache: auto`
takes without native bf16), `bf16` the same in bf16 (what it takes with it). On a CPU without native bf16 that mode is
slow but rounds as it does with it. A mode may be the default if the same seed gives the same metrics in it up to less
than what another seed changes: the last columns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.table import machine, markdown
from covidviz.config import TrainConfig
from covidviz.jobs.submit import prepare
from covidviz.store.reader import Run
from covidviz.store.runs import create_run
from covidviz.training.worker import work

MODES = {
    "exact": {"cache": "exact", "precision": "fp32"},
    "fast": {"cache": "auto", "precision": "fp32"},
    "bf16": {"cache": "auto", "precision": "bf16"},
}
METRICS = ("macro_f1", "accuracy", "recall_covid19")
Found = dict[tuple[str, str, int], dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainable", nargs="*", default=["head", "from:layer4"])
    parser.add_argument("--modes", nargs="*", choices=tuple(MODES), default=list(MODES))
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="also append each run's numbers to this file")
    args = parser.parse_args()
    if not os.environ.get("COVIDVIZ_TEST_DATA"):
        parser.error("set COVIDVIZ_TEST_DATA to the folder with xray/ and weights/")
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        for trainable in args.trainable:
            for mode in args.modes:
                for seed in args.seeds:
                    values = train(trainable, mode, seed, args, Path(folder))
                    found[trainable, mode, seed] = values
                    line = json.dumps({"trainable": trainable, "mode": mode, "seed": seed, **values})
                    print(line, file=sys.stderr, flush=True)
                    if args.json is not None:
                        with args.json.open("a", encoding="utf-8") as file:
                            file.write(line + "\n")
    print(f"{machine()}; {args.image_size} px, {args.epochs} epochs\n")
    print(report(found))


def train(trainable: str, mode: str, seed: int, args: argparse.Namespace, runs: Path) -> dict[str, float]:
    """The metrics of the test split at the best epoch of one run."""
    data = Path(os.environ["COVIDVIZ_TEST_DATA"])
    values: dict[str, Any] = {
        "data": str(data / "xray"), "weights": str(data / "weights" / "resnet18_in1k_approx.pth"),
        "model": "resnet18", "trainable": trainable, "image_size": args.image_size, "epochs": args.epochs,
        "seed": seed, "device": "cpu", **MODES[mode],
    }  # fmt: skip
    config, _ = prepare(TrainConfig.parse(values))
    run = Run(create_run(config, runs))
    if work(run.dir) != "completed":
        raise SystemExit(run.status().error or "the run did not end well")
    epoch, best = run.best()
    return {"best_epoch": float(epoch or 0), **{name: float(best["test"][name]) for name in METRICS}}


def report(found: Found) -> str:
    """Every run, and per mode how far it is from `exact` with the same seed beside what another seed changes."""
    rows = [
        (trainable, mode, seed, f"{values['best_epoch']:.0f}", *(f"{values[name]:.4f}" for name in METRICS))
        for (trainable, mode, seed), values in found.items()
    ]
    differences = []
    for trainable, mode in dict.fromkeys((trainable, mode) for trainable, mode, _ in found):
        seeds = [seed for one, other, seed in found if (one, other) == (trainable, mode)]
        if mode == "exact" or any((trainable, "exact", seed) not in found for seed in seeds):
            continue
        for name in METRICS:
            exact = {seed: found[trainable, "exact", seed][name] for seed in seeds}
            apart = [found[trainable, mode, seed][name] - exact[seed] for seed in seeds]
            noise = [abs(exact[a] - exact[b]) for a, b in combinations(seeds, 2)]
            differences.append(
                (trainable, mode, name, f"{mean(apart):+.4f}", f"{mean(map(abs, apart)):.4f}",
                 f"{mean(noise):.4f}" if noise else "")
            )  # fmt: skip
    every = markdown(("trainable", "mode", "seed", "best epoch", *METRICS), rows)
    header = (
        "trainable",
        "mode",
        "metric",
        "mode - exact, mean",
        "same seed, mean distance",
        "other seed, mean distance",
    )
    return every + "\n\n" + markdown(header, differences)


if __name__ == "__main__":
    main()
