"""The grids of the confusion matrix, and what their cells say."""

from __future__ import annotations

from typing import Any

import pytest

from covidviz.evaluation.ranking import cells
from covidviz.ui.components.matrix import deepest, difference, displayed, matrix_groups

CLASSES = ("covid19", "normal")


def single(*matrix: list[int]) -> list[dict[str, Any]]:
    return matrix_groups({"classes": [*CLASSES], "matrix": [*matrix]}, CLASSES, "single-label")


def flat(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for group in groups for row in group["rows"] for cell in row["cells"]]


def test_one_grid_for_single_label() -> None:
    (group,) = groups = single([3, 1], [0, 0])
    assert [(column["name"], column["n"]) for column in group["columns"]] == [("covid19", 3), ("normal", 1)]
    assert [(row["name"], row["n"]) for row in group["rows"]] == [("covid19", 4), ("normal", 0)]
    assert [cell["id"] for cell in flat(groups)] == cells(CLASSES, "single-label")
    assert [cell["n"] for cell in flat(groups)] == [3, 1, 0, 0]
    assert [cell["row"] for cell in flat(groups)] == [0.75, 0.25, None, None]
    assert [cell["column"] for cell in flat(groups)] == [1, 1, 0, 0]
    assert [cell["right"] for cell in flat(groups)] == [True, False, False, True]


def test_two_by_two_per_label_for_multi_label() -> None:
    counts = {"covid19": {"tn": 5, "fp": 1, "fn": 2, "tp": 8}, "normal": {"tn": 10, "fp": 0, "fn": 0, "tp": 6}}
    groups = matrix_groups(counts, CLASSES, "multi-label")
    assert [group["title"] for group in groups] == ["covid19", "normal"]
    assert [cell["id"] for cell in flat(groups)] == cells(CLASSES, "multi-label")
    assert [cell["n"] for cell in flat(groups)[:4]] == [8, 2, 1, 5]
    assert [cell["right"] for cell in flat(groups)[:4]] == [True, False, False, True]
    assert [row["n"] for row in groups[0]["rows"]] == [10, 6]
    assert flat(displayed(groups))[1]["label"] == "covid19: true yes, predicted no: 2 images, 20 % of the row"


def test_counts_rows_and_columns_say_and_colour_what_they_name() -> None:
    groups = single([3, 1], [2, 8])
    counts, rows, columns = (flat(displayed(groups, show)) for show in ("counts", "row", "column"))
    assert [(cell["big"], cell["small"]) for cell in counts] == [
        ("3", "75 %"), ("1", "25 %"), ("2", "20 %"), ("8", "80 %"),
    ]  # fmt: skip
    assert [cell["depth"] for cell in counts] == [3 / 8, 1 / 8, 2 / 8, 1]
    assert [(cell["big"], cell["small"]) for cell in rows[:2]] == [("75 %", "3"), ("25 %", "1")]
    assert [cell["depth"] for cell in rows] == [0.75, 0.25, 0.2, 0.8]
    assert [cell["big"] for cell in columns] == ["60 %", "11 %", "40 %", "89 %"]
    assert columns[0]["label"] == "true covid19, predicted covid19: 3 images, 60 % of the column"


def test_a_share_above_zero_is_never_shown_as_none_nor_less_than_all_as_all() -> None:
    row = flat(displayed(single([999, 1], [0, 999])))
    assert [cell["small"] for cell in row] == [">99 %", "<1 %", "0 %", "100 %"]


def test_an_empty_row_has_no_share() -> None:
    empty = flat(displayed(single([3, 1], [0, 0]), "row"))[2]
    assert (empty["big"], empty["small"], empty["depth"]) == ("–", "0", 0)


def test_matrices_may_share_a_scale() -> None:
    small, large = single([1, 0], [0, 2]), single([0, 3], [0, 8])
    top = max(deepest(small), deepest(large))
    assert top == 8
    assert [cell["depth"] for cell in flat(displayed(small, top=top))] == [1 / 8, 0, 0, 2 / 8]
    assert deepest(single([0, 0], [0, 0])) > 0


@pytest.mark.parametrize(("show", "big"), [("counts", ["+2", "−2"]), ("row", ["+50 %", "−50 %"])])
def test_a_difference_writes_its_signs(show: Any, big: list[str]) -> None:
    change = difference(single([3, 1], [0, 0]), single([1, 3], [0, 0]))
    shown = flat(displayed(change, show, signed=True))
    assert [cell["big"] for cell in shown[:2]] == big
    assert [cell["depth"] for cell in shown] == [1, -1, 0, 0]
    assert shown[1]["label"] == "true covid19, predicted normal: −2 images, −50 % of the row"
    assert change[0]["columns"][1]["n"] == -2
