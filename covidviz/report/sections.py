"""The report as a whole: what was found, first and in three sentences; then everything it rests on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from covidviz.catalog import MODELS
from covidviz.report.blocks import Block, Document, Items, Note, Section, Text, Tile, Tiles
from covidviz.report.comparison import Comparison, comparison_section, comparisons, mistake
from covidviz.report.data_part import data_groups, data_section
from covidviz.report.facts import Facts
from covidviz.report.limits import limits_section
from covidviz.report.options import Options
from covidviz.report.results_part import blocks_of, headline, overview, per_image, run_sections
from covidviz.report.say import SPLITS, bare, capital, ends, listed, named, plural, with_ends
from covidviz.report.setup_part import differing, network_section, reproducing, setup_section, shown
from covidviz.setting_names import LABELS

__all__ = ["NEVER", "chosen", "report", "summary", "tiles"]

NEVER = "For learning and research, never for clinical use."
Tell = Callable[[str], None]


def report(runs: Sequence[Facts], options: Options, tell: Tell = lambda _: None) -> Document:
    """All sections of a report on these runs."""
    tell("comparing: 35 %")
    done, more = comparisons(runs)
    sections = [
        _summary_section(runs, done), _objective(runs), *data_section(runs, options), setup_section(runs),
        network_section(runs), overview(runs), *run_sections(runs, options, tell), comparison_section(runs, done, more),
        limits_section(runs), reproducing(runs),
    ]  # fmt: skip
    if len(runs) == 1:
        sections = [one for one in sections if one.blocks or one.id == "runs"]
    return Document(options.title or title_of(runs), subtitle(runs), sections)


def title_of(runs: Sequence[Facts]) -> str:
    """What the report is about, where nobody gave it a title."""
    first = runs[0]
    if len(runs) == 1:
        return first.name
    found, rest = blocks_of(runs)
    varied = list(dict.fromkeys(LABELS.get(ladder.setting, ladder.setting).lower() for ladder, _ in found))
    sets = listed(list(dict.fromkeys(one.dataset for one in runs)))
    what = f"{capital(listed(varied))} varied: " if varied and not rest and len(varied) <= 3 else ""
    return f"{what}{len(runs)} runs on {sets}"


def subtitle(runs: Sequence[Facts]) -> str:
    """The runs' data and day, and what it is not for."""
    sets = listed(list(dict.fromkeys(one.dataset for one in runs)))
    when = time.strftime("%d %B %Y").lstrip("0")
    what = f"One run on {sets} · " if len(runs) == 1 else ""
    return f"{what}Written {when} by covidviz · {NEVER}"


# --- summary ---


def chosen(runs: Sequence[Facts]) -> Facts:
    """The run that validation prefers: by its macro F1, so that test is not asked twice; the first of equals."""
    return max(runs, key=lambda one: one.scores["val" if "val" in one.scores else one.last].metrics["macro_f1"])


def summary(runs: Sequence[Facts], done: Sequence[Comparison]) -> list[str]:
    """What was found, in three sentences: what was done, the result, and what decides how far it goes."""
    first = runs[0]
    models = list(dict.fromkeys(MODELS[one.config.model].title for one in runs))
    what = f"{plural(len(runs), 'run')} of {listed(models)}" if len(runs) > 1 else listed(models)
    sets = list(dict.fromkeys(one.dataset for one in runs))
    verb = "were" if len(runs) > 1 else "was"
    n = f"{plural(len(first.samples), 'X-ray')} of " if len(sets) == 1 and len(first.samples) else ""
    if len({(one.config.task, one.classes) for one in runs}) > 1:
        task = "for different classes"
    elif first.config.task == "single-label":
        task = f"to tell {listed(first.classes)} apart"
    else:
        task = f"to find {listed(first.classes, 'or')}"
    said = [f"{what} {verb} trained on {n}{listed(sets)} {task}."]
    if len(data_groups(runs)) == 1:
        said.append(_result(runs))
        said.append(_found(runs, done))
    else:
        said.append("They saw different data, so there is no best one among them; each has its own numbers below.")
        said.append(_found(runs, done))
    return said


def _result(runs: Sequence[Facts]) -> str:
    best = chosen(runs)
    split = best.last
    value, low, high = per_image(best, split, "macro_f1")
    which = f"Run {best.number} ({best.name}), the best on validation," if len(runs) > 1 else "It"
    text = f"{which} has a macro F1 of {with_ends(value, None, None)} on {SPLITS[split]}"
    text += f" (95 % {ends(low, high)})" if low is not None else ""
    if best.critical and (row := _row(best, split)) is not None and row["images"]:
        share = row["recall"]
        text += f" and finds {share['how']} {best.critical} images (recall {bare(share['value'])}"
        text += f", 95 % {ends(share['low'], share['high'])})"
    return f"{text}."


