"""What a report is made of, without saying how it looks: `html` and `markdown` write these down.

All text is plain text; whoever writes it down escapes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from covidviz.report.drawing import Drawing
from covidviz.report.pictures import Picture

__all__ = [
    "Block", "Charts", "Code", "Document", "Gallery", "Items", "Note", "Section", "Table", "Text", "Tile", "Tiles",
]  # fmt: skip


@dataclass(frozen=True)
class Text:
    """A paragraph; `lead` is read first, `small` says where numbers come from."""

    text: str
    kind: Literal["", "lead", "small"] = ""


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Note:
    """What a reader must not miss. `severity`: of the data doctor, `ok` `note` `warn` `bad`."""

    text: str
    severity: str = "note"
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of texts under `head`; `groups`: a heading above the row of that number; `numbers`: columns to align right.

    `marked`: rows to print bold.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numbers: frozenset[int] = frozenset()
    groups: dict[int, str] = field(default_factory=dict)
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Charts:
    """Drawings side by side, with one caption."""

    drawings: Sequence[Drawing]
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """X-rays side by side. `title`: a few words above them; `empty`: what is said where there are none."""

    title: str
    pictures: Sequence[Picture]
    empty: str = ""


@dataclass(frozen=True)
class Tile:
    """A number to see at once: what it is, its value, and what it rests on."""

    what: str
    value: str
    more: str = ""


@dataclass(frozen=True)
class Tiles:
    """Numbers side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Code:
    """Text as a machine takes it. `folded`: shown on request only, where the form can do that."""

    text: str
    title: str = ""
    folded: bool = False


Block = Text | Items | Note | Table | Charts | Gallery | Tiles | Code


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it. `level` 2 or 3; `id`: unique in the document, of `a-z0-9-`."""

    id: str
    title: str
    blocks: Sequence[Block]
    level: int = 2


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    contents: bool = True  # with a table of contents
