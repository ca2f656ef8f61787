"""The grids of the confusion matrix."""

from __future__ import annotations

from covidviz.evaluation.ranking import cells
from covidviz.ui.components.matrix import matrix_groups

CLASSES = ("covid19", "normal")


def test_one_grid_for_single_label() -> None:
    (group,) = matrix_groups({"classes": [*CLASSES], "matrix": [[3, 1], [0, 0]]}, CLASSES, "single-label")
    assert group["columns"] == ["covid19", "normal"]
    assert [(row["name"], row["n"]) for row in group["rows"]] == [("covid19", 4), ("normal", 0)]
    flat = [cell for row in group["rows"] for cell in row["cells"]]
    assert [cell["id"] for cell in flat] == cells(CLASSES, "single-label")
    assert [cell["n"] for cell in flat] == [3, 1, 0, 0]
    assert [cell["percent"] for cell in flat] == ["75 %", "25 %", "–", "–"]
    assert [cell["right"] for cell in flat] == [True, False, False, True]
    assert flat[1]["label"] == "true covid19, predicted normal: 1 image, 25 % of the row"


def test_two_by_two_per_label_for_multi_label() -> None:
    counts = {"covid19": {"tn": 5, "fp": 1, "fn": 2, "tp": 8}, "normal": {"tn": 10, "fp": 0, "fn": 0, "tp": 6}}
    groups = matrix_groups(counts, CLASSES, "multi-label")
    assert [group["title"] for group in groups] == ["covid19", "normal"]
    flat = [cell for group in groups for row in group["rows"] for cell in row["cells"]]
    assert [cell["id"] for cell in flat] == cells(CLASSES, "multi-label")
    assert [cell["n"] for cell in flat[:4]] == [8, 2, 1, 5]
    assert [cell["right"] for cell in flat[:4]] == [True, False, False, True]
    assert [row["n"] for row in groups[0]["rows"]] == [10, 6]
    assert flat[1]["label"] == "covid19: true yes, predicted no: 2 images, 20 % of the row"


def test_a_share_above_zero_is_never_shown_as_none() -> None:
    (group,) = matrix_groups({"classes": [*CLASSES], "matrix": [[999, 1], [1, 999]]}, CLASSES, "single-label")
    assert group["rows"][0]["cells"][1]["percent"] == "<1 %"
