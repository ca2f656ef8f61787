"""Reading runs and writing their report where it was asked for."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from covidviz.errors import InputError
from covidviz.report.blocks import Document, Text
from covidviz.report.card import card
from covidviz.report.facts import gather
from covidviz.report.html import page
from covidviz.report.markdown import markdown
from covidviz.report.options import Options
from covidviz.report.sections import report
from covidviz.store.files import replacing, saving

__all__ = ["SUFFIXES", "make_report"]

SUFFIXES = (".html", ".md", ".zip")


def make_report(
    run_dirs: Sequence[Path], out: Path, options: Options | None = None, *, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Write the report of completed runs.

    Args:
        out: `.html`: one file; `.md`: Markdown, with its pictures in a folder of the same name and `_files`; `.zip`:
            these two in one file.

    Returns:
        `out`, `format`, `kind` (report or card), `bytes` (of all files), `files`, `runs` (ids), `title`, `summary`.

    Raises:
        InputError: another suffix, no run, a run that can't be in a report, or several for a model card.
        StoreError: a run's files don't fit together, or `out` can't be written.
    """
    chosen = options or Options()
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"out: {str(out)!r} given, accepted: a file name that ends in {', '.join(SUFFIXES)}")
    if not run_dirs:
        raise InputError("no run given, accepted: at least one completed run")
    if chosen.card and len(run_dirs) > 1:
        raise InputError(f"{len(run_dirs)} runs given, accepted for a model card: one run")
    runs = gather(run_dirs, tell)
    document = card(runs[0], chosen) if chosen.card else report(runs, chosen, tell)
    tell("writing: 95 %")
    written = _written(out, document)
    return {
        "out": str(out), "format": out.suffix.lower().removeprefix("."), "kind": "card" if chosen.card else "report",
        "bytes": sum(map(len, written.values())), "files": [str(path) for path in written],
        "runs": [one.run.id for one in runs], "title": document.title, "summary": _lead(document),
    }  # fmt: skip


def _lead(document: Document) -> str:
    texts = [block for section in document.sections for block in section.blocks if isinstance(block, Text)]
    return next((one.text for one in texts if one.kind == "lead"), texts[0].text if texts else "")


def _written(out: Path, document: Document) -> dict[Path, bytes]:
    kind = out.suffix.lower()
    if kind == ".html":
        files = {out: page(document).encode("utf-8", "replace")}
    elif kind == ".md":
        folder = out.with_name(f"{out.stem}_files")
        text, pictures = markdown(document, f"{_quoted(folder.name)}/")
        files = {out: text.encode("utf-8", "replace"), **{folder / name: png for name, png in pictures.items()}}
    else:
        text, pictures = markdown(document, "figures/")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{out.stem}.md", text.encode("utf-8", "replace"))
            for name, png in pictures.items():
                archive.writestr(f"figures/{name}", png)
        files = {out: packed.getvalue()}
    for path, content in files.items():
        with saving(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return files


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name)
