"""A model card of one run, under the headings of M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019."""

from __future__ import annotations

import time

from covidviz import __version__
from covidviz.catalog import MODELS
from covidviz.evaluation.metric_names import metric_name
from covidviz.report.blocks import Block, Charts, Document, Items, Section, Table, Text, Tiles
from covidviz.report.charts import matrices
from covidviz.report.comparison import observations
from covidviz.report.data_part import class_counts
from covidviz.report.facts import Facts
from covidviz.report.limits import limits
from covidviz.report.options import Options
from covidviz.report.results_part import headline, numbers_table, per_image
from covidviz.report.say import SPLITS, bare, capital, ends, listed, named, plural
from covidviz.report.sections import NEVER, tiles
from covidviz.report.setup_part import network_section, parameters, shown

__all__ = ["card"]

FACTORS = ("source", "view", "sex")  # groups that are told apart where a dataset names them
LEAST = 5  # images of a group


def card(one: Facts, options: Options) -> Document:
    """The card. Nothing in it is invented: what is not known is said to be so."""
    network = network_section([one])
    sections = [
        Section("details", "Model Details", [*_details(one), *network.blocks]),
        Section("use", "Intended Use", [Items([
            "Primary use: teaching and research on how such networks learn and fail.",
            "Users: students, teachers and researchers.",
            "Out of scope: diagnosis, triage or any other clinical use; images of other body parts; other classes than "
            f"{listed(one.classes)}.",
        ])]),
        Section("factors", "Factors", _factors(one)),
        Section("metrics", "Metrics", [Text(_metrics(one))]),
        Section("evaluation-data", "Evaluation Data", [Text(
            f"The {SPLITS[one.last]} split of {one.dataset}: {plural(one.scores[one.last].n, 'image')}"
            + (f" of {plural(one.scores[one.last].patients or 0, 'patient')}" if one.scores[one.last].patients else "")
            + f". Images are squashed to {one.config.image_size} x {one.config.image_size} pixels and not augmented."
        )]),
        Section("training-data", "Training Data", [
            *([class_counts(one)] if len(one.samples) else [Text("Not known: samples.parquet can not be read.")]),
            Text(f"Augmentation: {shown(one.config, 'augment').lower()}. Validation chose the epoch that was kept."),
        ]),
        Section("analyses", "Quantitative Analyses", [
            Tiles(tiles(one, 1)), numbers_table(one),
            Charts(matrices(one.scores[one.last].confusion, one.classes, one.config.task, capital(SPLITS[one.last])),
                   "Confusion matrix: rows are true, columns what the image was called."),
            Text(" ".join(observations(one))),
        ]),
        Section("ethics", "Ethical Considerations", [Items([
            "X-rays and the labels drawn from them are health data; the dataset's own licence and consent apply.",
            "A wrong answer about a patient does harm in either direction: a missed disease, or needless worry and "
            "treatment.",
            "Whether the network does equally well on groups of patients is known only as far as the section on "
            "factors tells.",
        ])]),
        Section("caveats", "Caveats and Recommendations", [Items(limits([one]))]),
    ]  # fmt: skip
    title = options.title or f"Model card: {one.name}"
    when = time.strftime("%d %B %Y").lstrip("0")
    return Document(title, f"{one.dataset} · written {when} by covidviz · {NEVER}", sections, contents=False)


def _details(one: Facts) -> list[Block]:
    config = one.config
    n, total = parameters(config)
    trained = time.strftime("%d %B %Y", time.localtime(one.summary.finished)) if one.summary.finished else "not known"
    rows = [
        ["Model", f"{MODELS[config.model].title}, {n:,} of {total:,} parameters trained"],
        ["Run", one.run.id],
        ["Trained", f"{trained.lstrip('0')}, by covidviz {_version(one)}"],
        ["Starting weights", shown(config, "weights")],
        ["Task", f"{shown(config, 'task')}: {listed(one.classes)}"],
        ["Loss, optimizer", f"{shown(config, 'loss')}, {shown(config, 'optimizer')}, learning rate {config.lr:g}"],
        ["Epochs", f"{config.epochs}; kept: {one.summary.best_epoch or '?'}, by {metric_name(config.monitor)}"],
        ["Data fingerprint", one.fingerprint or "not known"],
    ]
    if note := one.summary.note.strip():
        rows.append(["Note", note])
    return [Table(["What", "Value"], rows)]


def _version(one: Facts) -> str:
    versions = one.environment.get("versions")
    return str(versions.get("covidviz", __version__)) if isinstance(versions, dict) else __version__


def _factors(one: Facts) -> list[Block]:
    """The share that is right in each group that the dataset tells apart, with Wilson's interval."""
    from covidviz.evaluation.intervals import wilson

    frame = one.frame[one.frame["split"] == one.last]
    rows: list[list[str]] = []
    groups: dict[int, str] = {}
    for name in FACTORS:
        if name not in frame or frame[name].dropna().astype(str).nunique() < 2:
            continue
        groups[len(rows)] = capital(name)
        for value, part in frame.groupby(frame[name].fillna("").astype(str)):
            right, n = int(part["right"].sum()), len(part)
            low, high = wilson(right, n)
            share = f"{bare(right / n)} ({ends(low, high)})" if n >= LEAST else f"fewer than {LEAST} images"
            mix = ", ".join(f"{c} {int((part[f'label_{c}'] == 1).sum())}" for c in one.classes)
            rows.append([str(value) or "unknown", f"{n:,}", mix, share])
    if not rows:
        return [Text("The dataset does not tell groups of patients or images apart (source, view, sex), so how the "
                     "network does in them is not known.")]  # fmt: skip
    caption = (
        f"{capital(SPLITS[one.last])} images by what the dataset tells of them; groups also differ in their classes."
    )
    return [Table(["Group", "Images", "Classes", "Right (95 %)"], rows, caption, frozenset({1, 3}), groups)]


def _metrics(one: Facts) -> str:
    key = headline(one.config.task)
    value, low, high = per_image(one, one.last, key)
    told = f"{named(key)} on {SPLITS[one.last]} is {bare(value)}"
    told += f" (95 % {ends(low, high)})" if low is not None else ""
    decided = (
        "An image is given its likeliest class." if one.config.task == "single-label"
        else "A label is given from a probability of .5 on."
    )  # fmt: skip
    critical = f" The recall of {one.critical}, which must not be missed, is told by itself." if one.critical else ""
    return (
        f"{decided} Accuracy, recall, precision and F1 of each class, and macro F1, which counts every class alike."
        f"{critical} Intervals are 95 %: Wilson's for recall and precision, a bootstrap for the others. {told}."
    )
