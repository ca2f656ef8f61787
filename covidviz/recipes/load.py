"""Reading the recipe files: `reports()`, `recipes()`, `find(name)`. Standard library and TrainConfig only.

One TOML file per report; a part of a report with a task of its own is a file of its own (`mscs19008_part2.toml`). The
fields are told in docs/recipes.md.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from covidviz.config import TrainConfig
from covidviz.errors import InputError

__all__ = ["DESCRIBED", "Recipe", "Report", "Reported", "find", "recipes", "reports"]

FOLDER = Path(__file__).parent
DESCRIBED = "described"
_COUNTS = ("tn", "fp", "fn", "tp")


@dataclass(frozen=True)
class Reported:
    """What a report says of one split.

    accuracy, f1: as published (percent; shares), as text, so that digits are kept; None and () where not given.
    confusion: as `evaluate` gives it: `classes` and `matrix` (rows true), or {class: {tn, fp, fn, tp}}; None where not
        given.
    disagrees: which of `accuracy` and `f1` do not follow from that matrix.
    best_of_kind: these are the best of several experiments, of which this may be another one.
    """

    accuracy: str | None = None
    f1: tuple[str, ...] = ()
    confusion: dict[str, Any] | None = None
    disagrees: tuple[str, ...] = ()
    best_of_kind: bool = False

    def document(self) -> dict[str, Any]:
        """For JSON: numbers as they were published."""
        return {
            "accuracy": None if self.accuracy is None else float(self.accuracy),
            "f1": [float(one) for one in self.f1],
            "confusion": self.confusion,
            "disagrees": list(self.disagrees),
            "best_of_kind": self.best_of_kind,
        }


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    name: `REPORT/EXPERIMENT`, such as `bscs17028/vgg16-fc`.
    settings: fields of TrainConfig, without `data`: what really ran, where that is known to differ from the text.
    described: the settings as text or table say, where they differ from what ran; else None.
    reported: by split.
    """

    name: str
    report: str
    part: str
    summary: str
    settings: Mapping[str, Any]
    described: Mapping[str, Any] | None
    reported: Mapping[str, Reported]
    notes: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The name within its report."""
        return self.name.partition("/")[2]

    def config(self, data: str, *, described: bool = False, **changes: Any) -> TrainConfig:
        """The settings for the dataset at `data`; `changes` win.

        Raises:
            InputError: `described`, and the recipe has no such variant.
            ConfigError: a change is out of range or does not fit.
        """
        values = self.variant(described=described)
        return TrainConfig.parse({**values, "data": data, **changes})

    def variant(self, *, described: bool = False) -> dict[str, Any]:
        """The settings, with `name` and `recipe`, of what ran or of what was described.

        Raises:
            InputError: nothing else was described.
        """
        if described and self.described is None:
            raise InputError(f"recipe: {self.name} has no described variant, accepted: {self.name}")
        name = f"{self.name}/{DESCRIBED}" if described else self.name
        return {**((described and self.described) or self.settings), "name": name, "recipe": name}

    def document(self) -> dict[str, Any]:
        """What `recipes list` says of it."""
        return {
            "name": self.name,
            "report": self.report,
            "summary": self.summary,
            "config": _without_data(self.config(".")),
            "described": None if self.described is None else _without_data(self.config(".", described=True)),
            "reported": {split: one.document() for split, one in self.reported.items()},
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Report:
    """One report, or a part of one.

    key: the report's; part: the file's, such as `mscs19008_part2`.
    accuracy, f1: what it calls accuracy and F1, as metric names of the run-directory contract.
    split: the one its table is about.
    images: by split, how many have each set of labels (`covid19|pneumonia`), as that report labels them.
    mapping: for the classes of other data, what they are here.
    claim: `text`, `best` and `against` (names of recipes), and perhaps `caution`.
    """

    key: str
    part: str
    title: str
    summary: str
    source: str
    accuracy: str
    f1: tuple[str, ...]
    split: str
    notes: tuple[str, ...]
    images: Mapping[str, Mapping[str, int]]
    mapping: Mapping[str, str]
    claim: Mapping[str, str]
    task: str
    classes: tuple[str, ...]
    critical: str
    recipes: tuple[Recipe, ...] = field(repr=False)

    def support(self, split: str) -> dict[str, int]:
        """Images of each class in `split`; those with several labels count under each."""
        sets = self.images[split]
        return {c: sum(n for labels, n in sets.items() if c in labels.split("|")) for c in self.classes}

    def n(self, split: str) -> int:
        """Images of `split`."""
        return sum(self.images[split].values())


@cache
def reports() -> dict[str, Report]:
    """All reports by part, in the order to show them."""
    order = ("bscs17028", "mscs19008_part1", "mscs19008_part2", "bscs17012", "bscs17001", "msds19043")
    return {part: _read(part) for part in order}


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes by name, in the order of their reports."""
    return {one.name: one for report in reports().values() for one in report.recipes}


