"""What the reports' claims are worth, in sentences that follow from their numbers by fixed rules."""

from __future__ import annotations

from collections.abc import Iterator

from covidviz.evaluation.counts import Score, constant, score
from covidviz.evaluation.paired import mcnemar
from covidviz.recipes.load import Recipe, Report

__all__ = [
    "FEWEST",
    "METRICS",
    "baseline",
    "follows",
    "is_useless",
    "of_recipe",
    "of_report",
    "published",
    "reported_score",
    "right",
]

METRICS = {
    "accuracy": "accuracy", "label_accuracy": "per-label accuracy", "exact_match": "exact match",
    "micro_f1": "micro F1", "macro_f1": "macro F1",
}  # fmt: skip
# So many images, all of them right in the one and wrong in the other, are needed for p < .05 (exact McNemar test).
FEWEST = 6


def reported_score(recipe: Recipe, split: str) -> Score | None:
    """The published matrix of `split` under every definition; None where none is published."""
    one = recipe.reported.get(split)
    return None if one is None or one.confusion is None else score(one.confusion)


def published(recipe: Recipe, split: str) -> float | None:
    """The published accuracy of `split`, 0..1."""
    one = recipe.reported.get(split)
    return None if one is None or one.accuracy is None else float(one.accuracy) / 100


def baseline(report: Report, split: str) -> tuple[str, Score]:
    """What saying the most frequent answer for every image of the report's `split` scores, and that answer."""
    return constant(report.images[split], report.classes)


def follows(text: str, value: float, *, percent: bool = False) -> bool:
    """Whether a published number can be `value` (0..1), rounded or cut off: less than a unit of its last digit away."""
    digits = len(text.partition(".")[2])
    return abs(float(text) - value * (100 if percent else 1)) < 10**-digits + 1e-9


def right(report: Report, recipe: Recipe) -> tuple[int, int] | None:
    """(right, all) answers that the report's accuracy counts on its split: images, or labels of images.

    From the matrix where it tells, else from the published accuracy; None without either.
    """
    found, n = reported_score(recipe, report.split), report.n(report.split)
    if report.accuracy == "label_accuracy":
        n *= len(report.classes)
        if found is not None:
            return found.right_labels, n
    elif found is not None and found.exact is not None:
        return round(found.exact * n), n
    share = published(recipe, report.split)
    return None if share is None else (round(share * n), n)


def of_recipe(report: Report, recipe: Recipe) -> list[str]:
    """Sentences on one experiment, the most serious first."""
    return [*_useless(report, recipe), *_disagreeing(report, recipe), *_found(report, recipe), *_bounds(report, recipe),
            *_unknown(recipe)]  # fmt: skip


def is_useless(report: Report, recipe: Recipe) -> bool:
    """Whether the experiment scores no more than saying the same for every image, by the report's own accuracy."""
    return any(_useless(report, recipe))


def _useless(report: Report, recipe: Recipe) -> Iterator[str]:
    said, base = baseline(report, report.split)
    level = base.value(report.accuracy)
    own = reported_score(recipe, report.split)
    value = own.value(report.accuracy) if own is not None else None
    value = published(recipe, report.split) if value is None else value
    if value is None or level is None or value > level:
        return
    if own is not None and own.labels == base.labels:
        yield f"It says {said} for every image, and that alone scores {_percent(level)} {METRICS[report.accuracy]}."
    else:
        yield f"No better than the constant predictor: saying {said} for every image scores {_percent(level)}, this {_percent(value)}."  # noqa: E501


def _disagreeing(report: Report, recipe: Recipe) -> Iterator[str]:
    for split, one in recipe.reported.items():
        found = reported_score(recipe, split)
        if found is None:
            continue
        value = found.value(report.accuracy)
        if "accuracy" in one.disagrees and one.accuracy is not None and value is not None:
            yield f"The published accuracy on {split}, {one.accuracy} %, is not that of its matrix, {_percent(value)}."
        for text, metric in zip(one.f1, report.f1, strict=False):
            value = found.value(metric)
            if "f1" in one.disagrees and value is not None and not follows(text, value):
                yield f"The published F1 on {split}, {text}, is not that of its matrix, {_share(value)}."
    mine = recipe.reported.get(report.split)
    for other in report.recipes:
        theirs = other.reported.get(report.split)
        if other.name != recipe.name and mine and theirs and mine.confusion and mine.confusion == theirs.confusion:
            yield f"Its matrix is that of {_called(other)}, number by number."


def _found(report: Report, recipe: Recipe) -> Iterator[str]:
    found = reported_score(recipe, report.split)
    if found is None:
        return
    one = found.labels[report.critical]
    called = one.tp + one.fp
    yield f"{_recall(found, report.critical)}."
    if not called:
        yield f"No image is called {report.critical}."
    elif one.fp > one.tp:
        images = "1 image" if called == 1 else f"{called:,} images"
        yield f"Of {images} that it calls {report.critical}, {one.tp} {'is' if one.tp == 1 else 'are'} ({_percent(one.tp / called, 1)})."  # noqa: E501


def _bounds(report: Report, recipe: Recipe) -> Iterator[str]:
    found, share = reported_score(recipe, report.split), published(recipe, report.split)
    if report.accuracy != "exact_match" or found is None or found.exact is not None or share is None:
        return
    low, high = found.exact_match
    text = recipe.reported[report.split].accuracy
    unit = 10 ** -len(str(text).partition(".")[2]) / 100  # rounded or cut off
    where = "within" if low - unit < share < high + unit else "outside"
    yield f"Its matrices allow an exact match from {_percent(low, 1)} to {_percent(high, 1)}; the published {text} % lies {where}."  # noqa: E501


