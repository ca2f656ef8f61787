"""covidviz and the plain torchvision script side by side: same images, weights, settings and seeds.

    COVIDVIZ_TEST_DATA=... python -m benchmarks.against_plain --epochs 10 --seeds 0 1 2

Same: decoded pixels, ResNet-18 and its starting weights, start of the head, order of the images, dropout, loss, SGD,
learning rate, batch size, epochs, choice of the best epoch by validation macro F1. So the two agree but for rounding:
covidviz computes convolutions in another memory layout (channels_last), and training amplifies the last digit.

With the head only, the plain script has a flaw that covidviz does not have: `model.train()` lets the running statistics
of the frozen BatchNorm layers drift although `requires_grad` is False. The third variant is the plain script with that
repaired; it is the one to compare with.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import machine, markdown
from covidviz.evaluation.intervals import wilson

VARIANTS = {
    "head": ("covidviz", "plain script", "plain script, BatchNorm frozen"),
    "all": ("covidviz", "plain script"),
}


def run(command: list[str]) -> dict[str, Any]:
    """The JSON document of a command, with the seconds it took."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(done.stdout), "wall_s": time.perf_counter() - start}


def train(variant: str, trainable: str, seed: int, args: argparse.Namespace, data: Path, runs: str) -> dict[str, Any]:
    """Test accuracy, macro F1, n, best epoch and seconds of one training."""
    weights = data / "weights" / "resnet18_in1k_approx.pth"
    same = ["--data", str(data / "xray"), "--weights", str(weights), "--trainable", trainable]
    for name in ("image_size", "epochs", "batch_size", "lr", "seed"):
        value = seed if name == "seed" else getattr(args, name)
        same += [f"--{name.replace('_', '-')}", str(value)]
    if variant == "covidviz":
        command = ["covidviz", "train", *same, "--model", "resnet18", "--precision", "fp32", "--device", "cpu"]
        document = run([*command, "--runs-dir", runs, "--json"])
        test = document["metrics"]["test"]
    else:
        frozen = ["--freeze-batchnorm"] if variant.endswith("frozen") else []
        document = run(["benchmarks.plain_torchvision", *same, *frozen, "--json"])
        test = document["test"]
    return {**test, "best_epoch": document["best_epoch"], "wall_s": document["wall_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainable", nargs="*", choices=tuple(VARIANTS), default=["head", "all"])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    if not os.environ.get("COVIDVIZ_TEST_DATA"):
        parser.error("set COVIDVIZ_TEST_DATA to the folder with xray/ and weights/")
    data = Path(os.environ["COVIDVIZ_TEST_DATA"])
    with (data / "xray/labels.csv").open(newline="", encoding="utf-8") as file:
        n = sum(line["split"] == "test" for line in csv.DictReader(file))
    rows = []
    with tempfile.TemporaryDirectory() as runs:
        for trainable in args.trainable:
            for variant in VARIANTS[trainable]:
                results = [train(variant, trainable, seed, args, data, runs) for seed in args.seeds]
                for seed, result in zip(args.seeds, results, strict=True):
                    rows.append(row(trainable, variant, str(seed), [result], n))
                    print(" | ".join(map(str, rows[-1])), file=sys.stderr, flush=True)
                if len(results) > 1:
                    rows.append(row(trainable, variant, "all", results, n))
    print(f"{machine()}; {args.image_size} px, {args.epochs} epochs, batch {args.batch_size}, lr {args.lr:g}\n")
    header = ("trainable", "variant", "seed", "best epoch", "test accuracy", "95 % (Wilson)", "test macro F1", "s")
    print(markdown(header, rows))


def row(trainable: str, variant: str, seed: str, results: list[dict[str, Any]], n: int) -> tuple[str, ...]:
    """One line of the table. Several seeds are averaged; they share the images, so the interval stays that of n."""
    accuracy, macro_f1, seconds = (
        sum(r[k] for r in results) / len(results) for k in ("accuracy", "macro_f1", "wall_s")
    )
    low, high = wilson(round(accuracy * n), n)
    epochs = ", ".join(str(result["best_epoch"]) for result in results)
    figures = (f"{accuracy:.3f}", f"{low:.3f} to {high:.3f}", f"{macro_f1:.3f}", f"{seconds:.0f}")
    return (trainable, variant, seed, epochs, *figures)


if __name__ == "__main__":
    main()
