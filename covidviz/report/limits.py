"""What a report's numbers can not say: computed from the runs, so that no report promises more than they hold."""

from __future__ import annotations

from collections.abc import Sequence

from covidviz.evaluation.verdict import FEW
from covidviz.report.blocks import Items, Section
from covidviz.report.data_part import data_groups, leaking
from covidviz.report.facts import Facts
from covidviz.report.say import SPLITS, listed, plural

__all__ = ["limits", "limits_section"]


def limits(runs: Sequence[Facts]) -> list[str]:
    """A sentence each."""
    said: list[str] = []
    groups = data_groups(runs)
    for group in groups:
        where = f" ({group[0].dataset})" if len(groups) > 1 else ""
        said += [f"{line}{where}" if not where else f"{line[:-1]}{where}." for line in _of_data(group[0])]
    seeds = {one.run.id: one.config.seed for one in runs}
    if len(set(seeds.values())) == 1:
        said.append("There is one seed only: another one could come out otherwise.")
    if len(runs) > 1:
        said.append(
            f"{len(runs)} runs were looked at; the best of several is partly the luckiest, so its number is on the "
            "high side."
        )
    if len(groups) > 1:
        said.append("The runs saw different data; their numbers are not about the same images.")
    if any("test" not in one.splits for one in runs):
        numbers = listed([str(one.number) for one in runs if "test" not in one.splits])
        said.append(f"Without a test split (run {numbers}), validation both chose the epoch and told the result.")
    said += [
        f"Run {one.number}: {line}" if len(runs) > 1 else line
        for one in runs for line in one.missing if "test split" not in line
    ]  # fmt: skip
    said.append(
        "All images are from the dataset named above; how the network does on images of other hospitals, machines or "
        "patients is not known."
    )
    said.append("A heat map shows what moved a score. It is not a segmentation, and not a proof of a reason.")
    return said


def _of_data(one: Facts) -> list[str]:
    said = []
    what = f"{SPLITS[one.last]} image"
    said += [
        f"There {'is' if row['images'] == 1 else 'are'} only {plural(row['images'], what)} of {row['name']}: its "
        "numbers have wide intervals."
        for row in one.scores[one.last].classes if row["images"] < FEW
    ]  # fmt: skip
    n, of = leaking(one, one.last)
    if n:
        said.append(f"{n:,} of {of:,} {SPLITS[one.last]} images show a patient of the training split.")
    if "patient_id" not in one.samples:
        said.append(
            "Patients are not known: images of one patient may lie in several splits, and intervals draw images."
        )
    report = one.doctor
    if report is None:
        said.append("The data was not checked for duplicates, wrong labels and shortcuts.")
    elif bad := [check for check in report.checks if check.severity == "bad"]:
        said.append(f"The data doctor found what makes scores too good: {'; '.join(c.title.lower() for c in bad)}.")
    return said


def limits_section(runs: Sequence[Facts]) -> Section:
    """The list."""
    return Section("limits", "Limits", [Items(limits(runs))])
