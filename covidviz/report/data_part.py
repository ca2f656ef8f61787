"""The part of a report on the data: what there is, what the data doctor found, what it looks like."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from covidviz.evaluation.leaks import leaks
from covidviz.report.blocks import Block, Gallery, Note, Section, Table, Text
from covidviz.report.facts import Facts
from covidviz.report.options import Options
from covidviz.report.pictures import Picture, xray
from covidviz.report.say import SPLITS, capital, listed, plural
from covidviz.store import layout

__all__ = ["class_counts", "data_groups", "data_section", "leaking", "personal", "sample_numbers"]

EXAMPLES = 4  # images of each class
MOST_SOURCES = 12


def data_groups(runs: Sequence[Facts]) -> list[list[Facts]]:
    """The runs by the images, splits and labels they saw."""
    found: dict[object, list[Facts]] = {}
    for one in runs:
        key = (one.config.data, one.config.split_column, one.classes, one.config.task, one.config.label_rule,
               one.fingerprint)  # fmt: skip
        found.setdefault(key, []).append(one)
    return list(found.values())


def data_section(runs: Sequence[Facts], options: Options) -> list[Section]:
    """One section, and below it one for each dataset where there are several."""
    groups = data_groups(runs)
    if len(groups) == 1:
        return [Section("data", "Data and its checks", _about(groups[0], options))]
    text = (
        f"The {len(runs)} runs did not see the same images in the same splits. There are {len(groups)} sets of data; "
        "numbers are compared within one set only."
    )
    sections = [Section("data", "Data and its checks", [Note(text, "warn", "Different data")])]
    told: dict[tuple[str, str], str] = {}
    for k, group in enumerate(groups, start=1):
        title = f"{group[0].dataset}: {'runs' if len(group) > 1 else 'run'} {listed([str(o.number) for o in group])}"
        key = group[0].config.data, group[0].config.split_column
        sections.append(Section(f"data-{k}", title, _about(group, options, told.get(key, "")), level=3))
        told.setdefault(key, title)
    return sections


def _about(group: Sequence[Facts], options: Options, before: str = "") -> list[Block]:
    """`before`: the title under which the same images were told about already."""
    first = group[0]
    samples = first.samples
    if not len(samples):
        return [Note("samples.parquet of this run can not be read: what it was trained on is not known.", "warn")]
    images = plural(len(samples), "image")
    said = f"The dataset {first.dataset} has {images}"
    if _patients(samples) is not None:
        said += f" of {plural(_patients(samples) or 0, 'patient')}"
    rule = f" The label rule {first.config.label_rule} was applied to every split." if first.config.label_rule else ""
    several = " An image may have several labels." if first.config.task == "multi-label" else ""
    blocks: list[Block] = [Text(f"{said}. The splits are those of its column {first.config.split_column!r}, or were "
                                f"drawn where it has none.{several}{rule}"), class_counts(first)]  # fmt: skip
    if before:
        return [*blocks, Text(f"Checks and images are those of {before}.")]
    if (sources := _sources(first)) is not None:
        blocks.append(sources)
    blocks += _checks(first)
    blocks += _examples(first, options)
    return blocks


def class_counts(one: Facts) -> Table:
    """Images of each class, and patients, in each split."""
    samples, rows = one.samples, []
    for split in layout.SPLITS:
        part = samples[samples["split"] == split]
        if len(part):
            rows.append(_row(capital(SPLITS[split]), part, one.classes))
    rows.append(_row("All", samples, one.classes))
    head = ["Split", *one.classes, "Images", "Patients"]
    if all(row[-1] == "–" for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table(head, rows, "Images of each class in each split.", frozenset(range(1, len(head))),
                 marked=frozenset({len(rows) - 1}))  # fmt: skip


def _row(name: str, part: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    counts = [f"{int((part[f'label_{one}'] == 1).sum()):,}" for one in classes]
    patients = _patients(part)
    return [name, *counts, f"{len(part):,}", "–" if patients is None else f"{patients:,}"]


def _patients(samples: pd.DataFrame) -> int | None:
    if "patient_id" not in samples:
        return None
    known_ids = samples["patient_id"].dropna().astype(str)
    known_ids = known_ids[known_ids != ""]
    return int(known_ids.nunique()) if len(known_ids) else None


def _sources(one: Facts) -> Table | None:
    samples = one.samples
    if "source" not in samples or samples["source"].dropna().astype(str).nunique() < 2:
        return None
    source = samples["source"].fillna("unknown").astype(str)
    names = list(source.value_counts().index[:MOST_SOURCES])
    rows = []
    for name in names:
        part = samples[source == name]
        rows.append([name, *(f"{int((part[f'label_{c}'] == 1).sum()):,}" for c in one.classes), f"{len(part):,}"])
    alone = [label for k, label in enumerate(one.classes, start=1) if sum(row[k] != "0" for row in rows) < len(rows)]
    caption = "Images of each class from each source."
    if alone:
        caption += f" Not every source has {listed(alone, 'or')}: a network can score by telling sources apart."
    return Table(["Source", *one.classes, "Images"], rows, caption, frozenset(range(1, len(one.classes) + 2)))


def _checks(one: Facts) -> list[Block]:
    blocks: list[Block] = []
    for split in ("val", "test"):
        n, of = leaking(one, split)
        if n:
            blocks.append(Note(
                f"{n:,} of {plural(of, f'{SPLITS[split]} image')} show a patient who is in the training split too: "
                "their scores say little about new patients.", "bad", "Patients in more than one split",
            ))  # fmt: skip
    report = one.doctor
    if report is None:
        return [*blocks, Note(
            "There is no report of the data doctor on this data as it is now (python -m covidviz data doctor, or the "
            "Data page): duplicates, wrong labels and shortcuts were not looked for.", "warn", "Not checked",
        )]  # fmt: skip
    fine = [check.title for check in report.worst_first() if check.severity == "ok"]
    blocks += [
        Note(f"{check.summary} {check.meaning}".strip(), check.severity, check.title)
        for check in report.worst_first() if check.severity != "ok"
    ]  # fmt: skip
    if fine:
        blocks.append(Note(f"{'; '.join(fine)}.", "ok", "Checked and nothing found"))
    return blocks


def leaking(one: Facts, split: str) -> tuple[int, int]:
    """How many images of a split show a patient of the training split, of how many."""
    found = leaks(one.samples, split)
    return len(found.ids), found.n


def sample_numbers(one: Facts) -> dict[str, int]:
    """The number that stands for an image in a report: its row in samples.parquet, from 1, by sample id."""
    return {str(name): k for k, name in enumerate(one.samples["sample_id"], start=1)}


def _examples(one: Facts, options: Options) -> list[Block]:
    samples, numbers = one.samples, sample_numbers(one)
    found: list[Block] = []
    for name in one.classes:
        rows = samples[(samples[f"label_{name}"] == 1) & (samples["split"] == "train")]
        rows = rows.sample(min(EXAMPLES, len(rows)), random_state=0) if len(rows) else rows
        pictures = []
        for _, row in rows.iterrows():
            drawn = xray(one.config.data, str(row["path"]))
            number = f"image {numbers[str(row['sample_id'])]:,}"
            lines = [number, *personal(row, options)]
            source = row.get("source")
            if isinstance(source, str) and source:
                lines.insert(1, source)
            size = drawn[1] if drawn else (200, 200)
            pictures.append(Picture(drawn[0] if drawn else None, *size, tuple(lines), f"X-ray, {name}, {number}"))
        found.append(Gallery(f"{name}: some training images", pictures, "It has no training image."))
    if found:
        found.append(Text("Drawn at random. The number of an image is its row in the run's samples.parquet.", "small"))
    return found


def personal(row: pd.Series, options: Options) -> list[str]:
    """Patient and file of an image, where they were asked for."""
    if not options.patient_ids:
        return []
    patient = row.get("patient_id")
    named = [f"patient {patient}"] if patient is not None and patient == patient and str(patient) else []
    return [*named, str(row["path"])]
