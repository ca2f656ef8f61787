"""Every recipe, trained for real through the engine on six phantoms: one epoch of 64 px."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.jobs.many_recipes import config_for
from covidviz.jobs.submit import prepare
from covidviz.recipes import Recipe, recipes, reports
from covidviz.store.reader import Run
from covidviz.store.runs import create_run
from covidviz.training.worker import work

CLASSES = ("covid19", "normal", "pneumonia")


@pytest.fixture(scope="module")
def few(tiny_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the tiny phantoms per class, in train and in val."""
    folder = tmp_path_factory.mktemp("few")
    with (tiny_phantoms / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = {(row["split"], row["label"]): row for row in reversed(rows) if row["split"] != "test"}
    lines = ["path,label,split"]
    for (split, label), row in first.items():
        shutil.copy(tiny_phantoms / row["path"], folder)
        lines.append(f"{Path(row['path']).name},{label},{split}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random starting weights without a head: drawing VGG-16's own head of 124 million values takes a second a time."""
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for model in ("resnet18", "vgg16"):
        with torch.device("meta"):
            network = get_model(model)
        setattr(network, MODELS[model].head, torch.nn.Identity())
        network.to_empty(device="cpu")
        torch.manual_seed(0)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        files[model] = folder / f"{model}.pth"
        torch.save(network.state_dict(), files[model])
    return files


def small(recipe: Recipe, data: Path, weights: dict[str, Path]) -> TrainConfig:
    """The recipe, shortened. A hidden layer behind VGG-16 is at most 64 wide: one of 4,096 for its 25,088 features
    takes 1.6 GB with its gradient and what Adam keeps, and as much again in each checkpoint."""
    model, head = recipe.settings["model"], recipe.settings["head"]
    config = config_for(
        reports()[recipe.part], recipe, str(data), CLASSES, weights=str(weights[model]), image_size=64, epochs=1,
        batch_size=min(6, recipe.settings["batch_size"]), device="cpu", precision="fp32",
        head=[min(width, 64) for width in head] if model == "vgg16" else head,
    )  # fmt: skip
    return prepare(config)[0]


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda one: one.name)
def test_every_recipe_trains_on_phantoms(recipe: Recipe, few: Path, weights: dict[str, Path], tmp_path: Path) -> None:
    config = small(recipe, few, weights)
    run_dir = create_run(config, tmp_path / "runs", state="running")
    try:
        assert work(run_dir) == "completed", Run(run_dir).status().error
        run = Run(run_dir)
        assert run.config().recipe == recipe.name
        assert len(run.predictions()) == 6
        support = run.samples().groupby("split").sum(numeric_only=True).astype(int)
        if recipe.report == "msds19043":  # the label bug: in train, and only there
            assert support["label_covid19"].to_dict() == {"train": 2, "val": 1}
            assert support["label_pneumonia"].to_dict() == {"train": 1, "val": 1}
        elif config.task == "multi-label":
            assert support["label_pneumonia"].to_dict() == {"train": 2, "val": 2}
        else:
            assert support["label_infected"].to_dict() == {"train": 2, "val": 2}
    finally:
        shutil.rmtree(run_dir)  # up to 0.2 GB
