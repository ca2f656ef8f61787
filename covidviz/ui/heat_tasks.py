"""Work on heat maps that pages start as processes of their own: other methods, lung masks, the sanity check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covidviz.catalog import CAM_METHODS
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import tasks
from covidviz.ui.text import shorten

__all__ = ["check", "checking", "find_lungs", "finding", "otherwise", "said", "work"]

WORK = ("otherwise", "masks")  # what the viewer speaks of


def otherwise(run: Run, split: str, sample_id: str, methods: Sequence[str]) -> None:
    """Explain one image by other methods, unless that is being done for another one.

    Raises:
        StoreError: it can't be started.
    """
    wanted = [name for name in methods if name in CAM_METHODS and name != "grad-cam"]
    if wanted and split in layout.SPLITS:
        _start(_name("otherwise", run), "explain-otherwise", str(run.dir), split, sample_id, *wanted)


def find_lungs(run: Run, split: str) -> None:
    """Find the lungs in the images of a split.

    Raises:
        StoreError: it can't be started.
    """
    if split in layout.SPLITS:
        _start(_name("masks", run), "masks", str(run.dir), split)


def check(run: Run) -> None:
    """Make the sanity check of a run.

    Raises:
        StoreError: it can't be started.
    """
    _start(_name("sanity", run), "sanity", str(run.dir))


def finding(run: Run) -> tasks.Task | None:
    """The search for lungs; None where there is none or it ended well."""
    return _look("masks", run)


def checking(run: Run) -> tasks.Task | None:
    """The sanity check; None where there is none or it ended well."""
    return _look("sanity", run)


def work(run: Run) -> dict[str, Any] | None:
    """What the viewer says of what it asked for: `kind`, `busy`, `line`, `share`, `failed`; None where nothing is."""
    found = [(kind, task) for kind in WORK if (task := _look(kind, run)) is not None]
    if not found:
        return None
    kind, task = next(((kind, task) for kind, task in found if task.alive), found[0])
    return {"kind": kind, **said(task)}


def said(task: tasks.Task) -> dict[str, Any]:
    """What a browser shows of a task."""
    failed = shorten(task.failed, 300) if task.failed else None
    return {"busy": task.alive, "line": shorten(task.line or "starting", 120), "share": task.share, "failed": failed}


def _name(kind: str, run: Run) -> str:
    return f"{kind}-{run.id}"


def _look(kind: str, run: Run) -> tasks.Task | None:
    task = tasks.look(_name(kind, run))
    return task if task is not None and (task.alive or task.failed) else None


def _start(name: str, *arguments: str) -> None:
    if (task := tasks.look(name)) is None or not task.alive:
        tasks.forget(name)
        tasks.start(name, *arguments)
