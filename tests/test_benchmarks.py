"""What the benchmarks are made of. What they measure takes minutes and is no business of a test."""

from __future__ import annotations

import importlib
import itertools
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks import __main__ as command
from benchmarks.gates import gpu, heatmaps, phases, row, training, viewer
from benchmarks.gates.dataset import write_images
from benchmarks.gates.row import GATES, Row, Settings, held, in_turn, missing, ratio
from benchmarks.table import machine, markdown
from covidviz.store import layout
from covidviz.store.index import RunIndex


def test_table():
    assert markdown(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    assert "torch 2." in machine()


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_every_benchmark_fits_the_code_it_measures(name: str):
    """Imports only."""
    module = importlib.import_module(f"benchmarks.{name}")
    assert name in ("table", "gates") or callable(module.main)


def test_a_gate_is_held_from_its_number_on():
    assert held(Row("x", 18, gate="head bf16")) is True
    assert held(Row("x", 17.9, gate="head bf16")) is False
    assert held(Row("x", 0.01, gate="checkpoint")) is True
    assert held(Row("x", 0.011, gate="checkpoint")) is False
    assert held(Row("x", 1e-9, gate="head difference")) is False
    assert held(Row("x", gate="head bf16", why="not on this CPU")) is None
    assert held(Row("x", 18)) is None


def test_pairs_are_taken_in_turn_and_their_median_counts():
    calls: list[str] = []

    def measured(name: str, values: list[float]):
        def call() -> float:
            calls.append(name)
            return values.pop(0)

        return call

    pairs = in_turn([measured("ours", [1.0, 2.0, 4.0]), measured("peer", [10.0, 40.0, 8.0])], 3)
    assert calls == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert pairs == [(1, 10), (2, 40), (4, 8)]
    found = ratio("x", pairs)
    assert (found.measured, found.ours, found.peer) == (10, 2, 10)


def test_every_case_of_training_has_its_gate():
    cases = itertools.product(("resnet18", "vgg16"), ("head", "block", "all"), ("exact", "bf16", "fast"))
    named = {training._gate(*case) for case in cases if (case[1], case[2]) != ("all", "exact")}
    assert named - {""} == {name for name in GATES if name.split()[0] in ("head", "block", "all")} - {
        "head difference", "head epoch", "head again",
    }  # fmt: skip


def test_a_peer_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert missing("json", "no_such_package") == "not installed: no_such_package"
    assert missing("json") == ""
    monkeypatch.setattr(heatmaps, "missing", lambda *modules: f"not installed: {modules[0]}")
    found = list(heatmaps.pictures(Settings(True, tmp_path, 0)))
    assert [(one.why, one.measured) for one in found] == [("not installed: matplotlib", None)]


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def good(settings: Settings) -> Iterator[Row]:
        assert settings.quick
        assert settings.folder.is_dir()
        yield Row("fast", 2000, 0.001, 2.0, gate="thresholds", note="a note")
        yield Row("not here", gate="log mlflow", why="not installed: mlflow")

    def broken(_: Settings) -> Iterator[Row]:
        yield Row("slow", 2, 1.0, 2.0, gate="thresholds")
        raise OSError("no such thing")

    monkeypatch.setattr(command, "PARTS", {"good": good, "broken": broken})
    out = tmp_path / "gates.json"
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    table = capsys.readouterr().out
    for line in (
        "| fast | 1 ms | 2 s | 2,000 | 1000 | yes |",
        "| not here | - | - | - | 500 | not installed: mlflow |",
        "| slow | 1 s | 2 s | 2 | 1000 | **no** |",
        "| broken | - | - | - | - | failed: OSError: no such thing |",
        "- fast: a note",
    ):
        assert line in table
    document = json.loads(out.read_text())
    assert document["kind"] == "quick"
    assert [one["held"] for one in document["rows"]] == [True, None, False, None]
    assert document["rows"][0]["gate"] == 1000

    monkeypatch.setattr(command, "PARTS", {"good": good})
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.34e-6, "2.34 us"), (0.0123, "12.3 ms"), (4.5, "4.5 s"), (600, "10 min"), (36000, "10 h"), (None, "-")],
)
def test_amounts_have_a_unit_that_suits_them(seconds: float | None, text: str):
    assert command.amount(seconds, "s") == text


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(True, tmp_path, 0)


