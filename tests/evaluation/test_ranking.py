from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from covidviz.errors import InputError
from covidviz.evaluation.metrics import confusion
from covidviz.evaluation.ranking import cells, judged, labels_of, prob_of, select

CLASSES = ("covid19", "normal", "pneumonia")


def frames(n: int = 200, *, task: str = "single-label", seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples, and their predictions in another order."""
    rng = np.random.default_rng(seed)
    labels = np.eye(3, dtype=int)[rng.integers(0, 3, n)] if task == "single-label" else rng.integers(0, 2, (n, 3))
    logits = 1.5 * labels + rng.normal(size=(n, 3))
    softmax, sigmoid = np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 1 / (1 + np.exp(0.75 - logits))
    prob = softmax if task == "single-label" else sigmoid
    given = np.where(labels == 1, prob, 1 if task == "single-label" else 1 - prob)
    split = np.array(["train", "val", "test"])[rng.integers(0, 3, n)]
    ids = [f"s{i:04}" for i in range(n)]
    samples = pd.DataFrame({"sample_id": ids, "path": [f"images/{i}.png" for i in ids], "split": split})
    predictions = pd.DataFrame({"sample_id": ids, "split": split, "loss": -np.log(given).sum(1)})
    for k, name in enumerate(CLASSES):
        samples[f"label_{name}"], predictions[f"prob_{name}"] = labels[:, k], prob[:, k].astype(np.float32)
    return samples, predictions.sample(frac=1, random_state=seed)


@pytest.fixture(params=["single-label", "multi-label"])
def task(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_row_keeps_its_own_numbers_through_filters_and_orders(task: str) -> None:
    samples, predictions = frames(task=task)
    own, said = samples.set_index("sample_id"), predictions.set_index("sample_id")
    frame = judged(samples, predictions, CLASSES, task)
    assert len(frame) == len(samples)
    for order in ("worst", "best", "all"):
        for row in select(frame, CLASSES, task, split="val", order=order).to_dict("records"):
            assert row["path"] == own.loc[row["sample_id"], "path"]
            assert row["loss"] == said.loc[row["sample_id"], "loss"]
            assert row["prob_normal"] == said.loc[row["sample_id"], "prob_normal"]
            assert row["label_covid19"] == own.loc[row["sample_id"], "label_covid19"]


def test_worst_are_wrong_by_loss_and_best_are_right_by_confidence() -> None:
    frame = judged(*frames(), CLASSES, "single-label")
    prob, labels = prob_of(frame, CLASSES), labels_of(frame, CLASSES)
    right = prob.argmax(1) == labels.argmax(1)
    worst = select(frame, CLASSES, "single-label", order="worst")
    assert set(worst["sample_id"]) == set(frame["sample_id"][~right])
    assert worst["loss"].is_monotonic_decreasing
    best = select(frame, CLASSES, "single-label", order="best")
    assert set(best["sample_id"]) == set(frame["sample_id"][right])
    assert best["confidence"].is_monotonic_decreasing
    assert best["confidence"].iloc[0] == pytest.approx(prob[right].max())
    everything = select(frame, CLASSES, "single-label", order="all")
    assert len(everything) == len(frame)
    assert everything["loss"].is_monotonic_decreasing


def test_a_cell_holds_as_many_images_as_the_matrix_says(task: str) -> None:
    frame = judged(*frames(task=task), CLASSES, task)
    val = frame[frame["split"] == "val"]
    document = confusion(prob_of(val, CLASSES), labels_of(val, CLASSES), CLASSES, task)
    total = 0
    for cell in cells(CLASSES, task):
        members = select(frame, CLASSES, task, split="val", cell=cell)
        first, second = cell.split("-")
        if task == "single-label":
            expected = document["matrix"][int(first)][int(second)]
            assert (members[f"label_{CLASSES[int(first)]}"] == 1).all()
        else:
            expected = document[CLASSES[int(first)]][second]
            assert (members[f"label_{CLASSES[int(first)]}"] == (second in ("tp", "fn"))).all()
        assert len(members) == expected
        assert set(members["split"]) <= {"val"}
        total += len(members)
    assert total == len(val) * (1 if task == "single-label" else 3)


def test_a_class_keeps_images_that_truly_have_it(task: str) -> None:
    frame = judged(*frames(task=task), CLASSES, task)
    rows = select(frame, CLASSES, task, cls="normal")
    assert (rows["label_normal"] == 1).all()
    assert len(rows) == frame["label_normal"].sum()


def test_multi_label_right_means_the_label_that_is_looked_at() -> None:
    frame = judged(*frames(task="multi-label"), CLASSES, "multi-label")
    worst = select(frame, CLASSES, "multi-label", order="worst", cls="covid19")
    assert (worst["prob_covid19"] < 0.5).all()
    assert worst["prob_covid19"].is_monotonic_increasing
    assert not worst["right"].any()
    found = select(frame, CLASSES, "multi-label", cell="0-tp")
    assert found["right"].all()
    assert found["confidence"].equals(found["prob_covid19"].astype(float))
    assert not frame.loc[found.index, "right"].all()  # other labels of these images are wrong


def test_a_loss_that_is_no_number_comes_first() -> None:
    samples, predictions = frames()
    predictions.iloc[3, predictions.columns.get_loc("loss")] = np.nan
    frame = judged(samples, predictions, CLASSES, "single-label")
    assert np.isnan(select(frame, CLASSES, "single-label", order="all")["loss"].iloc[0])


@pytest.mark.parametrize(
    ("given", "text"), [({"order": "x"}, "order: 'x'"), ({"cls": "x"}, "class: 'x'"), ({"cell": "9-9"}, "cell: '9-9'")]
)
def test_unknown_choices_are_named(given: dict[str, str], text: str) -> None:
    frame = judged(*frames(20), CLASSES, "single-label")
    with pytest.raises(InputError, match=text):
        select(frame, CLASSES, "single-label", **given)


def test_an_empty_selection_is_no_error(task: str) -> None:
    frame = judged(*frames(5, task=task), CLASSES, task)
    for cell in cells(CLASSES, task):
        assert select(frame, CLASSES, task, split="none", cell=cell).empty