def _row(one: Facts, split: str) -> dict[str, Any] | None:
    return next((row for row in one.scores[split].classes if row["name"] == one.critical), None)


def _found(runs: Sequence[Facts], done: Sequence[Comparison]) -> str:
    paired = [one for one in done if one.verdict is not None]
    evident = [one for one in paired if one.verdict is not None and one.verdict.kind != "none"]
    if evident and evident[0].verdict is not None:
        headline_text, verb = evident[0].verdict.headline, "gives" if len(evident) == 1 else "give"
        of = f" ({len(evident)} of {len(paired)} paired comparisons {verb} evidence)" if len(paired) > 1 else ""
        return f"{evident[0].title}: {headline_text[:1].lower()}{headline_text[1:]}{of}."
    if len(paired) == 1:
        return f"{paired[0].title}: no evidence of a difference."
    if paired:
        none = "None" if len(paired) > 2 else "Neither"
        return f"{none} of the {len(paired)} paired comparisons gives evidence of a difference between settings."
    one = chosen(runs)
    if wrong := mistake(one, one.last):
        return f"Its most common mistake: {wrong}."
    return f"It called none of the {SPLITS[one.last]} images wrongly."


def _summary_section(runs: Sequence[Facts], done: Sequence[Comparison]) -> Section:
    blocks: list[Block] = [Text(" ".join(summary(runs, done)), "lead")]
    if len(data_groups(runs)) == 1:
        blocks.append(Tiles(tiles(chosen(runs), len(runs))))
    bad = {
        check.summary: None for group in data_groups(runs) if (found := group[0].doctor) is not None
        for check in found.checks if check.severity == "bad"
    }  # fmt: skip
    if bad:
        blocks.append(Note(f"{' '.join(list(bad)[:3])} See the section on the data.", "bad",
                           "Read the numbers with care"))  # fmt: skip
    return Section("summary", "What was found", blocks)


def tiles(best: Facts, n_runs: int) -> list[Tile]:
    split = best.last
    keys = [headline(best.config.task), "macro_f1"]
    of = f"run {best.number}, " if n_runs > 1 else ""
    found = []
    for key in keys:
        value, low, high = per_image(best, split, key)
        found.append(Tile(named(key), bare(value), f"{of}{SPLITS[split]}{_within(low, high)}"))
    if best.critical and best.critical in best.classes:
        value, low, high = per_image(best, split, f"recall_{best.critical}")
        found.append(Tile(named(f"recall_{best.critical}"), bare(value), f"{of}{SPLITS[split]}{_within(low, high)}"))
    scores = best.scores[split]
    patients = f", {plural(scores.patients, 'patient')}" if scores.patients else ""
    found.append(Tile("Judged on", f"{scores.n:,}", f"{SPLITS[split]} images{patients}"))
    return found


def _within(low: float | None, high: float | None) -> str:
    """On one line of its own, if possible."""
    return "" if low is None else f", 95 % {ends(low, high)}".replace(" ", "\N{NO-BREAK SPACE}").replace(
        ",\N{NO-BREAK SPACE}", ", ")  # fmt: skip


# --- objective ---


def _objective(runs: Sequence[Facts]) -> Section:
    first = runs[0]
    apart = " apart" if first.config.task == "single-label" else ""
    verb = "tell" if apart else "find"
    text = f"To {verb} {listed(first.classes)}{apart} in chest X-rays."
    if first.critical:
        text += f" {first.critical} is the class that must not be missed."
    blocks: list[Block] = [Text(text)]
    found, _ = blocks_of(runs)
    asked = [
        f"What does {LABELS.get(ladder.setting, ladder.setting).lower()} do, all else the same? "
        f"({listed([step.title for step in ladder.steps])}; {plural(len(members), 'run')})"
        for ladder, members in found
    ]  # fmt: skip
    if asked:
        blocks.append(Items(list(dict.fromkeys(asked))))
    elif len(runs) > 1:
        alone = set(differing(runs)) <= {"seed"}
        blocks.append(Text(
            "The runs differ in their seed alone: they show how far chance moves a result." if alone
            else "The runs differ in several settings at once, so no setting is studied by itself."
        ))  # fmt: skip
    if any(one.classes != first.classes for one in runs):
        told = "; ".join(f"run {one.number} {listed(one.classes)}" for one in runs)
        blocks.append(Text(f"The runs have different classes: {told}."))
    if len(runs) == 1:
        blocks.append(Text(f"One run: {shown(first.config, 'model')}, {shown(first.config, 'trainable')} trainable, "
                           f"loss {shown(first.config, 'loss').lower()}."))  # fmt: skip
    return Section("objective", "Objective", blocks)
