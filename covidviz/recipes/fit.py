"""A recipe on a dataset: do the classes fit, and which label rule do they need where they don't?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from covidviz.errors import DataError
from covidviz.recipes.load import Report, find, part_of

__all__ = ["fitted", "label_rule"]


def label_rule(report: Report, name: str, own: str | None, classes: Collection[str], data: str) -> str | None:
    """The label rule with which the recipe `name` can be trained on a dataset with these `classes`.

    Args:
        own: the recipe's own rule.
        classes: as the dataset has them, in the one spelling.
        data: what to call the dataset.

    Raises:
        DataError: classes are missing that nothing known stands for; says the mapping it needs.
    """
    missing = [one for one in report.classes if one not in classes]
    if not missing:
        return own
    known = {one: report.mapping[one] for one in classes if one in report.mapping}
    if set(report.classes) <= {*known.values(), *classes}:
        renames = [f"{left}={right}" for left, right in known.items() if left != right]
        return ",".join([*renames, *([own] if own else [])])
    others = [one for one in classes if one not in report.classes] or list(classes)
    example = ",".join(
        [*(f"{other}={lost}" for other, lost in zip(others, missing, strict=False)), *([own] if own else [])]
    )
    raise DataError(
        f"recipe {name} needs the classes {', '.join(report.classes)}; {data} has {', '.join(classes)}, so that "
        f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing, accepted: a label rule that says "
        f"which class stands for which, such as --label-rule '{example}'"
    )


def fitted(name: str, changes: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The settings of recipe `name` (or `name/described`) with `changes`, for the dataset that these name.

    Classes are only looked at where `changes` say nothing of classes or label rule.

    Returns:
        The settings, and a sentence on the label rule that the classes needed (empty where they fit).

    Raises:
        InputError: there is no such recipe; the nearest names are offered.
        DataError: the dataset can't be understood, or lacks classes.
    """
    recipe, described = find(name)
    values = recipe.variant(described=described)
    data = changes.get("data")
    if not data or "label_rule" in changes or "classes" in changes or "task" in changes:
        return {**values, **changes}, ""
    from covidviz.data.layouts import read_listing

    classes = read_listing(data, split_column=str(changes.get("split_column", "split"))).names
    own = values.get("label_rule")
    rule = label_rule(part_of(recipe), recipe.name, own, classes, str(data))
    said = "" if rule == own else f"the classes of {data} are read with label rule {rule}"
    return {**values, "label_rule": rule, **changes}, said
