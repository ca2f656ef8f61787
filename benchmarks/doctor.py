"""What the data doctor finds of what was planted, and what it claims that was not.

python -m benchmarks.doctor                  phantoms, the tables of docs/data-doctor.md
python -m benchmarks.doctor --real FOLDER    also real X-rays with known duplicates (duplicates/pairs.csv)
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import machine, markdown
from covidviz.data.doctor import Report, diagnose
from covidviz.data.doctor.looks import look_at
from covidviz.data.doctor.twins import near_twins
from covidviz.data.manifest import load_manifest
from covidviz.data.phantoms import PhantomOptions, make_phantoms

# Name, options by size, checks that must say warn or bad, checks that may too.
PLANTED: tuple[tuple[str, dict[str, Any], set[str], set[str]], ...] = (
    ("nothing", {}, set(), set()),
    ("duplicates across splits", {"duplicates": {"tiny": 4, "small": 12}},
     {"exact-duplicates", "near-duplicates"}, set()),
    ("patients across splits", {"shared_patients": {"tiny": 3, "small": 12}}, {"patient-overlap"}, set()),
    ("text in a corner of one class", {"marker_class": "pneumonia"}, {"lungs-blanked"}, {"thumbnail-shortcut"}),
    ("two label encodings", {"encoding": "train-only"}, {"label-encoding"}, {"label-suspects"}),
    ("8 % wrong labels", {"label_noise": 0.08}, {"label-suspects"}, set()),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "small"), default="small")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of the phantoms")
    parser.add_argument("--real", type=Path, help="a dataset with duplicates/pairs.csv")
    args = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVIDVIZ_CACHE_DIR"] = str(Path(folder) / "cache")
        rows = [row for seed in args.seeds for row in phantoms(Path(folder), args.size, seed)]
        print(markdown(("planted", "images", "found", "false alarms", "CPU s"), rows))
        if args.real:
            print()
            print(markdown(("real X-rays", "result"), real(args.real)))


def phantoms(folder: Path, size: str, seed: int) -> list[tuple[object, ...]]:
    rows = []
    for name, options, wanted, allowed in PLANTED:
        if size == "tiny" and "label_noise" in options:
            continue  # of 60 images no model can tell
        one = {key: value[size] if isinstance(value, dict) else value for key, value in options.items()}
        path = make_phantoms(folder / f"{seed}-{len(list(folder.iterdir()))}", PhantomOptions(size, seed, **one))
        began = time.process_time()
        report = diagnose(path)
        seconds = time.process_time() - began
        alarms = {check.id for check in report.checks if check.severity in ("warn", "bad")}
        told = [f"{id}: {amount(report, id)}" for id in sorted(wanted & alarms)]
        told += [f"missed: {id}" for id in sorted(wanted - alarms)]
        false = ", ".join(sorted(alarms - wanted - allowed)) or "none"
        if "label_noise" in options:
            samples = load_manifest(path, task="multi-label", strict=False).samples
            wrong = set(samples["path"][samples["planted"].fillna("").str.contains("label noise")])
            check = report.check("label-suspects")
            assert check is not None
            hits = len(wrong & {str(path) for path in check.samples})
            told.append(f"{hits} of the {check.n} are planted, of {len(wrong)}")
        rows.append((name, report.n, "; ".join(told) or "-", false, f"{seconds:.0f}"))
    return rows


def amount(report: Report, id: str) -> str:
    check = report.check(id)
    assert check is not None
    if check.details.get("auc") is not None:
        return "AUC " + ", ".join(f"{name} {one[0]:.2f}" for name, one in check.details["per_class"].items())
    return f"{check.n}"


def real(root: Path) -> list[tuple[str, str]]:
    """Duplicates among the dataset and the extra files; which of the extra ones were found."""
    samples = load_manifest(root, task="multi-label", strict=False).samples
    with (root / "duplicates" / "pairs.csv").open(encoding="utf-8", newline="") as stream:
        pairs = [(row["duplicate_of"], row["path"]) for row in csv.DictReader(stream)]
    paths = [str(path) for path in samples["path"]] + [extra for _, extra in pairs]
    began = time.process_time()
    looks = look_at(root, paths, "benchmark")
    looked = time.process_time() - began
    began = time.process_time()
    twins = near_twins(looks.thumbs, root, paths)
    compared = time.process_time() - began
    found = {(paths[twin.a], paths[twin.b]) for twin in twins}
    known = set(pairs)
    rest = sorted(found - known)
    alike = np.array([twin.alike for twin in twins if (paths[twin.a], paths[twin.b]) in known])
    rows = [
        ("images", f"{len(paths):,}"),
        ("known pairs found", f"{len(known & found)} of {len(known)}, correlation {alike.min():.3f} and more"),
        ("other pairs claimed", f"{len(rest)}"),
        ("CPU seconds", f"{looked:.1f} to look at all, {compared:.1f} to compare"),
    ]
    rows += [
        (" and ".join(pair), f"{twin.alike:.3f}{', mirrored' if twin.mirrored else ''}")
        for twin in twins
        if (pair := (paths[twin.a], paths[twin.b])) in rest
    ]
    return rows


if __name__ == "__main__":
    main()
