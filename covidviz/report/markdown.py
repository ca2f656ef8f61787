"""A report as Markdown with its drawings and X-rays as PNG files beside it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageDraw

from covidviz.report.blocks import (
    Block,
    Charts,
    Code,
    Document,
    Gallery,
    Items,
    Note,
    Section,
    Table,
    Text,
    Tiles,
)  # fmt: skip
from covidviz.report.drawing import COLOURS, font
from covidviz.report.pictures import Picture, laid_over

__all__ = ["Files", "markdown"]

Files = dict[str, bytes]
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~$<>&])")
_WORDS = {"ok": "", "note": "", "warn": "Caution. ", "bad": "Serious. "}
SIDE, GAP, LINE = 200, 12, 18  # pixels of a picture in a gallery


def markdown(document: Document, folder: str) -> tuple[str, Files]:
    """The text, and the PNG files it shows by name; `folder`: what stands before these names in the text."""
    files: Files = {}
    parts = [f"# {_md(document.title)}", _md(document.subtitle)]
    for section in document.sections:
        parts.append(f"{'#' * section.level} {_md(section.title)}")
        parts += [_WRITE[type(block)](block, section, files, folder) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n", files


def _md(text: object) -> str:
    """Anybody's text on one line, shown literally."""
    escaped = _MARKUP.sub(r"\\\1", " ".join(str(text).split()))
    escaped = re.sub(r"^([-+=]|\d+[.)])(?=\s)", r"\\\1", escaped)
    # An address would become a link; an invisible word joiner prevents that.
    return re.sub(r"(https?|www)(?=[:.])", "\\1\u2060", escaped, flags=re.IGNORECASE)


def _kept(section: Section, files: Files, folder: str, png: bytes, alt: str) -> str:
    name = f"{section.id}-{sum(one.startswith(f'{section.id}-') for one in files) + 1:02}.png"
    files[name] = png
    return f"![{_md(alt)}]({folder}{name})"


def _text(one: Text, *_: Any) -> str:
    return _md(one.text)


def _items(one: Items, *_: Any) -> str:
    return "\n".join(f"- {_md(item)}" for item in one.items)


def _note(one: Note, *_: Any) -> str:
    title = f"**{_md(one.title)}.** " if one.title else ""
    return f"> {_WORDS[one.severity]}{title}{_md(one.text)}"


def _table(one: Table, *_: Any) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(_md(cell) for cell in cells)} |"

    sides = (" ---: " if k in one.numbers else " --- " for k in range(len(one.head)))
    lines = [row(one.head), f"|{'|'.join(sides)}|"]
    for k, cells in enumerate(one.rows):
        if k in one.groups:
            lines.append(f"| **{_md(one.groups[k])}** |" + "  |" * (len(one.head) - 1))
        lines.append(row(cells))
    return "\n".join(lines) + (f"\n\n*{_md(one.caption)}*" if one.caption else "")


def _charts(one: Charts, section: Section, files: Files, folder: str) -> str:
    shown = [_kept(section, files, folder, drawing.png(), drawing.label) for drawing in one.drawings]
    return "\n\n".join([*shown, f"*{_md(one.caption)}*"])


def _gallery(one: Gallery, section: Section, files: Files, folder: str) -> str:
    title = f"**{_md(one.title)}**"
    if not one.pictures:
        return f"{title}\n\n{_md(one.empty)}"
    alt = "; ".join(picture.alt for picture in one.pictures)
    return f"{title}\n\n{_kept(section, files, folder, _sheet(one.pictures), alt)}"


def _sheet(pictures: Sequence[Picture]) -> bytes:
    lines = max(len(one.lines) for one in pictures) + 1
    sheet = Image.new("RGB", (len(pictures) * (SIDE + GAP), SIDE + lines * LINE + GAP), COLOURS["paper"])
    draw = ImageDraw.Draw(sheet)
    for k, one in enumerate(pictures):
        x = k * (SIDE + GAP)
        draw.rectangle((x, 0, x + SIDE - 1, SIDE - 1), fill="#0b0f10")
        image = laid_over(one)
        if image is None:
            draw.text((x + 10, SIDE // 2), "can not be shown", "#b8c4c4", font(12))
        else:
            image.thumbnail((SIDE, SIDE))
            sheet.paste(image, (x + (SIDE - image.width) // 2, (SIDE - image.height) // 2))
        said = list(one.lines)
        if one.right is not None:
            said.insert(0, "right" if one.right else "wrong")
        for i, line in enumerate(said):
            colour = COLOURS["ink"] if i or one.right is None else COLOURS["primary" if one.right else "wrong"]
            draw.text((x, SIDE + 4 + i * LINE), _fit(line, draw), colour, font(12))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _fit(text: str, draw: ImageDraw.ImageDraw) -> str:
    while text and draw.textlength(text, font=font(12)) > SIDE:
        text = text[:-2].rstrip("…") + "…"
    return text


def _tiles(one: Tiles, *_: Any) -> str:
    return "\n".join(f"- {_md(tile.what)}: **{_md(tile.value)}** ({_md(tile.more)})" for tile in one.tiles)


def _code(one: Code, *_: Any) -> str:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", one.text)), 3)
    return f"{_md(one.title)}\n\n{fence}\n{one.text}\n{fence}"


_WRITE: dict[type[Block], Callable[..., str]] = {
    Text: _text, Items: _items, Note: _note, Table: _table, Charts: _charts, Gallery: _gallery, Tiles: _tiles,
    Code: _code,
}  # fmt: skip
