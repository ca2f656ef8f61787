"""The parts of a report on what came out: all runs side by side, and each run by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from covidviz.evaluation.effects import Ladder, ladders
from covidviz.evaluation.metrics import predicted
from covidviz.evaluation.ranking import select
from covidviz.report.blocks import Block, Charts, Gallery, Items, Note, Section, Table, Text
from covidviz.report.charts import Curve, Span, curves, intervals, matrices
from covidviz.report.data_part import personal, sample_numbers
from covidviz.report.drawing import Drawing
from covidviz.report.facts import Facts, Scores
from covidviz.report.options import Options
from covidviz.report.pictures import Picture, xray
from covidviz.report.say import SPLITS, bare, capital, chance, listed, named, plural, short, with_ends
from covidviz.report.setup_part import differing, shown
from covidviz.setting_names import LABELS

__all__ = ["blocks_of", "headline", "numbers_table", "overview", "per_image", "run_sections"]

LADDER_METRIC = "macro_f1"


def headline(task: str) -> str:
    """The share of images (or labels) that are right."""
    return "accuracy" if task == "single-label" else "exact_match"


def per_image(one: Facts, split: str, key: str) -> tuple[float, float | None, float | None]:
    """A metric of one split with the ends of its interval: Wilson's of a recall, else the bootstrap's."""
    scores = one.scores[split]
    value = scores.metrics[key]
    for row in scores.classes:
        for kind in ("recall", "precision"):
            if key == f"{kind}_{row['name']}":
                return value, row[kind]["low"], row[kind]["high"]
    ends = scores.intervals.get(key)
    return (value, None, None) if ends is None or ends.low == ends.high else (value, ends.low, ends.high)


# --- side by side ---


def blocks_of(runs: Sequence[Facts]) -> tuple[list[tuple[Ladder, list[Facts]]], list[Facts]]:
    """The runs in blocks that differ in one setting alone (and the seed), and those in no block."""
    by_id = {one.run.id: one for one in runs}
    newest = sorted((one.summary for one in runs), key=lambda row: row.created or 0.0, reverse=True)
    found: list[tuple[Ladder, list[Facts]]] = []
    for ladder in ladders(newest, LADDER_METRIC):
        members = [by_id[run_id] for step in ladder.steps for run_id, _ in step.runs]
        if len({(one.config.data, one.fingerprint) for one in members}) == 1:
            found.append((ladder, members))
    inside = {one.run.id for _, members in found for one in members}
    return found, [one for one in runs if one.run.id not in inside]


def overview(runs: Sequence[Facts]) -> Section:
    """The table of all experiments, the result of each with its interval, and the curves of all."""
    blocks: list[Block] = []
    keys = [headline(runs[0].config.task), "macro_f1"]
    if runs[0].critical:
        keys.append(f"recall_{runs[0].critical}")
    if len({one.config.task for one in runs}) > 1:
        keys = ["macro_f1"]
    split = _common_split(runs)
    if len(runs) > 1:
        blocks.append(_experiments(runs, keys, split))
    drawn = []
    for key in keys:
        spans = [
            Span(_label(one, runs), *per_image(one, split, key), one.number - 1)
            for one in runs if key in one.scores[split].metrics
        ]  # fmt: skip
        if len(runs) > 1 and spans:
            drawn.append(intervals(f"{named(key)}, {SPLITS[split]}", spans))
    if drawn:
        blocks.append(Charts(drawn, f"Each run on the {SPLITS[split]} images, with 95 % intervals. Runs on the same "
                                    "images are compared pairwise below: intervals that overlap do not yet mean that "
                                    "two runs are alike.", wide=True))  # fmt: skip
        over = [_over_epochs(runs, "loss"), _over_epochs(runs, "macro_f1")]
        if some := [one for one in over if one is not None]:
            caption = (
                "Validation loss and macro F1 of all runs. Point at a curve to read its values, drag to zoom in, "
                "double click to zoom out; a name hides or shows its curve."
            )
            if len({(one.config.loss, one.config.focal_gamma, one.config.focal_alpha) for one in runs}) > 1:
                caption += " These runs minimise different losses, whose heights can not be compared."
            blocks.append(Charts(some, caption))
    return Section("results", "Results", blocks)


def _common_split(runs: Sequence[Facts]) -> str:
    return next(split for split in ("test", "val", "train") if all(split in one.splits for one in runs))


def _label(one: Facts, runs: Sequence[Facts]) -> str:
    return short(one.label, 24) if len(runs) > 1 else one.name


def _experiments(runs: Sequence[Facts], keys: Sequence[str], split: str) -> Table:
    found, rest = blocks_of(runs)
    rows: list[list[str]] = []
    groups: dict[int, str] = {}
    for ladder, members in found:
        values = {run_id: step.title for step in ladder.steps for run_id, _ in step.runs}
        label = LABELS.get(ladder.setting, ladder.setting)
        groups[len(rows)] = f"{label} varied, all else the same but the seed"
        rows += [_line(one, values[one.run.id], keys, split) for one in members]
    if rest:
        if found:
            groups[len(rows)] = "Other runs: no single setting sets them apart"
        names = [name for name in differing(runs) if name != "seed"]
        rows += [_line(one, _what(one, names), keys, split) for one in rest]
    caption = (
        "Every experiment, in blocks of one varied setting; a run may stand in several blocks. Validation chose the "
        f"epoch. In brackets: 95 % intervals of what was measured on {SPLITS[split]}."
    )
    head = ["Run", "Setting", "Seed", "Epoch", "Validation macro F1", *(f"{named(k)}, {SPLITS[split]}" for k in keys)]
    return Table(head, rows, caption, frozenset(range(2, len(head))), groups)


def _what(one: Facts, names: Sequence[str]) -> str:
    values = [(LABELS.get(name, name).lower(), shown(one.config, name)) for name in names if name != "data"]
    return ", ".join([f"{name} {value}" for name, value in values if value != "–"][:3]) or "–"


def _line(one: Facts, value: str, keys: Sequence[str], split: str) -> list[str]:
    validation = one.scores["val"].metrics["macro_f1"] if "val" in one.scores else None
    metrics = one.scores[split].metrics
    told = [with_ends(*per_image(one, split, key)) if key in metrics else "–" for key in keys]
    return [one.label, value, str(one.config.seed), str(one.summary.best_epoch or "–"),
            bare(validation), *told]  # fmt: skip


def _over_epochs(runs: Sequence[Facts], key: str) -> Drawing | None:
    lines = []
    for one in runs:
        rows = _rows(one.metrics, "val", key)
        lines.append(Curve(_label(one, runs), list(rows["epoch"]), list(rows[key]), one.number - 1))
    title = f"Validation {named(key).lower() if key == 'loss' else named(key)[:1].lower() + named(key)[1:]}"
    return curves(title, [line for line in lines if line.x], unit=key != "loss")


def _rows(metrics: pd.DataFrame, split: str, key: str) -> pd.DataFrame:
    if key not in metrics:
        return pd.DataFrame({"epoch": [], key: []})
    return metrics.loc[metrics["split"] == split, ["epoch", key]].dropna()


# --- one by one ---


def run_sections(
    runs: Sequence[Facts], options: Options, tell: Callable[[str], None] = lambda _: None
) -> list[Section]:
    """Curves, matrices, numbers per class and images of each run."""
    several = len(runs) > 1
    sections = [Section("runs", "Each run", [])] if several else []
    for k, one in enumerate(runs):
        tell(f"drawing run {k + 1} of {len(runs)}: {50 + 45 * k // len(runs)} %")
        title = one.title if several else "Curves, matrices and images"
        sections.append(Section(f"run-{one.number}", title, _of_one(one, len(runs), options), 3 if several else 2))
    return sections


def _of_one(one: Facts, n_runs: int, options: Options) -> list[Block]:
    blocks: list[Block] = []
    if note := one.summary.note.strip():
        blocks.append(Note(note, "note", "Note of the run"))
    if one.missing:
        blocks.append(Items(one.missing))
    lines = [_curve(one, key) for key in ("loss", "accuracy" if one.config.task == "single-label" else "exact_match")]
    if drawn := [line for line in lines if line is not None]:
        best = f" The dotted line marks epoch {one.summary.best_epoch}, whose weights were kept." * bool(
            one.summary.best_epoch)  # fmt: skip
        measured = (
            ""
            if one.config.train_eval
            else (
                " Training values were measured on the way, with dropout and augmentation at work, before the epoch "
                "was over, so they can look worse than validation."
            )
        )
        blocks.append(Charts(drawn, f"Loss and {named(_share(one)).lower()} by epoch.{best}{measured}"))
    drawn = []
    for split in one.splits:
        drawn += matrices(one.scores[split].confusion, one.classes, one.config.task, capital(SPLITS[split]))
    caption = (
        "Confusion matrices at the best epoch: rows are true, columns what the image was called; colour and percentage "
        "are shares of the row."
    )
    if one.config.task == "multi-label":
        caption += " A label counts as decided from a probability of .5 on."
    blocks.append(Charts(drawn, caption))
    blocks.append(numbers_table(one))
    blocks += _images(one, n_runs, options)
    return blocks


def _share(one: Facts) -> str:
    return headline(one.config.task)


def _curve(one: Facts, key: str) -> Drawing | None:
    lines = []
    for split, number, dash in (("val", 0, "solid"), ("train", 1, "dash")):
        rows = _rows(one.metrics, split, key)
        if len(rows):
            lines.append(Curve(SPLITS[split], list(rows["epoch"]), list(rows[key]), number, dash))
    return curves(named(key), lines, unit=key != "loss", best=one.summary.best_epoch)


def numbers_table(one: Facts) -> Table:
    rows: list[list[str]] = []
    groups: dict[int, str] = {}
    for split in reversed([name for name in one.splits if name != "train"] or list(one.splits)):
        scores = one.scores[split]
        groups[len(rows)] = f"{capital(SPLITS[split])}, {plural(scores.n, 'image')}"
        rows.append(["All", f"{scores.n:,}", *_overall(one, split, scores)])
        for row in scores.classes:
            mark = " (critical)" if row["name"] == one.critical else ""
            told = [with_ends(row[k]["value"], row[k]["low"], row[k]["high"]) for k in ("recall", "precision", "f1")]
            rows.append([f"{row['name']}{mark}", f"{row['images']:,}", *told, "–"])
    drawn = next((s.patients for s in one.scores.values() if s.patients), None)
    unit = "patients with all their images" if drawn else "images"
    head = ["Class", "Images", "Recall", "Precision", "F1", named(_share(one))]
    caption = (
        "Best epoch, with 95 % intervals: Wilson's for the recall and precision of a class, for all others a bootstrap "
        f"that draws {unit}. The F1 of all is the macro F1."
    )
    return Table(head, rows, caption, frozenset(range(1, 6)), groups, frozenset(groups))


def _overall(one: Facts, split: str, scores: Scores) -> list[str]:
    mean = {
        kind: sum(scores.metrics[f"{kind}_{name}"] for name in one.classes) / len(one.classes)
        for kind in ("recall", "precision")
    }
    return [f"{bare(mean['recall'])} (mean)", f"{bare(mean['precision'])} (mean)",
            with_ends(*per_image(one, split, "macro_f1")), with_ends(*per_image(one, split, _share(one)))]  # fmt: skip


def _images(one: Facts, n_runs: int, options: Options) -> list[Block]:
    split = one.last
    each = 4 if n_runs <= 5 else 3 if n_runs <= 10 else 2
    numbers = sample_numbers(one)
    blocks: list[Block] = []
    heat = one.heat
    for k, name in enumerate(one.classes):
        what = f"{SPLITS[split]} image of {name}"
        for order, words, empty in (
            ("worst", f"{name}, worst: missed, the highest loss first", f"No {what} was missed."),
            ("best", f"{name}, best: found, the surest first", f"No {what} was found."),
        ):
            rows = select(one.frame, one.classes, one.config.task, split=split, order=order, cls=name).head(each)
            pictures = [_picture(one, row, k, numbers, options) for _, row in rows.iterrows()]
            blocks.append(Gallery(words, pictures, empty))
    if heat.splits and split in heat.splits:
        blocks.append(Text(
            f"{capital(SPLITS[split])} images. Colour is {_method(heat.method)} at {heat.layer}, for the class "
            "that the image was called (with several labels: for the label of the row); all maps of a run share one "
            "scale, so a pale map means little evidence. It shows what moved the score, which is not a finding.",
            "small",
        ))  # fmt: skip
    else:
        text = f"There are no heat maps of the {SPLITS[split]} images, so they are shown without."
        blocks.append(Text(text, "small"))
    return blocks


def _method(name: str) -> str:
    return {"grad-cam": "Grad-CAM (Selvaraju et al. 2017)"}.get(name, name)


def _picture(one: Facts, row: pd.Series, label: int, numbers: dict[str, int], options: Options) -> Picture:
    prob = row[[f"prob_{name}" for name in one.classes]].to_numpy(dtype=float)[None]
    called = predicted(prob, one.config.task)[0]
    right = bool(row["right"])
    if one.config.task == "single-label":
        k = int(called.argmax())
        said = f"called {one.classes[k]} ({chance(float(prob[0, k]))})"
        truth = "" if right else f"{one.classes[label]} {chance(float(prob[0, label]))}"
    else:
        k = label
        said = f"{one.classes[k]} {chance(float(prob[0, k]))}"
        others = [n for n, yes in zip(one.classes, called, strict=True) if yes]
        truth = f"called {listed(others) or 'none of them'}"
    number = f"image {numbers.get(str(row['sample_id']), 0):,}"
    drawn = xray(one.config.data, str(row["path"]))
    size = drawn[1] if drawn else (200, 200)
    heat = one.heat.drawn(str(row["sample_id"]), k, size) if drawn else None
    lines = tuple(line for line in (said, truth, number, *personal(row, options)) if line)
    alt = f"X-ray, {one.classes[label]}, {'right' if right else 'wrong'}: {said}, {number}"
    return Picture(drawn[0] if drawn else None, *size, lines, alt, heat, right)
