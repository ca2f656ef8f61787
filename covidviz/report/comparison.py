"""The part of a report that compares and analyses, in sentences that follow from the numbers and say no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from covidviz.errors import InputError
from covidviz.evaluation.effects import effect_of, noise_of
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.matched import match
from covidviz.evaluation.metric_names import metric_name
from covidviz.evaluation.metrics import SINGLE
from covidviz.evaluation.paired import Paired, compare
from covidviz.evaluation.ranking import labels_of, prob_of
from covidviz.evaluation.verdict import Verdict, verdict
from covidviz.report.blocks import Block, Charts, Note, Section, Text
from covidviz.report.charts import Span, intervals
from covidviz.report.facts import Facts
from covidviz.report.results_part import LADDER_METRIC, blocks_of, headline
from covidviz.report.say import SPLITS, bare, capital, ends, listed, named, plural, short
from covidviz.report.setup_part import differing
from covidviz.setting_names import LABELS

__all__ = ["Comparison", "comparison_section", "comparisons", "mistake", "observations"]

MOST = 12  # paired comparisons


@dataclass(frozen=True)
class Comparison:
    """B against A: `title` in words, the numbers, the verdict; or `missing`: why there is none."""

    title: str
    split: str
    paired: Paired | None = None
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    effect: str = ""
    missing: str = ""


def comparisons(runs: Sequence[Facts]) -> tuple[list[Comparison], int]:
    """Every value of a varied setting against the first value; runs in no block against the first run.

    Returns:
        The first `MOST`, and how many more there would be.
    """
    found, rest = blocks_of(runs)
    noise = noise_of([one.summary for one in runs], LADDER_METRIC)
    planned: list[tuple[str, str, str, list[Facts], list[Facts], str]] = []
    for ladder, members in found:
        by_id = {one.run.id: one for one in members}
        label = LABELS.get(ladder.setting, ladder.setting)
        sides = [[by_id[run_id] for run_id, _ in step.runs] for step in ladder.steps]
        for step, side in zip(ladder.steps[1:], sides[1:], strict=True):
            first = ladder.steps[0]
            effect, borrowed = effect_of(first.values, step.values, noise)
            said = ""
            if effect.low is not None and effect.high is not None:
                whose = "the noise between seeds of the other runs" if borrowed else "the noise between seeds"
                said = (
                    f"Judged by {whose}, the mean validation macro F1 differs by {bare(effect.diff, 3)} (95 % "
                    f"{ends(effect.low, effect.high, 3)})."
                )
            name_a, name_b = (short(f"{label.lower()} {one.title}", 40) for one in (first, step))
            planned.append((f"{label}: {first.title} against {step.title}", name_a, name_b, sides[0], side, said))
    planned += _others(runs, [one for one in rest if one.run.id != runs[0].run.id])
    done = [_compared(*one) for one in planned[:MOST]]
    return done, len(planned) - len(done)


def _others(runs: Sequence[Facts], rest: Sequence[Facts]) -> list[tuple[str, str, str, list[Facts], list[Facts], str]]:
    first = runs[0]
    planned = []
    for one in rest:
        names = [LABELS.get(name, name).lower() for name in differing([first, one])]
        differ = (f"They differ in {listed(names)}" if names else "They have the same settings") + (
            ": what made the difference can't be told from them." if len(names) > 1 else "."
        )
        planned.append((f"Run {first.number} against run {one.number}", f"run {first.number}", f"run {one.number}",
                        [first], [one], differ))  # fmt: skip
    return planned


def _compared(title: str, name_a: str, name_b: str, a: list[Facts], b: list[Facts], effect: str) -> Comparison:
    split = next(name for name in ("test", "val", "train") if all(name in one.splits for one in (*a, *b)))
    try:
        found = match([one.judged for one in a], [one.judged for one in b], split)
    except InputError as error:
        return Comparison(title, split, missing=capital(f"{error}."), effect=effect)
    paired = compare(found.truth, found.a, found.b, found.classes, found.task, clusters=found.patients)
    said = verdict(paired, critical=a[0].critical, a=name_a, b=name_b)
    return Comparison(title, split, paired, said, found.notes, effect)


def comparison_section(runs: Sequence[Facts], done: Sequence[Comparison], more: int) -> Section:
    """Paired verdicts, then what can be said of each run by itself."""
    blocks: list[Block] = []
    if done:
        split = SPLITS[done[0].split]
        blocks.append(Text(
            f"Two runs are compared on the same {split} images: an image is fixed where the second has it right and "
            "the first has not, broken the other way round. There is evidence of a difference where the exact McNemar "
            "test gives p below .05 and the 95 % interval of the difference leaves out 0; anything else is no "
            "evidence, which is not the same as no difference. Only the share of images that are right and the recall "
            "of the critical class are judged so: a verdict on every metric would find something by chance."
        ))  # fmt: skip
        if len(done) > 1:
            blocks.append(Note(
                f"{len(done)} comparisons are made below, and p is not corrected for their number: if no setting made "
                f"any difference, the chance that at least one still comes out below .05 is up to "
                f"{min(100, 5 * len(done))} %.",
                "note", "Several comparisons",
            ))  # fmt: skip
        for one in done:
            blocks += _said(one)
        if more:
            blocks.append(Text(f"Left out: {plural(more, 'further comparison')}.", "small"))
    if (noise := noise_of([one.summary for one in runs], LADDER_METRIC)) is not None:
        blocks.append(Text(
            f"Between seeds of the same settings the validation macro F1 has a standard deviation of "
            f"{bare(noise.deviation, 3)} ({plural(noise.groups, 'group')} of runs): a difference of that size is noise."
        ))  # fmt: skip
    for run in runs:
        lines = observations(run)
        blocks.append(Text((f"{run.title}. " if len(runs) > 1 else "") + " ".join(lines)))
    return Section("analysis", "Comparison and analysis" if len(runs) > 1 else "Analysis", blocks)


def _said(one: Comparison) -> list[Block]:
    if one.paired is None or one.verdict is None:
        return [Note(f"{one.missing} {one.effect}".strip(), "note", f"{one.title}: not paired")]
    text = f"{one.verdict.headline}. {capital(one.verdict.numbers)}. {one.effect}".strip()
    severity = "note" if one.verdict.kind == "none" else "ok"
    blocks: list[Block] = [Note(text, severity, one.title)]
    shown = [
        (name, one.paired.metrics[name]) for name in one.paired.metrics
        if name in ("accuracy", "exact_match", "macro_f1") or name.startswith("recall_")
    ]  # fmt: skip
    spans = [Span(named(name), d.diff, d.low, d.high, k) for k, (name, d) in enumerate(shown)]
    unit = "patients" if one.paired.units < one.paired.n else "images"
    caption = (
        f"{plural(one.paired.n, f'{SPLITS[one.split]} image')}, {one.paired.units:,} {unit} drawn; right of 0 the "
        "second is better."
    )
    drawn = intervals(f"{one.title}: difference, second less first", spans, zero=True)
    blocks.append(Charts([drawn], " ".join([caption, *one.verdict.cautions, *one.notes]), wide=True))
    return blocks


# --- one run ---


def mistake(one: Facts, split: str) -> str:
    """The most common one, as the part of a sentence with numbers: `30 of 112 normal images were called pneumonia`."""
    found = mistakes(one, split)
    if not found:
        return ""
    n, of, true, called = found[0]
    low, high = wilson(n, of)
    share = f"{n:,} of {of:,}"
    sure = f" ({100 * n / of:.0f} %, 95 % {100 * low:.0f} to {100 * high:.0f} %)"
    if one.config.task == SINGLE:
        return f"{share} {true} images were called {called}{sure}"
    return (
        f"{share} images with {true} were not called {true}{sure}"
        if true
        else (f"{share} images without {called} were called {called}{sure}")
    )


def mistakes(one: Facts, split: str) -> list[tuple[int, int, str, str]]:
    """What was taken for what, most first: (images, of how many, true, called)."""
    table, found = one.scores[split].confusion, []
    if one.config.task == SINGLE:
        for true, row in zip(one.classes, table["matrix"], strict=True):
            called = zip(one.classes, row, strict=True)
            found += [(int(n), int(sum(row)), true, other) for other, n in called if other != true and n]
    else:
        for name in one.classes:
            n = table[name]
            found += [(n["fn"], n["tp"] + n["fn"], name, "")] if n["fn"] else []
            found += [(n["fp"], n["fp"] + n["tn"], "", name)] if n["fp"] else []
    return sorted(found, key=lambda row: -row[0])


def observations(one: Facts) -> list[str]:
    """Sentences about one run: against a constant answer, the most common mistake, training against new images."""
    split = one.last
    scores, key = one.scores[split], headline(one.config.task)
    said = []
    frame = one.frame[one.frame["split"] == split]
    labels = labels_of(frame, one.classes)
    combinations, counts = np.unique(labels, axis=0, return_counts=True)
    top = int(counts.argmax())
    constant = counts[top] / len(labels)
    name = listed([c for c, yes in zip(one.classes, combinations[top], strict=True) if yes]) or "none of them"
    value = scores.metrics[key]
    low, high = wilson(round(value * scores.n), scores.n)
    known = scores.intervals[key]
    low, high = min(low, known.low), max(high, known.high)
    beside = "more than" if low > constant else "less than" if high < constant else "not clearly more than"
    said.append(
        f"On {SPLITS[split]}, {metric_name(key)} is {bare(value)} (95 % {ends(low, high)}), {beside} the "
        f"{bare(float(constant))} of calling every image {name}."
    )
    if wrong := mistake(one, split):
        said.append(f"The most common mistake: {wrong}.")
    else:
        said.append(f"None of the {scores.n:,} {SPLITS[split]} images was called wrongly.")
    if "train" in one.scores and split != "train":
        fitted = one.scores["train"].metrics[key]
        gap = fitted - value
        if fitted > high:
            said.append(
                f"On the training images it is {bare(fitted)}, {bare(gap)} more: the network fits what it was shown "
                "better than what is new."
            )  # fmt: skip
        else:
            said.append(f"On the training images it is {bare(fitted)}, not above that: no sign of overfitting.")
    if one.config.task == SINGLE:
        sure = float(prob_of(frame, one.classes).max(axis=1).mean())
        beside = "above its accuracy: it is too sure" if sure > high else "in line with its accuracy"
        beside = "below its accuracy: it is less sure than it could be" if sure < low else beside
        said.append(f"The mean probability of the class it calls is {bare(sure)}, {beside}.")
    return said
