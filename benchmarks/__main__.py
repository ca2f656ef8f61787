"""Every gate of speed, ours and the peer side by side.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks --quick
    python -m benchmarks --only thresholds bootstrap --out gates.json

A ratio is peer / ours, the median over pairs that were measured in turn in this process, or in one of its own for the
plain script. Peers that are not installed
are named and left out. `--gpu` measures training on an NVIDIA GPU instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Before torch is loaded, as a training process has it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.gates import evidence, gpu, heatmaps, images, lab, predictions, training, viewer
from benchmarks.gates.row import GATES, Part, Row, Settings, held, use
from benchmarks.table import machine, markdown

PARTS: dict[str, Part] = {
    "thresholds": predictions.thresholds,
    "bootstrap": predictions.bootstrap,
    "overlay": heatmaps.pictures,
    "input": images.cached,
    "lab": lab.fused_head,
    "logging": viewer.logging,
    "runs": viewer.opening,
    "cam": heatmaps.speed,
    "cam-memory": heatmaps.memory,
    "evidence": evidence.pages,
    "exactness": training.exactness,
    "steady": training.steady,
    "a-resnet18": training.case("resnet18", "head"),
    "a-vgg16": training.case("vgg16", "head"),
    "b-resnet18": training.case("resnet18", "block"),
    "b-vgg16": training.case("vgg16", "block"),
    "c-resnet18": training.case("resnet18", "all"),
    "c-vgg16": training.case("vgg16", "all"),
    "peers": training.peers,
}
NOT_QUICK = ("evidence", "peers")
HEADER = ("item", "ours", "peer", "ratio", "gate", "held")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"fewer images and pairs, without {' and '.join(NOT_QUICK)}: about 5 minutes on two cores",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=tuple(PARTS), help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="write all numbers there as JSON")
    parser.add_argument("--gpu", action="store_true", help="training on the GPU instead")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall",
        help="cpu: time of this process's threads, for a machine that is busy otherwise (several processes: wall)",
    )  # fmt: skip
    args = parser.parse_args()
    use(args.clock)
    chosen = args.only or [name for name in PARTS if not (args.quick and name in NOT_QUICK)]
    parts = {"gpu": gpu.rows} if args.gpu else {name: PARTS[name] for name in chosen}
    began, load = time.time(), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    # On a CPU the plain script decodes in its own process, as a DataLoader does by default.
    workers = max(1, (os.cpu_count() or 2) - 1) if args.gpu else 0
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="covidviz-benchmarks-") as folder:
        for name, row in measure(parts, Path(folder), quick=args.quick, workers=workers):
            found.append(row)
            print(f"{time.time() - began:5.0f} s  {name}: " + " | ".join(cells(row)), file=sys.stderr, flush=True)
    taken = time.time() - began
    kind = "quick" if args.quick else "full"
    print(f"{machine()}; {kind}, {args.clock} time, {taken:.0f} s, load before {load}\n")
    print(markdown(HEADER, map(cells, found)))
    notes = dict.fromkeys(f"{row.item}: {row.note}" for row in found if row.note)
    print("\n" + "\n".join(f"- {note}" for note in notes))
    if args.out is not None:
        rows = [row.document() for row in found]
        about = {"machine": machine(), "kind": kind, "clock": args.clock, "seconds": round(taken, 1), "load": load}
        args.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(1 if any(held(row) is False or row.why.startswith("failed") for row in found) else 0)


def measure(parts: dict[str, Part], folder: Path, *, quick: bool, workers: int = 0) -> Iterator[tuple[str, Row]]:
    """The rows of each part as they come; a part that fails gives a row that says so."""
    for name, part in parts.items():
        own = folder / name
        own.mkdir()
        try:
            for row in part(Settings(quick, own, workers)):
                yield name, row
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            yield name, Row(name, why=f"failed: {type(error).__name__}: {text}")


def cells(row: Row) -> tuple[str, ...]:
    """A line of the table."""
    gate = GATES.get(row.gate)
    limit = "-" if gate is None else f"at most {gate.gate:g}" if gate.at_most else f"{gate.gate:g}"
    verdict = {True: "yes", False: "**no**", None: "-"}[held(row)]
    if gate is not None and held(row) and gate.stretch is not None:
        reached = row.measured <= gate.stretch if gate.at_most else row.measured >= gate.stretch  # type: ignore[operator]
        verdict = "yes, stretch too" if reached else verdict
    measured = "-" if row.measured is None else number(row.measured)
    return (row.item, amount(row.ours, row.unit), amount(row.peer, row.unit), measured, limit, row.why or verdict)


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def amount(value: float | None, unit: str) -> str:
    """With a unit that suits its size."""
    if value is None:
        return "-"
    if unit != "s":
        return f"{number(value)} {unit}"
    for limit, factor, name in ((1e-3, 1e6, "us"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")):
        if value < limit:
            return f"{number(value * factor)} {name}"
    return f"{number(value / 3600)} h"


if __name__ == "__main__":
    main()