def find(name: str) -> tuple[Recipe, bool]:
    """The recipe `name`, and whether `name` asks for its described variant (`NAME/described`).

    Raises:
        InputError: there is none; the nearest names are offered.
    """
    known = recipes()
    given = name.strip().casefold().strip("/")
    base = re.sub(r"/(\d)$", r"/0\1", given.removesuffix(f"/{DESCRIBED}"))  # experiment 1 is written 01
    if base in known:
        wanted = given.endswith(f"/{DESCRIBED}")
        known[base].variant(described=wanted)  # refuses where nothing else was described
        return known[base], wanted
    near = difflib.get_close_matches(base, known, n=4, cutoff=0.5)
    # Of a report that exists, its own experiments are nearer than any name that looks alike.
    own = [one for one in known if one.startswith(f"{base.partition('/')[0]}/")]
    if own:
        rest = base.partition("/")[2]
        near = [f"{own[0].partition('/')[0]}/{one}" for one in difflib.get_close_matches(
            rest, [one.partition("/")[2] for one in own], n=4, cutoff=0.3)] or own[:4]  # fmt: skip
    offered = ", ".join(near or list(known)[:4])
    raise InputError(f"recipe: {name!r} given, accepted: {offered} (recipes list shows all {len(known)})")


def part_of(recipe: Recipe) -> Report:
    """The report (or part of one) that `recipe` is from."""
    return reports()[recipe.part]


def _read(part: str) -> Report:
    raw = tomllib.loads((FOLDER / f"{part}.toml").read_text(encoding="utf-8"))
    key = part.partition("_")[0]
    shared = raw["settings"]
    classes = tuple(shared["classes"])
    found = []
    for row in raw["recipe"]:
        settings = {**shared, **row["settings"]}
        described = {**settings, **row["described"]} if "described" in row else None
        reported = {split: _reported(one, classes) for split, one in row["reported"].items()}
        notes = tuple(row.get("notes", ()))
        found.append(Recipe(f"{key}/{row['name']}", key, part, row["summary"], settings, described, reported, notes))
    claim = {name: f"{key}/{text}" if name in ("best", "against") else text for name, text in raw["claim"].items()}
    return Report(
        key=key, part=part, title=raw["title"], summary=raw["summary"], source=raw["source"], accuracy=raw["accuracy"],
        f1=tuple(raw["f1"]), split=raw["split"], notes=tuple(raw["notes"]), images=raw["images"],
        mapping=raw["mapping"], claim=claim, task=shared["task"], classes=classes, critical=shared["critical_class"],
        recipes=tuple(found),
    )  # fmt: skip


def _reported(raw: dict[str, Any], classes: tuple[str, ...]) -> Reported:
    given = raw.get("confusion")
    confusion: dict[str, Any] | None = None
    if isinstance(given, list):
        confusion = {"classes": list(classes), "matrix": given}
    elif given is not None:
        confusion = {name: dict(zip(_COUNTS, counts, strict=True)) for name, counts in given.items()}
    return Reported(
        raw.get("accuracy"), tuple(raw.get("f1", ())), confusion, tuple(raw.get("disagrees", ())),
        raw.get("best_of_kind", False),
    )  # fmt: skip


def _without_data(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in config.dump().items() if name != "data"}
