"""The recipe files: they validate, their matrices fit their data, and their numbers follow from their matrices."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from itertools import pairwise

import pytest

from covidviz import cli
from covidviz.config import TrainConfig
from covidviz.errors import DataError, InputError
from covidviz.evaluation.counts import constant
from covidviz.recipes import Recipe, Report, find, recipes, reports
from covidviz.recipes.fit import label_rule
from covidviz.recipes.worth import follows, of_recipe, of_report, published, reported_score

COUNTS = {"bscs17028": 6, "mscs19008": 16, "bscs17012": 4, "bscs17001": 4, "msds19043": 18}
SPLITS = [
    pytest.param(report, recipe, split, id=f"{recipe.name}-{split}")
    for report in reports().values()
    for recipe in report.recipes
    for split in recipe.reported
]


def test_every_experiment_is_there() -> None:
    found = [one.report for one in recipes().values()]
    assert {key: found.count(key) for key in COUNTS} == COUNTS
    assert {f"msds19043/{n:02}" for n in range(1, 19)} <= set(recipes())
    assert all(name.partition("/")[0] == one.report for name, one in recipes().items())


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda one: one.name)
def test_a_recipe_validates_and_states_every_setting(recipe: Recipe) -> None:
    config = recipe.config("/data")
    assert config.recipe == config.name == recipe.name
    needed = {
        "task", "classes", "model", "head", "trainable", "optimizer", "lr", "schedule", "batch_size", "epochs",
        "augment", "loss", "image_size", "momentum",
    }  # fmt: skip
    assert needed <= set(recipe.settings)
    assert set(recipe.settings) <= set(TrainConfig.model_fields)
    if recipe.described is not None:
        other = recipe.config("/data", described=True)
        assert other.recipe == f"{recipe.name}/described"
        assert other.replace(name="", recipe="") != config.replace(name="", recipe="")
    document = json.loads(json.dumps(recipe.document()))
    assert TrainConfig.parse({**document["config"], "data": "/data"}) == config
    assert set(document) >= {"name", "report", "summary", "config", "reported"}


@pytest.mark.parametrize(("report", "recipe", "split"), SPLITS)
def test_matrices_sum_to_the_supports(report: Report, recipe: Recipe, split: str) -> None:
    found = reported_score(recipe, split)
    if found is None:
        assert recipe.reported[split].best_of_kind  # only mscs19008's part 1 has none
        return
    assert found.n == report.n(split)
    assert {name: one.fn + one.tp for name, one in found.labels.items()} == report.support(split)


@pytest.mark.parametrize(("report", "recipe", "split"), SPLITS)
def test_published_numbers_follow_from_the_matrices_but_where_it_is_said(
    report: Report, recipe: Recipe, split: str
) -> None:
    one, found = recipe.reported[split], reported_score(recipe, split)
    if found is None:
        return
    value = found.value(report.accuracy)
    share = published(recipe, split)
    assert one.accuracy is not None
    assert share is not None
    if value is None:  # the exact match of several labels: only bounds follow
        low, high = found.exact_match
        unit = 10 ** -len(one.accuracy.partition(".")[2]) / 100
        assert low - unit < share < high + unit
        assert low < high
    else:
        assert follows(one.accuracy, value, percent=True) == ("accuracy" not in one.disagrees)
    if one.f1:
        values = [found.value(metric) for metric in report.f1]
        agrees = all(v is not None and follows(text, v) for text, v in zip(one.f1, values, strict=True))
        assert agrees == ("f1" not in one.disagrees)


def test_what_disagrees_is_what_the_reference_says() -> None:
    wrong = {one.name for one in recipes().values() if any(row.disagrees for row in one.reported.values())}
    assert wrong == {"bscs17028/vgg16-conv10", *(n for n in recipes() if n.startswith("mscs19008/part2"))}
    val = [n for n, one in recipes().items() if "val" in one.reported and one.reported["val"].disagrees]
    assert "mscs19008/part2-vgg16-bce" not in val  # only the first agrees with its own matrices
    assert len(val) == 3


def test_the_matrices_are_those_of_the_reference(test_data) -> None:
    folder = test_data.parent / "reference"
    if not folder.is_dir():
        pytest.skip("the reference tables are not beside the test data")
    keys = {"000": "bscs17012", "001": "bscs17001", "002": "msds19043", "003": "mscs19008"}
    given: dict[str, list[list[list[int]]]] = {}
    with (folder / "multilabel_results.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts = [[int(row[f"{label}_{cell}"]) for cell in ("TN", "FP", "FN", "TP")] for label in "cnp"]
            given.setdefault(keys[row["seed"]], []).append(counts)
    for key, matrices in given.items():
        ours = [
            [list(counts) for counts in found.labels.values()]
            for one in recipes().values()
            for split in ("train", "val")
            if one.report == key and (found := reported_score(one, split)) is not None
        ]
        assert ours == matrices


def test_the_constant_predictor() -> None:
    report = reports()["msds19043"]
    said, base = constant(report.images["val"], report.classes)
    assert said == "normal"
    assert round(100 * base.label_accuracy, 2) == 75.80
    assert base.exact == 400 / 628
    below = [one.short for one in report.recipes if any("normal for every image" in s for s in of_recipe(report, one))]
    assert below == ["05", "08", "09", "10", "12"]


def test_what_a_claim_is_worth() -> None:
    said = {part: " ".join(of_report(report)) for part, report in reports().items()}
    assert "vgg16-conv10 has 1 image of 1,500 more right than resnet18-entire. That is no finding" in said["bscs17028"]
    assert "F1 of infected, which matters, is .952" in said["bscs17028"]
    assert "more than chance" in said["mscs19008_part1"]
    assert "of 28 covid19 found" in said["bscs17012"]
    # Overlapping intervals are no test of two networks on the same images.
    assert "the intervals overlap, and which images the two disagree on is not known" in said["bscs17012"]
    assert "the intervals lie apart" in said["bscs17001"]
    assert "53 to 85 %" in said["msds19043"]
    assert "5 of 18 experiments are no better (experiment 05, 08, 09, 10, 12)" in said["msds19043"]
    conv10, conv_few, _, fc = (of_recipe(reports()["bscs17028"], r) for r in reports()["bscs17028"].recipes[1:5])
    assert any("96.53 %, is not that of its matrix, 96.20 %" in line for line in conv10)
    assert any("number by number" in line for line in conv_few)
    assert not any("number by number" in line for line in fc)


def test_exact_match_is_only_bounded_by_matrices_per_label() -> None:
    found = reported_score(recipes()["bscs17012/vgg16-bce"], "val")
    assert found is not None
    assert found.exact is None
    assert found.exact_match == (1 - 83 / 628, 1 - 38 / 628)
    binary = reported_score(recipes()["bscs17028/vgg16-fc"], "test")
    assert binary is not None
    assert binary.exact == 1390 / 1500


# --- names


@pytest.mark.parametrize(
    ("given", "offered"),
    [("bscs17028/vgg16", "bscs17028/vgg16-fc"), ("msds19043/19", "msds19043/"), ("vgg-conv10", "vgg16-conv10"),
     ("nonsense", "48"), ("", "48"), ("bscs17028/vgg16-fc/described", "bscs17028/vgg16-fc")],
)  # fmt: skip
def test_an_unknown_recipe_offers_the_nearest_names(given: str, offered: str) -> None:
    with pytest.raises(InputError, match=offered):
        find(given)


def test_names_are_found_as_people_write_them() -> None:
    assert find("msds19043/1")[0].name == "msds19043/01"
    recipe, described = find(" BSCS17001/VGG16-none/described")
    assert (recipe.name, described) == ("bscs17001/vgg16-none", True)


def test_every_wrong_experiment_has_what_was_described_beside_it() -> None:
    ran = recipes()["bscs17012/resnet18-focal"]
    assert (ran.settings["loss"], ran.settings["lr"]) == ("bce", 2e-4)
    assert ran.described is not None
    assert (ran.described["loss"], ran.described["focal_gamma"], ran.described["lr"]) == ("focal", 1.5, 7e-5)
    for one in recipes().values():
        if one.settings["loss"] in ("batch_focal", "softmax_cross_entropy"):
            assert one.described is not None
            assert one.described["loss"] in ("focal", "bce")


# --- a dataset without the classes


def rule(part: str, classes: list[str]) -> str | None:
    report = reports()[part]
    return label_rule(report, "NAME", report.recipes[0].settings.get("label_rule"), classes, "DATA")


def test_the_label_rule_that_a_dataset_needs() -> None:
    three = ["covid19", "normal", "pneumonia"]
    assert rule("bscs17028", ["infected", "normal"]) is None
    assert rule("bscs17028", three) == "covid19=infected,pneumonia=infected"
    assert rule("msds19043", three) == "pneumonia>covid19@train"
    assert rule("bscs17012", three) == "covid19>pneumonia"


@pytest.mark.parametrize(
    ("part", "classes", "said"),
    [
        ("bscs17028", ["cat", "dog"], "cat=infected,dog=normal"),
        (
            "bscs17012",
            ["normal", "pneumonia"],
            "covid19 is missing, accepted: a label rule .*=covid19,covid19>pneumonia",
        ),
        ("msds19043", ["infected", "normal"], "covid19 and pneumonia are missing"),
    ],
)
def test_a_dataset_without_the_classes_is_told_the_mapping(part: str, classes: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        rule(part, classes)


# --- the command line


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(argv)
    out, err = capsys.readouterr()
    return code, out, err


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "recipes", "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 48
    assert set(rows[0]) >= {"name", "report", "summary", "config", "reported"}
    code, out, _ = run(capsys, "recipes", "show", "bscs17012/resnet18-focal/described", "--json")
    assert json.loads(out)["config"]["loss"] == "focal"
    code, out, _ = run(capsys, "recipes", "show", "bscs17028/vgg16-conv10")
    assert "96.20 %" in out
    code, _, err = run(capsys, "recipes", "show", "bscs17028/conv10")
    assert code == 2
    assert "bscs17028/vgg16-conv10" in err
    assert len(err.strip().splitlines()) == 1


def test_flags_win_over_the_recipe(tiny_phantoms, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from covidviz.commands import train

    seen: list[TrainConfig] = []
    monkeypatch.setattr(train, "_train", lambda args: seen.append(train.settings(args)) or train.Answer(None, ""))
    argv = ("train", "--data", str(tiny_phantoms), "--recipe", "bscs17028/vgg16-conv10", "--lr", "0.5")
    code, _, err = run(capsys, *argv)
    assert code == 0
    assert "covid19=infected,pneumonia=infected" in err  # said, never silent
    assert (seen[0].lr, seen[0].batch_size, seen[0].trainable) == (0.5, 128, "features.10")
    assert (seen[0].recipe, seen[0].label_rule) == ("bscs17028/vgg16-conv10", "covid19=infected,pneumonia=infected")
    for wrong, said in ((("--config", "x.json"), "one of"), (("--recipe", "bscs1728/vgg16-fc"), "bscs17028/vgg16-fc")):
        code, _, err = run(capsys, *argv, *wrong)
        assert code == 2
        assert said in err
    assert run(capsys, "runs", "clone", "x", "--recipe", "bscs17028/vgg16-fc")[0] == 2


def test_recipes_need_neither_torch_nor_pandas() -> None:
    code = "import sys, covidviz.recipes as r; r.recipes(); print([n for n in ('torch', 'pandas') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_are_in_one_order() -> None:
    names = [one.short for one in reports()["msds19043"].recipes]
    assert all(a < b for a, b in pairwise(names))
