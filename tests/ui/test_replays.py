"""The epochs of a run as pages and routes know them: matched by id, judged like a finished run, sent as bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored import finished_run, make_dataset
from starlette.applications import Starlette
from starlette.testclient import TestClient
from synthetic import write_synthetic_run

from covidviz.evaluation.metrics import confusion, predicted
from covidviz.evaluation.replay import FATES, fates, right_over_time
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import replays
from covidviz.ui.album import items_of
from covidviz.ui.replays import binary, found_at, measured_at, reason, replay, story
from covidviz.ui.results import measured
from covidviz.ui.routes import ROUTES

E, C = 6, 3


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise")


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return with_history(finished_run(runs, data))


def val(run: Run) -> Any:
    samples = run.samples()
    return samples[samples["split"] == "val"].reset_index(drop=True)


def truth(run: Run) -> np.ndarray:
    return val(run)[[f"label_{name}" for name in ("covid19", "normal", "pneumonia")]].to_numpy()


def with_history(
    run: Run, ids: list[str] | None = None, epochs: list[int] | None = None, prob: np.ndarray | None = None
) -> Run:
    """`run` with an invented history, in which images are learned, forgotten and neither."""
    ids = val(run)["sample_id"].tolist() if ids is None else ids
    if prob is None:
        prob = np.random.default_rng(3).dirichlet(np.ones(C), (E, len(ids)))
    epochs = list(range(1, len(prob) + 1)) if epochs is None else epochs
    np.savez(run.dir / layout.HISTORY, sample_id=np.array(ids), epoch=np.array(epochs), prob=prob.astype(np.float16))
    return run


def decoded(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As replay_data.js reads it."""
    length = int(np.frombuffer(content, "<u4", 1)[0])
    head = json.loads(content[4 : 4 + length])
    e, n, c, at, parts = len(head["epochs"]), len(head["ids"]), len(head["classes"]), 4 + length, {}
    shapes = {"truth": (n, c), "fate": (n,), "forgotten": (n,), "level": (e, n, c)}
    for name, shape in (shapes | ({"said": (e, n)} if head["single"] else {})).items():
        size = int(np.prod(shape))
        parts[name] = np.frombuffer(content, np.uint8, size, at).reshape(shape)
        at += size
    assert at == len(content)
    return head, parts


def test_each_epoch_is_judged_by_its_own_probabilities(run: Run) -> None:
    history, y = run.history(), truth(run)
    assert history is not None
    for epoch in range(1, E + 1):
        found = found_at(run, epoch)
        assert found is not None
        assert (found.splits, found.frame[replays.EPOCH].unique().tolist()) == ({"val": 24}, [epoch])
        assert found.frame["right"].tolist() == right_over_time(history.prob, y, "single-label")[epoch - 1].tolist()
        document = confusion(history.prob[epoch - 1], y, found.classes, found.task)
        assert measured_at(run, "val", epoch).confusion == document
    assert found_at(run, E + 1) is None


def test_without_an_epoch_it_is_the_runs_own_result(run: Run) -> None:
    assert measured_at(run, "test", None) == measured(run, "test")
    assert replays.EPOCH not in found_at(run, None).frame  # type: ignore[union-attr]


def test_before_its_end_a_run_is_as_in_its_latest_epoch(runs: Path, data: Path) -> None:
    run = with_history(Run(write_synthetic_run(runs, 1, "running", artefacts=True, data=data)))
    found = found_at(run, None)
    assert found is not None
    assert found.frame[replays.EPOCH].unique().tolist() == [E]
    with_history(run, prob=np.random.default_rng(0).dirichlet(np.ones(C), (E + 1, 24)))
    assert found_at(run, None).frame[replays.EPOCH].unique().tolist() == [E + 1]  # type: ignore[union-attr]


def test_a_history_in_another_order_is_the_same(run: Run) -> None:
    before, history = replay(run), run.history()
    assert before is not None
    assert history is not None
    ids, order = history.sample_id, np.random.default_rng(1).permutation(24)
    with_history(run, ids[order].tolist(), prob=history.prob[:, order])
    after = replay(run)
    assert after is not None
    place = [before.sample_id.index(name) for name in after.sample_id]
    assert after.fates.kind.tolist() == before.fates.kind[place].tolist()
    assert np.array_equal(after.prob, before.prob[:, place])
    assert np.array_equal(after.labels, before.labels[place])
    assert after.notes == ()


def test_what_does_not_fit_is_left_out_and_said(run: Run) -> None:
    ids = val(run)["sample_id"].tolist()
    rng = np.random.default_rng(0)
    with_history(run, ["gone", *ids[:20]], [2, 1, 5, 2], rng.dirichlet(np.ones(C), (4, 21)))
    known = replay(run)
    assert known is not None
    assert (known.epochs, known.sample_id) == ([1, 2, 5], ids[:20])
    assert known.notes == (
        "2 of 5 epochs were not kept.",
        "1 of 21 images are not in the validation split any more, and left out.",
        "4 of 24 validation images have no epochs, and are left out.",
    )


