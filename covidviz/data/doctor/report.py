"""What the data doctor says: checks, each with what was found, what it means and what to do. Plain data, JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from covidviz.store.files import clean

__all__ = ["CHECKS", "LISTED", "SEVERITIES", "Check", "Report", "Sample", "worst"]

SEVERITIES = ("ok", "note", "warn", "bad")
LISTED = 200  # samples (or pairs) that a check names; `n` counts all

# In the order to show them.
CHECKS = {
    "exact-duplicates": "The same picture twice",
    "near-duplicates": "The same radiograph in two versions",
    "patient-overlap": "Patients in more than one split",
    "label-encoding": "Labels written in two ways",
    "label-suspects": "Labels that look wrong",
    "file-traits": "Class told by the file alone",
    "source-shortcut": "Class told by the source",
    "thumbnail-shortcut": "Class told by a 32 x 32 thumbnail",
    "lungs-blanked": "Class told without the lungs",
    "odd-images": "Images that are different",
    "support": "How many images there are",
    "subgroups": "Groups within the classes",
}

Sample = str | list[str]


@dataclass(frozen=True)
class Check:
    """One check.

    id: a key of `CHECKS`.
    severity: `ok` nothing found; `note` good to know; `warn` scores may be too good or too bad; `bad` they are.
    summary: what was found, a sentence or two. meaning: why it matters. remedy: what to do; empty where nothing is.
    n: how many images, pairs or patients it is about, all of them.
    samples: at most `LISTED` of them, worst first: the path of an image as in labels.csv, or a list of paths that
        belong together (a pair of duplicates, the images of one patient).
    details: numbers behind the summary; what the keys mean is told in docs/data-doctor.md. Where there is a list
        `details["rows"]`, its items tell about the item of `samples` at the same place.
    """

    id: str
    severity: str
    summary: str
    meaning: str = ""
    remedy: str = ""
    n: int = 0
    samples: list[Sample] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.id not in CHECKS:
            raise ValueError(f"id: {self.id!r} given, accepted: {', '.join(CHECKS)}")
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity: {self.severity!r} given, accepted: {', '.join(SEVERITIES)}")
        if len(self.samples) > LISTED:
            raise ValueError(f"samples: {len(self.samples)} given, accepted: at most {LISTED}")

    @property
    def title(self) -> str:
        """A few words for a heading."""
        return CHECKS[self.id]

    def document(self) -> dict[str, Any]:
        """As JSON: the fields and `title`."""
        return {"title": self.title, **clean(dataclasses.asdict(self))}


@dataclass(frozen=True)
class Report:
    """All checks of one dataset with one split column.

    key: of the content that was looked at (see `covidviz.data.doctor.content_key`).
    created: seconds since 1970. seconds: what it took.
    n: images. splits: images per split.
    checks: one per id of `CHECKS`, in that order.
    leaks: every image of val and test that is also in a split before it (train, val), as the same radiograph or
        patient: its path, and the ids of the checks that say so. Not cut off: scores on the clean subset leave these
        out.
    same: every group of paths that show the same radiograph (exact and near duplicates joined), within a split too.
        Not cut off: a run whose splits are others is judged by these and its own samples.
    """

    key: str
    data: str
    split_column: str
    created: float
    seconds: float
    n: int
    classes: list[str]
    task: str
    splits: dict[str, int]
    checks: tuple[Check, ...]
    leaks: dict[str, list[str]] = field(default_factory=dict)
    same: list[list[str]] = field(default_factory=list)

    @property
    def severity(self) -> str:
        """The worst of all checks: the traffic light."""
        return worst(check.severity for check in self.checks)

    def check(self, id: str) -> Check | None:
        """The check of this id."""
        return next((check for check in self.checks if check.id == id), None)

    def worst_first(self) -> list[Check]:
        """All checks, the worst first, else in their order."""
        return sorted(self.checks, key=lambda check: -SEVERITIES.index(check.severity))

    def document(self) -> dict[str, Any]:
        """As JSON: the fields and `severity`."""
        plain = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "checks"}
        return {
            **clean(plain), "severity": self.severity, "checks": [check.document() for check in self.checks]
        }  # fmt: skip

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Report | None:
        """The report in a JSON document; None where it is none, or of another version."""
        try:
            checks = tuple(Check(**_own(Check, one)) for one in document["checks"])
            return cls(**{**_own(cls, document), "checks": checks})
        except (KeyError, TypeError, ValueError):
            return None


def worst(severities: Any) -> str:
    """The worst of some severities; `ok` of none."""
    return max(severities, key=SEVERITIES.index, default="ok")


def _own(kind: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    return {one.name: document[one.name] for one in dataclasses.fields(kind) if one.name in document}