def test_a_training_is_timed_at_its_joints(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    bench = training.Bench(settings, "resnet18", training.Size(9, 3, 1, 2), jpeg=(80, 64))
    times = bench.train("head", "exact", image_size=64, batch_size=4)
    assert {name: len(calls) for name, calls in times.calls.items()} == {
        "images": 1, "features": 1, "steps": 2, "evaluation": 4, "metrics": 4, "end of epoch": 2,
    }  # fmt: skip
    assert 0 < times.of("images", "features", "steps", "evaluation", "metrics") < times.total
    assert 0 < times.writing() < times.epoch() < times.total
    assert not (times.run_dir / layout.CAMS).exists()
    monkeypatch.setattr(phases, "work", lambda run_dir: "failed")
    with pytest.raises(RuntimeError, match="the training failed"):
        bench.train("head", "exact", image_size=64)


def test_a_few_images_stand_for_many(tmp_path: Path):
    calls = {"images": [2.0], "features": [3.0], "steps": [1.0, 1.0], "evaluation": [0.5, 0.5, 0.5]}
    calls |= {"metrics": [0.125] * 4, "end of epoch": [1.0, 1.0]}
    times = phases.Times(tmp_path, total=10.0, calls=calls)
    assert times.fixed == 1.0
    assert times.writing() == 0.25
    # 8 further epochs: 0.25 each is written whatever the number of images, 1.75 grows with it, as the 9 measured do
    many = training.MANY / 10
    assert training.for_many(times, training.Size(8, 2, 1, 2)) == pytest.approx(1.0 + 2 + (9 + 14) * many)


def test_the_gpu_part_on_a_cpu(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu, "EPOCHS", 1)
    monkeypatch.setattr(gpu, "DTYPES", {"fp32": gpu.torch.float32})  # bf16 takes a minute on a CPU without
    size = training.Size(3, 3, 1, 1)
    found = list(gpu.on_device(settings, "cpu", "resnet18", size, image_size=64, batch=4))
    assert len(found) == 1 + 3 * 2
    assert all(one.measured is not None and one.measured > 0 for one in found)
    assert len({one.item for one in found}) == len(found)


def test_the_gpu_part_without_a_gpu_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert [one.why for one in gpu.rows(settings)] == ["not on this machine: no GPU that torch can use"]


def test_the_many_runs_are_read_by_both(runs: Path):
    viewer.make_runs(runs, 40)
    table = viewer.naive(runs)
    rows = {one.run_id: one for one in RunIndex(runs).refresh()}
    assert len(rows) == len(table) == 40
    for line in table.itertuples():
        assert rows[line.run_id].best == pytest.approx(line.macro_f1)


def test_the_plain_script_reads_the_images(tmp_path: Path):
    from benchmarks.gates.plain import Plain

    data = write_images(tmp_path / "data", 6, 3, (90, 70))
    plain = Plain(data, "resnet18", "block", size=64, batch=4)
    before = {name: tensor.clone() for name, tensor in plain.model.named_parameters()}
    assert plain.epoch() in (pytest.approx(k / 3) for k in range(4))
    changed = {
        name for name, tensor in plain.model.named_parameters() if not np.array_equal(tensor.detach(), before[name])
    }
    assert {name.split(".")[0] for name in changed} == {"layer4", "fc"}


def test_the_clock_can_be_processor_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(row._clock, "now", row._clock.now)
    row.use("cpu")
    monkeypatch.setattr(row.time, "process_time", lambda: 5.0)
    row.use("wall")
    assert row.clock() > 0
    assert row.seconds(lambda: None) >= 0