def _unknown(recipe: Recipe) -> Iterator[str]:
    if any(one.best_of_kind for one in recipe.reported.values()):
        yield "The published numbers are the best of several experiments; which one that was is not said."
    if all(one.confusion is None for one in recipe.reported.values()):
        yield "No matrix is published, so that neither missed images nor other definitions can be worked out."


def of_report(report: Report) -> list[str]:
    """Sentences on a report's claim and on its numbers as a whole."""
    by_name = {one.name: one for one in report.recipes}
    best, other = by_name[report.claim["best"]], by_name[report.claim["against"]]
    lines = [*_margin(report, best, other), *_few(report, best, other)]
    if "caution" in report.claim:
        lines.append(report.claim["caution"])
    return [*lines, *_definitions(report, best), *_tally(report)]


def _margin(report: Report, best: Recipe, other: Recipe) -> Iterator[str]:
    a, b = right(report, best), right(report, other)
    if a is None or b is None:
        return
    n, more = a[1], a[0] - b[0]
    unit = "answers about labels" if report.accuracy == "label_accuracy" else "images"
    if more <= 0:
        name = _first(_called(best))
        yield f"{name} is not ahead of {_called(other)}: {a[0]:,} against {b[0]:,} of {n:,} {unit} right."
        return
    one = unit if more != 1 else unit.replace("images", "image").replace("answers", "answer")
    yield f"{_first(_called(best))} has {more:,} {one} of {n:,} more right than {_called(other)}."
    if unit != "images":
        yield "Answers about the labels of one image hang together, so that this is less than it seems."
    elif more < FEWEST:
        p = mcnemar(more, 0)
        yield f"That is no finding: were these all the images on which the two differ, chance would do as well (exact McNemar test, p = {p:.2f})."  # noqa: E501
    elif mcnemar(n - b[0], n - a[0]) < 0.05:  # they differ on the images that one of them has wrong, or on fewer
        yield "That is more than chance, on whichever images the two differ (exact McNemar test, p < .05)."
    else:
        yield "Whether that is more than chance depends on how many images the two judge differently, which is not published."  # noqa: E501


def _few(report: Report, best: Recipe, other: Recipe) -> Iterator[str]:
    a, b = reported_score(best, report.split), reported_score(other, report.split)
    if a is None or b is None:
        return
    first, second = a.recall(report.critical), b.recall(report.critical)
    apart = first[2][0] > second[2][1] or second[2][0] > first[2][1]
    tail = (
        "the intervals lie apart"
        if apart
        else "the intervals overlap, and which images the two disagree on is not known"
    )
    both = (f"{_first(_called(one))}: {_recall(of, report.critical)}" for one, of in ((best, a), (other, b)))
    yield f"{'. '.join(both)}: {tail}."


def _definitions(report: Report, best: Recipe) -> Iterator[str]:
    found = reported_score(best, report.split)
    if found is None:
        return
    critical = found.f1[report.critical]
    if report.task == "single-label":
        named = report.f1[0].removeprefix("f1_")
        yield f"Its F1 is that of {named} ({_share(found.f1[named])} for {_called(best)}); F1 of {report.critical}, which matters, is {_share(critical)}."  # noqa: E501
        return
    low, high = found.exact_match
    yield (f"One network, many numbers: {_called(best)} has {_percent(found.label_accuracy)} per-label accuracy, an "
           f"exact match from {_percent(low, 1)} to {_percent(high, 1)}, micro F1 {_share(found.micro_f1)}, macro F1 "
           f"{_share(found.macro_f1)}, and F1 {_share(critical)} of {report.critical}.")  # fmt: skip


def _tally(report: Report) -> Iterator[str]:
    said, base = baseline(report, report.split)
    level = base.value(report.accuracy)
    useless = [_called(one) for one in report.recipes if is_useless(report, one)]
    if level is not None:
        start = f"Saying {said} for every image scores {_percent(level)} {METRICS[report.accuracy]}"
        if useless:
            yield f"{start}: {len(useless)} of {len(report.recipes)} experiments are no better ({_listed(useless)})."
        else:
            yield f"{start}; every experiment is better than that."
    wrong = [_called(one) for one in report.recipes if any(row.disagrees for row in one.reported.values())]
    if wrong:
        yield f"Published numbers that do not follow from their own matrices: {_listed(wrong)}."


def _called(recipe: Recipe) -> str:
    """The name within its report; a number needs a word before it."""
    return f"experiment {recipe.short}" if recipe.short.isdigit() else recipe.short


def _recall(found: Score, name: str) -> str:
    hits, support, (low, high) = found.recall(name)
    share = hits / support if support else 0.0
    ends = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    return f"{hits:,} of {support:,} {name} found, {100 * share:.0f} % ({ends})"


def _listed(names: list[str]) -> str:
    """`experiment 05, 08, 09` instead of the word before each."""
    return ", ".join([*names[:1], *(name.removeprefix("experiment ") for name in names[1:])])


def _first(text: str) -> str:
    """A sentence begins with a capital where its first word is one of this module's."""
    return text[:1].upper() + text[1:] if text.startswith("experiment") else text


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"


def _share(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if value < 1 else "1"
