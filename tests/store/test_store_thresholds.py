"""Chosen thresholds in notes.json: kept beside what else a person wrote there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_synthetic_run

from covidviz.errors import InputError, StoreError
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.runs import edit_notes
from covidviz.store.thresholds import Chosen, read_thresholds, save_thresholds


def test_what_is_saved_is_read_and_the_notes_stay(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    assert read_thresholds(run_dir) == {}
    edit_notes(run_dir, note="mine", tags=["a"])
    chosen = {"covid19": Chosen(0.42, cost_ratio=5.0, epoch=3, saved=12.5), "normal": Chosen(0.0, saved=1.0)}
    save_thresholds(run_dir, chosen)
    assert read_thresholds(run_dir) == chosen
    assert (Run(run_dir).notes()["note"], Run(run_dir).notes()["tags"]) == ("mine", ["a"])
    edit_notes(run_dir, archived=True)
    assert read_thresholds(run_dir) == chosen
    save_thresholds(run_dir, {})
    assert read_thresholds(run_dir) == {}


def test_the_moment_is_noted(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    save_thresholds(run_dir, {"covid19": Chosen(0.3)})
    saved = read_thresholds(run_dir)["covid19"].saved
    assert saved is not None
    assert saved > 1_700_000_000


@pytest.mark.parametrize("chosen", [Chosen(1.01), Chosen(float("nan")), Chosen(0.5, cost_ratio=0.0)])
def test_refuses_what_is_no_threshold(runs: Path, chosen: Chosen) -> None:
    run_dir = write_synthetic_run(runs, 1)
    with pytest.raises(InputError, match="accepted: 0 to 1"):
        save_thresholds(run_dir, {"covid19": chosen})
    with pytest.raises(InputError, match="a threshold for each class"):
        edit_notes(run_dir, thresholds=[0.5])
    with pytest.raises(StoreError, match="gone"):
        save_thresholds(runs / "nothing", {})
    assert read_thresholds(run_dir) == {}


@pytest.mark.parametrize(
    "raw",
    [None, 3, [], {"covid19": 0.5}, {"covid19": {"value": "high", "split": "val"}},
     {"covid19": {"value": 2, "split": "val"}}, {"covid19": {"value": 0.5}},
     {"covid19": {"value": 0.5, "split": "val", "cost_ratio": -1}}],
)  # fmt: skip
def test_nonsense_in_the_file_is_passed_over(runs: Path, raw: Any) -> None:
    run_dir = write_synthetic_run(runs, 1)
    notes = json.loads((run_dir / layout.NOTES).read_text())
    good = {"value": 0.25, "split": "val"}
    raw = {**raw, "normal": good} if isinstance(raw, dict) else raw
    (run_dir / layout.NOTES).write_text(json.dumps({**notes, "thresholds": raw}))
    assert read_thresholds(run_dir) == ({"normal": Chosen(0.25)} if isinstance(raw, dict) else {})
