"""Heat maps that are made when somebody asks for them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from explored import finished_run, make_dataset, with_weights

from covidviz.data.images import decode
from covidviz.errors import DataError, InputError
from covidviz.explain.explained import explained, folder
from covidviz.explain.on_demand import explain_otherwise, explain_samples
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.training.batches import to_input
from covidviz.training.inference import load_model
from covidviz.ui import background, pictures, tasks


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise", 36)


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return with_weights(finished_run(runs, data, 2, weights="none", model="resnet18"))


def ids(run: Run, split: str = "train") -> list[str]:
    samples = run.samples()
    return samples.loc[samples["split"] == split, "sample_id"].tolist()


def content(run: Run) -> dict[str, tuple[int, int]]:
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in run.dir.rglob("*") if file.is_file()}


def test_maps_are_those_of_the_network_and_the_run_is_left_as_it_is(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covidviz.explain.on_demand.AT_ONCE", 5)
    before, wanted, steps = content(run), ids(run), []
    assert not pictures.heat_ids(run, "train")
    key = pictures.heat_key(run, "train")
    assert explain_samples(run.dir, "train", wanted, lambda done, n: steps.append((done, n))) == 12
    assert steps == [(5, 12), (10, 12), (12, 12)]
    assert content(run) == before
    assert pictures.heat_ids(run, "train") == set(wanted)
    assert pictures.heat_key(run, "train") != key
    kept = explained(run, "train")
    assert kept is not None
    model, config = load_model(run.dir)
    samples = run.samples().set_index("sample_id")
    row = 7
    image, _ = decode(data, [samples.loc[wanted[row], "path"]], config.image_size)
    from covidviz.explain.cam import grad_cam

    raw = grad_cam(model, to_input(image, "cpu"), range(3), kept.layer)[0].numpy()
    assert str(kept.sample_id[row]) == wanted[row]
    assert kept.scale[row] == pytest.approx(raw.max(axis=(1, 2)), rel=1e-4)
    assert kept.maps[row] * kept.scale[row][:, None, None] == pytest.approx(raw, abs=2e-3 * float(raw.max()))


def test_what_is_there_is_not_made_again_and_more_is_added(run: Run) -> None:
    wanted = ids(run)
    assert explain_samples(run.dir, "train", wanted[:3]) == 3
    first = explained(run, "train")
    assert first is not None
    assert explain_samples(run.dir, "train", wanted[:3]) == 0
    assert explain_samples(run.dir, "train", [wanted[2], wanted[4], wanted[4]]) == 1
    now = explained(run, "train")
    assert now is not None
    assert now.sample_id.tolist() == [*wanted[:3], wanted[4]]
    assert np.array_equal(now.maps[:3], first.maps)


def test_another_best_epoch_has_other_maps(run: Run) -> None:
    explain_samples(run.dir, "train", ids(run)[:2])
    place = folder(run)
    with_weights(run)
    assert folder(run) != place
    assert explained(run, "train") is None


def test_logged_maps_say_what_is_much(run: Run) -> None:
    full = pictures.full_colour(run)
    explain_samples(run.dir, "train", ids(run)[:2])
    assert pictures.full_colour(run) == full
    for split in ("val", "test"):
        (run.dir / layout.CAMS / f"{split}.npz").unlink()
    made = explained(run, "train")
    assert made is not None
    assert pictures.full_colour(run) == pytest.approx(np.percentile(made.scale[made.scale > 0], 99), rel=1e-3)


def test_what_cant_be_explained_is_named(run: Run, data: Path) -> None:
    with pytest.raises(InputError, match=r"'nope' given, which is not in train"):
        explain_samples(run.dir, "train", ["nope"])
    with pytest.raises(InputError, match="split: 'x'"):
        explain_samples(run.dir, "x", ids(run))
    one, other = ids(run)[:2]
    (data / run.samples().set_index("sample_id").loc[one, "path"]).unlink()
    with pytest.raises(DataError, match="does not exist"):
        explain_samples(run.dir, "train", [one])
    assert explain_samples(run.dir, "train", [one, other]) == 1


def test_it_is_done_in_a_process_of_its_own(run: Run) -> None:
    tasks.start("explain", "explain", str(run.dir), "train", *ids(run)[:2])
    until = time.monotonic() + 120
    while (task := tasks.look("explain")) is None or task.alive:
        assert time.monotonic() < until, "it did not end"
        time.sleep(0.1)
    assert (task.failed, task.share) == (None, 1.0)
    assert len(pictures.heat_ids(run, "train")) == 2


def test_a_failure_is_its_last_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (run.dir / layout.BEST).unlink()
    assert background.main(["explain", str(run.dir), "train", ids(run)[0]]) == 1
    assert "best.safetensors" in capsys.readouterr().out.splitlines()[-1]
    assert background.main(["explain", str(run.dir), "train"]) == 2


def test_other_methods_of_one_image_are_kept_beside(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = ids(run, "val")[:2]
    arguments = ["explain-otherwise", str(run.dir), "val", one, "hirescam", "eigencam"]
    before = content(run)
    assert background.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["HiResCAM: 0 %", "EigenCAM: 50 %"]
    assert content(run) == before
    assert explained(run, "val") is None, "the maps that everybody sees are the run's own"
    kept = explained(run, "val", "hirescam")
    assert kept is not None
    assert (kept.method, kept.sample_id.tolist(), kept.maps.shape[1]) == ("hirescam", [one], 3)
    assert explain_otherwise(run.dir, "val", one, ["hirescam"]) == 0
    assert explain_otherwise(run.dir, "val", other, ["hirescam", "layercam"]) == 2
    assert explained(run, "val", "hirescam").sample_id.tolist() == [one, other]
    eigen = explained(run, "val", "eigencam")
    assert eigen is not None
    assert np.array_equal(eigen.maps[0, 0], eigen.maps[0, 1])


def test_other_methods_that_cant_be_had_are_named(run: Run, data: Path) -> None:
    one = ids(run, "val")[0]
    with pytest.raises(InputError, match="method: 'x' given, accepted: grad-cam, grad-cam"):
        explain_otherwise(run.dir, "val", one, ["x"])
    with pytest.raises(InputError, match="not in train"):
        explain_otherwise(run.dir, "train", one, ["layercam"])
    (data / run.samples().set_index("sample_id").loc[one, "path"]).unlink()
    with pytest.raises(DataError, match="does not exist"):
        explain_otherwise(run.dir, "val", one, ["layercam"])
