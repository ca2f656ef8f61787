"""Are the small phantoms learnable but not trivial? ResNet-18 from scratch at 128 px for ten epochs.

    python -m benchmarks.learnable

Wanted: a best validation macro F1 between .75 and .95.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.table import machine, markdown
from covidviz.config import TrainConfig
from covidviz.data.phantoms import PhantomOptions, make_phantoms
from covidviz.jobs.submit import prepare
from covidviz.store.reader import Run
from covidviz.store.runs import create_run
from covidviz.training.worker import work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-2)
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of phantoms and training")
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows += train(Path(folder), seed, args)
    print(f"{machine()}; {args.image_size} px, lr {args.lr:g}, schedule {args.schedule}\n")
    print(markdown(("seed", "epoch", "train loss", "val loss", "val accuracy", "val macro F1", "train s"), rows))


def train(folder: Path, seed: int, args: argparse.Namespace) -> list[tuple[object, ...]]:
    start = time.perf_counter()
    data = make_phantoms(folder / "phantoms", PhantomOptions(size="small", seed=seed))
    drawn = time.perf_counter() - start
    values = {
        "data": str(data), "model": "resnet18", "weights": "none", "trainable": "all", "image_size": args.image_size,
        "epochs": args.epochs, "lr": args.lr, "schedule": args.schedule,
        "seed": seed,
    }  # fmt: skip
    config, _ = prepare(TrainConfig.parse(values))
    start = time.perf_counter()
    run_dir = create_run(config, folder / "runs", state="running")
    state = work(run_dir, on_event=lambda line: print(line, flush=True))
    run = Run(run_dir)
    best_epoch, best = run.best()
    print(
        f"\nseed {seed}: phantoms drawn in {drawn:.1f} s, training {state} in {time.perf_counter() - start:.1f} s, "
        f"best macro F1 {best['val']['macro_f1']:.3f} in epoch {best_epoch}\n"
    )
    metrics = run.metrics().set_index(["epoch", "split"])
    return [
        (
            seed,
            epoch,
            f"{metrics.loc[(epoch, 'train'), 'loss']:.3f}",
            *(f"{metrics.loc[(epoch, 'val'), name]:.3f}" for name in ("loss", "accuracy", "macro_f1")),
            f"{metrics.loc[(epoch, 'train'), 'seconds']:.1f}",
        )
        for epoch in range(1, args.epochs + 1)
    ]


if __name__ == "__main__":
    main()
