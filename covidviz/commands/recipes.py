"""Commands on the course's experiments: recipes list, recipes show."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from covidviz.commands.parts import Answer, add

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `recipes list` and `recipes show`."""
    group = commands.add_parser("recipes", help="the course's experiments as ready settings", allow_abbrev=False)
    below = group.add_subparsers(metavar="COMMAND", required=True)
    add(below, "list", _list, "all recipes, with what their reports claimed")
    one = add(below, "show", _show, "settings, claims and notes of one recipe")
    one.add_argument("name", metavar="NAME", help="such as bscs17028/vgg16-fc; with /described: as the text says")


def _list(args: argparse.Namespace) -> Answer:
    from covidviz.recipes import recipes, reports

    lines = []
    for report in reports().values():
        lines += [f"{report.title}: {report.summary}", *(f"  {one.name:<34}{one.summary}" for one in report.recipes)]
    return Answer([one.document() for one in recipes().values()], "\n".join(lines))


def _show(args: argparse.Namespace) -> Answer:
    from covidviz.recipes import find
    from covidviz.recipes.load import part_of
    from covidviz.recipes.worth import of_recipe

    recipe, described = find(args.name)
    report = part_of(recipe)
    document = recipe.document()
    if described:
        document |= {"name": recipe.variant(described=True)["name"], "config": document["described"]}
    verdict = of_recipe(report, recipe)
    document["worth"] = verdict
    settings = recipe.variant(described=described)
    shown = {name: value for name, value in settings.items() if name not in ("name", "recipe")}
    lines = [f"{document['name']}: {recipe.summary}", f"{report.title}. {report.summary}", ""]
    lines += [f"  {name:<16}{_plain(value)}" for name, value in shown.items()]
    if recipe.described is not None and not described:
        other = {name: value for name, value in recipe.described.items() if settings.get(name) != value}
        lines += ["", f"described otherwise ({recipe.name}/described): "
                  + ", ".join(f"{name} {_plain(value)}" for name, value in other.items())]  # fmt: skip
    for split, one in recipe.reported.items():
        f1 = f", F1 {' '.join(one.f1)}" if one.f1 else ""
        lines.append(f"reported on {split}: accuracy {one.accuracy} %{f1}")
    lines += ["", *verdict, *recipe.notes, *report.notes]
    return Answer(document, "\n".join(lines))


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
