"""What a person chooses about a report."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """`title`: of the report, empty for one made from the runs. `patient_ids`: name patients and image files. `card`: a
    model card in place of the report."""

    title: str = ""
    patient_ids: bool = False
    card: bool = False
