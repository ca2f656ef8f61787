"""A report as one HTML file that needs nothing else: no network, no other file. Everybody's text is escaped."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

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
from covidviz.report.pictures import Picture

__all__ = ["page"]

ASSETS = Path(__file__).resolve().parent / "assets"
SIGNS = {"ok": "✓", "note": "•", "warn": "!", "bad": "✕"}
WORDS = {"ok": "fine", "note": "good to know", "warn": "caution", "bad": "serious"}


def page(document: Document) -> str:
    """The whole file. Its Content-Security-Policy lets no request out and no other script in."""
    uid = count()
    script, style = (_asset(name) for name in ("report.js", "report.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # After the summary, which comes first on a phone and on paper; a wide window shows it at the side.
    contents = _contents(document.sections) if document.contents else ""
    first, *rest = (_section(one, uid) for one in document.sections)
    body = "".join([first, contents, *rest])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="generator" content="covidviz">\n'
        f"<title>{_e(document.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<div class="page{" with-contents" if contents else ""}">\n'
        f'<header><h1 dir="auto">{_e(document.title)}</h1><p class="sub">{_e(document.subtitle)}</p></header>\n'
        f"<main>\n{body}</main>\n</div>\n<script>{script}</script>\n</body>\n</html>\n"
    )


@lru_cache(maxsize=4)
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _e(text: str) -> str:
    return html.escape(str(text))


def _contents(sections: Sequence[Section]) -> str:
    items = "".join(
        f'<li{" class=deep" if one.level > 2 else ""}><a href="#{one.id}">{_e(one.title)}</a></li>' for one in sections
    )
    return f'<nav aria-label="Contents"><h2>Contents</h2><ol>{items}</ol></nav>\n'


def _section(one: Section, uid: Any) -> str:
    blocks = "\n".join(_DRAW[type(block)](block, uid) for block in one.blocks)
    return (
        f'<section id="{one.id}" aria-labelledby="t-{one.id}"><h{one.level} id="t-{one.id}" dir="auto">{_e(one.title)}'
        f"</h{one.level}>\n{blocks}\n</section>\n"
    )


def _text(one: Text, uid: Any) -> str:  # noqa: ARG001
    return f"<p{f' class={one.kind}' if one.kind else ''}>{_e(one.text)}</p>"


def _items(one: Items, uid: Any) -> str:  # noqa: ARG001
    return f"<ul>{''.join(f'<li>{_e(item)}</li>' for item in one.items)}</ul>"


def _note(one: Note, uid: Any) -> str:  # noqa: ARG001
    sign = f'<span aria-hidden="true">{SIGNS[one.severity]}</span> '
    title = f"<b>{sign}{_e(one.title)}</b>" if one.title else sign
    kind = f'class="note {one.severity}" role="note" aria-label="{WORDS[one.severity]}"'
    return f"<div {kind}>{title}{_e(one.text)}</div>"


def _table(one: Table, uid: Any) -> str:  # noqa: ARG001
    def cell(tag: str, k: int, text: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{' class=n' if k in one.numbers else ''}{scope}>{_e(text)}</{tag}>"

    rows = []
    for k, row in enumerate(one.rows):
        if k in one.groups:
            rows.append(
                f'<tr class="group"><th colspan="{len(one.head)}" scope="rowgroup">{_e(one.groups[k])}</th></tr>'
            )
        marked = ' class="marked"' if k in one.marked else ""
        rows.append(f"<tr{marked}>{''.join(cell('td', c, text) for c, text in enumerate(row))}</tr>")
    caption = f"<caption>{_e(one.caption)}</caption>" if one.caption else ""
    head = "".join(cell("th", k, text) for k, text in enumerate(one.head))
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{_e(one.caption or "table")}"><table>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _charts(one: Charts, uid: Any) -> str:
    drawn = "".join(f'<div class="chart">{drawing.svg(str(next(uid)))}</div>' for drawing in one.drawings)
    kind = " wide-ones" if one.wide else " three" if len(one.drawings) % 3 == 0 else ""
    return f'<figure><div class="charts{kind}">{drawn}</div><figcaption>{_e(one.caption)}</figcaption></figure>'


def _gallery(one: Gallery, uid: Any) -> str:  # noqa: ARG001
    inside = f'<div class="shots">{"".join(_shot(picture) for picture in one.pictures)}</div>'
    if not one.pictures:
        inside = f'<p class="small">{_e(one.empty)}</p>'
    return f'<div class="gallery"><p class="name">{_e(one.title)}</p>{inside}</div>'


def _shot(one: Picture) -> str:
    if one.xray is None:
        stack = '<span class="gone">the image file<br>can not be shown</span>'
    else:
        heat = f'<img class="heat" src="{_data(one.heat)}" alt="">' if one.heat else ""
        # As tall as the frame or as wide as it, whichever comes first.
        size = f"aspect-ratio:{one.width}/{one.height};{'height' if one.height >= one.width else 'width'}:100%"
        stack = f'<span class="fit" style="{size}"><img src="{_data(one.xray)}" alt="{_e(one.alt)}">{heat}</span>'
    verdict = ""
    if one.right is not None:
        word = "right" if one.right else "wrong"
        verdict = f'<span class="{word}"><b class="{word}">{"✓" if one.right else "✕"} {word}</b></span>, '
    lines = "<br>".join(f"{verdict if k == 0 else ''}{_e(line)}" for k, line in enumerate(one.lines))
    focus = ' tabindex="0"' if one.heat else ""
    return f'<figure class="shot"><span class="stack"{focus}>{stack}</span><figcaption>{lines}</figcaption></figure>'


def _data(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def _tiles(one: Tiles, uid: Any) -> str:  # noqa: ARG001
    tiles = "".join(
        f'<div class="tile"><span>{_e(tile.what)}</span><b>{_e(tile.value)}</b><small>{_e(tile.more)}</small></div>'
        for tile in one.tiles
    )
    return f'<div class="tiles">{tiles}</div>'


def _code(one: Code, uid: Any) -> str:  # noqa: ARG001
    text = f"<pre>{_e(one.text)}</pre>"
    if one.folded:
        return f"<details><summary>{_e(one.title)}</summary>{text}</details>"
    return f"<p>{_e(one.title)}</p>{text}" if one.title else text


_DRAW: dict[type[Block], Callable[[Any, Any], str]] = {
    Text: _text, Items: _items, Note: _note, Table: _table, Charts: _charts, Gallery: _gallery, Tiles: _tiles,
    Code: _code,
}  # fmt: skip