def test_what_is_no_number_is_wrong_and_said(run: Run) -> None:
    prob = np.tile(np.where(truth(run) == 1, 0.8, 0.1), (3, 1, 1))
    prob[1, 4] = np.nan
    with_history(run, prob=prob)
    known = replay(run)
    assert known is not None
    assert known.right.sum() == 3 * 24 - 1
    assert "In 1 epoch some probabilities are not numbers" in known.notes[0]
    assert story(run, known.sample_id[4]) == "forgotten once, right since epoch 3"
    head, parts = decoded(binary(run) or b"")
    assert (parts["level"] == 255).sum() == 3
    assert head["notes"] == list(known.notes)
    found = found_at(run, 2)
    assert found is not None
    assert all(item["p"] == [None] * 3 for item in items_of(run, found.frame.iloc[[4]], found.classes, found.task))


@pytest.mark.parametrize(
    ("ids", "prob", "words"),
    [
        (None, np.zeros((2, 24, 5)), "of other classes"),
        (["x", "y"], np.zeros((2, 2, 3)), "No image of this run"),
        (None, np.zeros((0, 24, 3)), "No image of this run"),
        (None, np.zeros((2, 24)), "of other classes"),
    ],
)
def test_a_history_of_something_else_is_refused(run: Run, ids: list[str] | None, prob: np.ndarray, words: str) -> None:
    with_history(run, ids, prob=prob)
    assert replay(run) is None
    assert words in reason(run)
    assert binary(run) is None


def test_a_missing_or_broken_history_is_said(run: Run) -> None:
    (run.dir / layout.HISTORY).write_bytes(b"PK nonsense")
    assert "can't be read" in reason(run)
    (run.dir / layout.HISTORY).unlink()
    assert "not kept" in reason(run)
    assert story(run, "x") is None


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_the_browser_gets_every_decision_and_nearly_every_digit(runs: Path, task: str) -> None:
    run = Run(write_synthetic_run(runs, 1, artefacts=True, n=120, task=task, loss="focal"))
    y, rng = truth(run), np.random.default_rng(5)
    prob = rng.dirichlet(np.ones(C), (E, len(y))) if task == "single-label" else rng.random((E, len(y), C))
    prob[0, 0], prob[0, 1] = [0.40, 0.4004, 0.1996], [0.5, 0.4997, 0.0]  # what rounding to 254 steps must not change
    with_history(run, prob=prob)
    history = run.history()
    assert history is not None
    kept = history.prob
    head, parts = decoded(binary(run) or b"")
    assert np.array_equal(parts["truth"], y)
    assert np.abs((parts["level"] + 0.5) / 254 - kept.astype(float)).max() <= 0.5 / 254 + 1e-6
    if task == "single-label":
        assert np.array_equal(parts["said"], [predicted(one, task).argmax(axis=1) for one in kept])
    else:
        assert np.array_equal(parts["level"] >= 127, kept >= 0.5)
    expected = fates(right_over_time(kept, y, task))
    assert np.array_equal(parts["fate"], expected.kind)
    assert np.array_equal(parts["forgotten"], expected.forgetting)
    assert [fate["id"] for fate in head["fates"]] == list(FATES)
    assert (head["epochs"], head["ids"]) == ([1, 2, 3, 4, 5, 6], val(run)["sample_id"].tolist())


def test_of_too_many_epochs_some_are_sent_and_the_fates_are_those_of_all(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    prob = np.random.default_rng(0).dirichlet(np.ones(C), (40, 24))
    with_history(run, prob=prob)
    known = replay(run)
    assert known is not None
    assert known.best is not None
    monkeypatch.setattr(replays, "MOST_BYTES", 10 * 24 * (C + 1))
    head, parts = decoded(binary(run) or b"")
    assert len(head["epochs"]) <= 10
    assert {1, 40, known.epochs[known.best]} <= set(head["epochs"])
    assert "of 40 epochs are shown" in head["notes"][-1]
    assert np.array_equal(parts["fate"], known.fates.kind)
    monkeypatch.setattr(replays, "MOST_BYTES", 3 * 24 * (C + 1))
    assert not replays.sendable(known)
    assert binary(run) is None


def test_the_route_answers_runs_only(run: Run) -> None:
    client = TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1", raise_server_exceptions=False)
    answer = client.get(f"/replay/{run.id}?v={replays.key(run)}")
    assert answer.content == binary(run)
    assert "immutable" in answer.headers["cache-control"]
    for name in ("20200101-000000-none-0000", "..%2F..", "x"):
        assert client.get(f"/replay/{name}").status_code == 404
    page = client.get(f"/list/{run.id}?split=val&order=worst&epoch=2").json()
    wrong = found_at(run, 2).frame.query("not right")  # type: ignore[union-attr]
    assert {item["id"] for item in page["items"]} == set(wrong["sample_id"])
    answer = client.post(f"/export/{run.id}/csv", json={"ids": wrong["sample_id"].tolist()[:2], "epoch": 2})
    assert answer.text.splitlines()[1].split(",")[:2] == [run.id, "2"]


def test_the_key_changes_with_the_history(run: Run) -> None:
    before = replays.key(run)
    with_history(run, prob=np.full((7, 24, 3), 1 / 3))
    assert replays.key(run) != before
