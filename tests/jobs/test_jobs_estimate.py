"""What a run will need, learned from synthetic runs and worked out from the table of layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_synthetic_run

from covidviz.config import TrainConfig
from covidviz.jobs import estimate as costs
from covidviz.jobs.devices import CPU, Slot
from covidviz.store import layout
from covidviz.store.index import RunIndex

GPU = Slot("cuda:0", "NVIDIA A100", "0")
N = {"train": 600, "val": 200, "test": 200}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "host_name", lambda: "laptop")  # where synthetic runs say they ran
    costs._measured.cache_clear()


def config(**settings: Any) -> TrainConfig:
    return TrainConfig.parse({"data": "/x", "model": "resnet18", "image_size": 64, "weights": "none", **settings})


def known(runs: Path, model: str = "resnet18") -> list[costs.Measured]:
    return costs.learn(runs, RunIndex(runs).refresh(), model)


def of(settings: TrainConfig, runs: Path, slots: tuple[Slot, ...] = (CPU,), n: dict[str, int] = N) -> costs.Estimate:
    return costs.estimate(settings, n, 3, known(runs, settings.model), slots)


def seconds(settings: TrainConfig, runs: Path) -> float:
    found = of(settings, runs)
    assert found.seconds is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.seconds < found.high
    return found.seconds


def test_without_a_run_there_is_no_time(runs: Path) -> None:
    found = of(config(), runs)
    assert (found.seconds, found.low, found.high, found.runs) == (None, None, None, 0)
    assert found.memory > 0
    assert found.disk > 0


def test_the_same_settings_take_as_long_again(runs: Path) -> None:
    write_synthetic_run(runs, 2, model="resnet18", trainable="all")  # 62.8 images per second
    found = of(config(trainable="all", epochs=10), runs, n={"train": 628, "val": 0, "test": 0})
    assert found.seconds == pytest.approx(10 * 628 / 62.8, rel=0.05)  # and one pass over all images at the end
    assert found.same_model
    assert found.runs == 1


def test_time_follows_what_is_done(runs: Path) -> None:
    write_synthetic_run(runs, 2, model="resnet18", trainable="all")
    whole = seconds(config(trainable="all", epochs=10), runs)
    assert seconds(config(trainable="all", epochs=20), runs) == pytest.approx(2 * whole, rel=0.1)
    assert seconds(config(trainable="all", epochs=10, image_size=128), runs) == pytest.approx(4 * whole, rel=0.01)
    assert seconds(config(trainable="head", epochs=10), runs) < seconds(config(trainable="from:layer4"), runs) < whole
    assert seconds(config(trainable="layer4.1.conv2"), runs) < seconds(config(trainable="layer4"), runs)
    assert seconds(config(model="vgg16", trainable="all"), runs) > 3 * whole
    assert not of(config(model="vgg16"), runs).same_model


def test_what_is_frozen_is_counted_once(runs: Path) -> None:
    write_synthetic_run(runs, 2, model="resnet18", trainable="all")
    kept = {epochs: seconds(config(trainable="head", epochs=epochs), runs) for epochs in (2, 20)}
    assert kept[20] == pytest.approx(kept[2], rel=0.1), "further epochs cost the head alone"
    assert seconds(config(trainable="head", epochs=20, cache="off"), runs) > 5 * kept[20]
    assert seconds(config(trainable="head", epochs=20, augment="course"), runs) > 5 * kept[20]
    assert kept[20] < seconds(config(trainable="head", epochs=20, augment="flip"), runs) < 2 * kept[20]


def cached(runs: Path, i: int = 2, *, took: float = 100.0, computed: bool = True, **settings: Any) -> Path:
    """A run that trained on kept features: 1,000 images passed through the frozen part in `took` seconds."""
    run_dir = write_synthetic_run(runs, i, artefacts=True, **{"model": "resnet18", "trainable": "head", **settings})
    status = json.loads((run_dir / layout.STATUS).read_text())
    splits = {
        name: {"images": n, "variants": 1, "bytes": 9, "computed": computed, "seconds": took * n / 1000,
               "key": f"key-{name}"}
        for name, n in N.items()
    }  # fmt: skip
    document = {"before": "fc", "bytes": 27, "saved_s": 1.0, "splits": splits}
    more = {"frozen_once": True, "frozen_cache": document, "finished": status["started"] + took * computed + 5}
    (run_dir / layout.STATUS).write_text(json.dumps(status | more))
    return run_dir


def test_runs_on_kept_features_tell_the_speed_too(runs: Path) -> None:
    """One that computed its features, and one that found those of another run."""
    for i, computed in ((2, True), (4, False)):
        cached(runs, i, computed=computed)
    found = of(config(trainable="head", epochs=1, seed=9), runs)
    # 1,000 images take 100 s; heat maps of 400 of them are made beside, and the head goes over 600 at 62.8 per second
    assert found.seconds == pytest.approx(100 + 1.2 * 40 + 600 / 62.8, rel=0.2)
    assert found.same_model
    more = of(config(trainable="head", epochs=21, seed=9), runs)
    assert more.seconds == pytest.approx((found.seconds or 0) + 20 * 600 / 62.8, rel=0.01)
    whole = seconds(config(trainable="all", epochs=1), runs)
    assert whole > 2 * (found.seconds or 0)


def test_the_epochs_of_what_learns_after_kept_features_tell_the_speed(runs: Path) -> None:
    cached(runs, 2, trainable="from:layer4", took=0.001)
    (row,) = known(runs)
    whole, frozen = costs._training(config(trainable="from:layer4")), costs._frozen(config(trainable="from:layer4"))
    n = costs._counts(costs.Run(next(runs.glob("2*"))))["train"]
    expected = (1000 * frozen + 10 * n * (whole - frozen)) / (0.001 + 10 * n / 62.8)
    assert row.speed == pytest.approx(expected, rel=0.01)
    assert row.head_s is None


def test_what_is_in_the_cache_is_not_counted(runs: Path, folders: Path) -> None:
    run = costs.Run(cached(runs))
    same = run.config()
    assert same is not None
    first = of(same, runs)
    assert not first.kept, "the run's features were removed since"
    for name in N:
        costs.cache.obtain(
            "features", f"key-{name}", needed=1, about={"of": name}, build=lambda at: (at / "f").write_bytes(b"x")
        )  # fmt: skip
    second = of(same, runs)
    assert second.kept
    assert second.seconds is not None
    assert first.seconds is not None
    assert second.seconds < first.seconds - 90
    assert of(same.replace(lr=0.5, epochs=3), runs).kept
    assert not of(same.replace(image_size=96), runs).kept
    assert not of(same.replace(trainable="from:layer4"), runs).kept
    assert not of(same.replace(cache="off"), runs).kept


@pytest.mark.parametrize(
    "broken", [None, 3, {}, {"splits": []}, {"splits": {"train": 3}}, {"splits": {"train": {"seconds": None}}}]
)
def test_runs_on_kept_features_that_do_not_say_what_they_took_tell_nothing(runs: Path, broken: object) -> None:
    run_dir = write_synthetic_run(runs, 2, model="resnet18", trainable="head")
    status = json.loads((run_dir / layout.STATUS).read_text())
    (run_dir / layout.STATUS).write_text(json.dumps(status | {"frozen_once": True, "frozen_cache": broken}))
    assert of(config(), runs).seconds is None


def test_what_is_far_away_is_said_less_surely(runs: Path) -> None:
    write_synthetic_run(runs, 2, model="resnet18", trainable="all")

    def spread(settings: TrainConfig) -> float:
        found = of(settings, runs)
        assert found.low is not None
        assert found.high is not None
        return found.high / found.low

    near, far = spread(config(trainable="all")), spread(config(trainable="all", image_size=512))
    assert 1 < near < far <= 16
    assert near < spread(config(model="vgg16", trainable="all"))


def test_the_nearest_runs_count(runs: Path) -> None:
    for i in (2, 4, 6):
        write_synthetic_run(runs, i, model="resnet18", trainable="all")
    slow = write_synthetic_run(runs, 1, model="vgg16", trainable="all")
    lines = [json.loads(line) for line in (slow / layout.METRICS).read_text().splitlines()]
    text = "".join(json.dumps({**row, "images_per_s": 0.01} if "images_per_s" in row else row) + "\n" for row in lines)
    (slow / layout.METRICS).write_text(text)
    found = of(config(trainable="all"), runs)
    assert found.runs == 3
    assert found.seconds is not None
    assert found.seconds < 300


@pytest.mark.parametrize("state", ["queued", "running", "failed", "lost"])
def test_only_finished_runs_count(runs: Path, state: str) -> None:
    write_synthetic_run(runs, 2, state)
    assert known(runs) == []


def test_a_stopped_run_tells_its_speed(runs: Path) -> None:
    write_synthetic_run(runs, 2, "stopped")
    assert [row.images_per_s for row in known(runs)] == [62.8]


def test_runs_of_another_machine_or_device_tell_nothing(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_synthetic_run(runs, 2, model="resnet18")
    assert of(config(), runs, (GPU, CPU)).seconds is None  # it would run on the GPU
    assert of(config(device="cpu"), runs, (GPU, CPU)).seconds is not None
    monkeypatch.setattr(costs, "host_name", lambda: "cluster")
    costs._measured.cache_clear()
    assert known(runs) == []


def test_gpus_of_the_same_kind_are_one_device(runs: Path) -> None:
    run = write_synthetic_run(runs, 2, model="resnet18")
    status = json.loads((run / layout.STATUS).read_text())
    (run / layout.STATUS).write_text(json.dumps({**status, "device": "cuda:3 NVIDIA A100"}))
    assert costs.device_kind("cuda:3 NVIDIA A100") == "NVIDIA A100"
    found = of(config(), runs, (GPU, CPU))
    assert found.seconds is not None
    assert found.on_gpu


@pytest.mark.parametrize("broken", ["", "{", '{"epoch": 1, "split": "train", "images_per_s": null}\n', "[]\n1\n"])
def test_broken_curves_tell_nothing(runs: Path, broken: str) -> None:
    run = write_synthetic_run(runs, 2)
    (run / layout.METRICS).write_text(broken)
    assert known(runs) == []


def test_a_run_that_grew_is_read_again(runs: Path) -> None:
    run = write_synthetic_run(runs, 2, epochs=2)
    assert known(runs)[0].images_per_s == 62.8
    text = (run / layout.METRICS).read_text().replace("62.8", "31.4")
    (run / layout.METRICS).write_text(text + "\n")
    assert known(runs)[0].images_per_s == 31.4


def test_what_a_run_spends_besides_is_learned(runs: Path, folders: Path) -> None:
    write_synthetic_run(runs, 2, model="resnet18", artefacts=True, n=4)  # 99 s for next to no images
    (row,) = known(runs)
    assert row.overhead_s == pytest.approx(99, abs=3)
    assert seconds(config(epochs=1), runs) > row.overhead_s


def test_disk_is_what_the_checkpoints_hold() -> None:
    def disk(**settings: Any) -> float:
        return costs.estimate(config(**settings), N, 3, [], (CPU,)).disk

    # Measured: best.safetensors of 45.3 MB and last.pt of 90.6 MB.
    assert disk(trainable="all") == pytest.approx(136.3e6, rel=0.02)
    assert disk(trainable="head", weights="imagenet") < 5e6
    assert disk(trainable="all", optimizer="adam") > disk(trainable="all") > disk(trainable="all", momentum=0)


def test_memory_grows_with_batch_image_and_what_learns() -> None:
    def memory(**settings: Any) -> float:
        return costs.estimate(config(**settings), N, 3, [], (CPU,)).memory

    least = memory(trainable="head", weights="imagenet")
    assert least < memory(trainable="from:layer4") < memory(trainable="all") < memory(trainable="all", batch_size=256)
    assert memory(trainable="all", image_size=224) < memory(trainable="all", image_size=448)
    # Measured: 1.20 GB at 64 px in batches of 32 with everything learning.
    assert memory(trainable="all") == pytest.approx(1.2e9, rel=0.15)


def test_a_thousand_runs_cost_little(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(1, 121):
        write_synthetic_run(runs, i, epochs=1)
    read: list[Path] = []
    real = costs.measured
    monkeypatch.setattr(costs, "measured", lambda run_dir: read.append(run_dir) or real(run_dir))
    known(runs)
    assert len(read) == 2 * costs.READ
