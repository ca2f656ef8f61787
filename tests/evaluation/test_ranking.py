from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from covidviz.errors import InputError
from covidviz.evaluation.metrics import confusion
from covidviz.evaluation.ranking import ORDERS, cells, judged, label_of, labels_of, prob_of, select

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
    for order in ORDERS:
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


def test_the_most_uncertain_have_the_smallest_margin_right_or_wrong() -> None:
    frame = judged(*frames(), CLASSES, "single-label")
    rows = select(frame, CLASSES, "single-label", order="uncertain")
    top = np.sort(prob_of(rows, CLASSES), axis=1)
    margin = top[:, -1] - top[:, -2]
    assert len(rows) == len(frame)
    assert (np.diff(margin) >= -1e-12).all()
    assert set(rows["right"].head(20)) == {True, False}


def test_multi_label_uncertainty_is_the_distance_from_the_threshold() -> None:
    frame = judged(*frames(task="multi-label"), CLASSES, "multi-label")
    distance = np.abs(prob_of(select(frame, CLASSES, "multi-label", order="uncertain"), CLASSES) - 0.5).min(axis=1)
    assert (np.diff(distance) >= -1e-12).all()
    one = select(frame, CLASSES, "multi-label", order="uncertain", pred="normal")
    assert (np.diff(np.abs(one["prob_normal"].astype(float) - 0.5)) >= -1e-12).all()


def test_a_random_order_is_stable_and_another_seed_is_another_one(task: str) -> None:
    frame = judged(*frames(task=task), CLASSES, task)

    def ids(seed: int, **given: str) -> list[str]:
        return select(frame, CLASSES, task, order="random", seed=seed, **given)["sample_id"].tolist()

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    assert sorted(ids(1)) == sorted(ids(2)) == sorted(frame["sample_id"])
    some = ids(1, cls="normal")  # a filter takes images away and moves none
    assert some == [name for name in ids(1) if name in set(some)]


def test_a_predicted_class_keeps_images_for_which_it_was_said(task: str) -> None:
    frame = judged(*frames(task=task), CLASSES, task)
    rows = select(frame, CLASSES, task, pred="normal")
    prob = prob_of(frame, CLASSES)
    said = prob.argmax(1) == 1 if task == "single-label" else prob[:, 1] >= 0.5
    assert set(rows["sample_id"]) == set(frame["sample_id"][said])
    both = select(frame, CLASSES, task, cls="normal", pred="normal")
    cell = select(frame, CLASSES, task, cell="1-1" if task == "single-label" else "1-tp")
    assert set(both["sample_id"]) == set(cell["sample_id"])


def test_a_source_keeps_its_images_and_no_source_none() -> None:
    samples, predictions = frames()
    frame = judged(samples.assign(source=["a", "b"] * 100), predictions, CLASSES, "single-label")
    assert set(select(frame, CLASSES, "single-label", source="a")["source"]) == {"a"}
    assert len(select(frame, CLASSES, "single-label", source="a")) == 100
    assert select(frame.drop(columns="source"), CLASSES, "single-label", source="a").empty


def test_the_label_that_is_judged() -> None:
    assert label_of(CLASSES) is None
    assert label_of(CLASSES, cell="2-fn") == "pneumonia"
    assert label_of(CLASSES, cls="normal", pred="covid19") == "normal"
    assert label_of(CLASSES, pred="covid19") == "covid19"


def test_one_class_has_no_second_and_no_image_no_margin() -> None:
    frame = judged(*frames(), CLASSES, "single-label")
    assert select(frame, CLASSES[:1], "single-label", order="uncertain").shape[0] == len(frame)
    assert select(frame.head(0), CLASSES, "single-label", order="uncertain").empty
    assert select(frame.head(0), CLASSES, "single-label", order="random", pred="normal").empty


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
