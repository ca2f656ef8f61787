"""Cascading randomisation: the comparison, the rules of the verdict, and what is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from explored import finished_run, make_dataset, with_weights
from scipy.stats import spearmanr
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.errors import DataError, StoreError
from covidviz.explain import cam, sanity
from covidviz.explain.dependence import Dependence, Step, read, verdict, write
from covidviz.explain.sanity import cascade, check_run, rank_correlation
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import background


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a = rng.random((20, 49)).round(1).astype(np.float32)  # with ties
    b = np.where(rng.random((20, 49)) < 0.5, a, rng.random((20, 49))).astype(np.float32)
    got = rank_correlation(a, b)
    assert got == pytest.approx([spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)])
    assert rank_correlation(a, a) == pytest.approx(np.ones(20))
    assert rank_correlation(a, np.zeros_like(a)).tolist() == [0.0] * 20
    assert np.isfinite(rank_correlation(a, np.full_like(a, np.nan))).all()


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        ([0.9, 0.8, 0.7], "no"),
        ([0.1, 0.1, 0.7], "no"),
        ([0.69, 0.5, 0.29], "yes"),
        ([0.0, -0.5], "yes"),
        ([0.7, 0.1, 0.0], "partly"),
        ([0.1, 0.3], "partly"),
        ([0.6, 0.69], "partly"),
    ],
)
def test_the_rules_of_the_verdict(similarity: list[float], expected: str):
    assert verdict(similarity) == expected
    steps = tuple(Step(f"l{k}", value, value, value) for k, value in enumerate(similarity))
    words = Dependence("grad-cam", "l", 1, 8, 0, steps).words
    assert f"{similarity[0]:.2f} once the head is random" in words
    assert f"{similarity[-1]:.2f} once every layer is" in words


class Two(nn.Module):
    """A convolution and a head; the map is that of the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(6))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x).mean((2, 3)))


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Two:
    torch.manual_seed(0)
    net = Two().eval()
    monkeypatch.setattr(
        cam, "sequence", lambda m: [("first", m.first), ("pool", lambda a: a.mean((2, 3))), ("head", m.head)]
    )
    return net


PARTS = [("head", ("head",)), ("first", ("first",))]


def test_the_cascade_goes_down_and_leaves_the_model(two: Two):
    before = {name: value.clone() for name, value in two.state_dict().items()}
    x, seen = torch.randn(6, 3, 12, 12), []
    state = torch.random.get_rng_state()
    steps, n = cascade(two, x, "first", PARTS, 0, lambda *done: seen.append(done))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in two.state_dict().items())
    assert [step.layer for step in steps] == ["head", "first"]
    assert seen == [(1, 2), (2, 2)]
    assert n <= 6
    assert all(-1 <= step.low <= step.similarity <= step.high <= 1 for step in steps)
    assert cascade(two, x, "first", PARTS, 0)[0] == steps
    assert abs(steps[1].similarity) < 0.7


def test_maps_that_only_show_the_image_are_found_out(two: Two, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sanity, "grad_cam", lambda _, x, classes, layer: x[:, :1].expand(-1, len(classes), -1, -1))
    steps, n = cascade(two, torch.randn(6, 3, 12, 12), "first", PARTS, 0)
    assert n == 6
    assert verdict([step.similarity for step in steps]) == "no"


def test_no_heat_at_all_is_said(two: Two, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sanity, "grad_cam", lambda _, x, classes, layer: torch.zeros(len(x), len(classes), 4, 4))
    with pytest.raises(DataError, match="no heat map of the validation images shows anything"):
        cascade(two, torch.randn(2, 3, 12, 12), "first", PARTS, 0)


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Run:
    data = make_dataset(tmp_path / "data" / "noise", 18)
    return with_weights(finished_run(runs, data, 2, weights="none", model="resnet18", image_size=64))


def test_a_run_is_checked_and_the_answer_kept_with_it(run: Run, capsys: pytest.CaptureFixture[str]):
    assert read(run) is None
    assert background.main(["sanity", str(run.dir)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "100 %"
    found = read(run)
    assert found is not None
    assert found.layer == "layer4"
    assert [step.layer for step in found.steps] == ["fc", *reversed(MODELS["resnet18"].layer_names)]
    assert 0 < found.images <= 6
    raw = json.loads((run.dir / "sanity.json").read_text())
    assert raw["verdict"] == found.verdict
    write(run, Dependence(found.method, found.layer, found.epoch + 1, found.images, found.seed, found.steps))
    assert read(run) is None, "of other weights than the best epoch's"
    for broken in ("", "[]", "{}", '{"steps": [{"layer": "fc"}]}', json.dumps({**raw, "steps": []})):
        (run.dir / "sanity.json").write_text(broken)
        assert read(run) is None


def test_without_images_or_weights_it_says_why(run: Run, tmp_path: Path):
    shutil.rmtree(tmp_path / "data" / "noise" / "images")
    with pytest.raises(DataError, match="does not exist"):
        check_run(run.dir)
    (run.dir / layout.BEST).unlink()
    with pytest.raises(StoreError, match=r"best\.safetensors"):
        check_run(run.dir)
    (run.dir / layout.METRICS).unlink()
    with pytest.raises(StoreError, match="no best epoch"):
        check_run(run.dir)
