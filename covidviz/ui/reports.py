"""Reports that pages have made in the background: where they are kept, and how far they are. No streamlit.

They lie among the pictures of the cache folder, and can be made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from covidviz.paths import cache_dir, runs_dir
from covidviz.report.facts import MOST, refusal
from covidviz.report.options import Options
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import tasks

__all__ = ["FORMS", "Asked", "able", "command", "forget", "ready", "start", "task"]

# What can be had: words for people, the ending of the file, its type, and whether it is a model card.
FORMS = {
    "html": ("Web page", ".html", "text/html", False),
    "zip": ("Markdown + PNG", ".zip", "application/zip", False),
    "card": ("Model card", ".html", "text/html", True),
}
KEPT = 20  # files, the newest


@dataclass(frozen=True)
class Asked:
    """One report: of these runs, in one of `FORMS`."""

    runs: tuple[str, ...]
    form: str
    title: str = ""
    patient_ids: bool = False

    @property
    def options(self) -> Options:
        return Options(self.title, self.patient_ids, FORMS[self.form][3])

    @property
    def key(self) -> str:
        """Another one as soon as a run has another name or note, so that no old report is handed out."""
        notes = [Run(runs_dir() / run_id).version(layout.NOTES) for run_id in self.runs]
        return hashlib.blake2s(repr((self, notes)).encode(), digest_size=10).hexdigest()

    @property
    def file(self) -> Path:
        return _folder() / f"{self.key}{FORMS[self.form][1]}"

    @property
    def name(self) -> str:
        """What the browser saves it as."""
        what = "model-card" if FORMS[self.form][3] else "report"
        which = self.runs[0] if len(self.runs) == 1 else f"{len(self.runs)}-runs"
        return f"covidviz-{what}-{which}{FORMS[self.form][1]}"


def _folder() -> Path:
    return cache_dir() / "pictures" / "reports"


def able(run_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs that can be in a report (the first `MOST`), and why the others can't, a sentence each."""
    why = {run_id: refusal(runs_dir() / run_id) for run_id in run_ids}
    good = [run_id for run_id, reason in why.items() if reason is None]
    said = [f"{reason[:1].upper()}{reason[1:]}." for reason in why.values() if reason is not None]
    if len(good) > MOST:
        said.append(f"At most {MOST} runs are reported together; {len(good) - MOST} are left out.")
    return good[:MOST], said


def start(asked: Asked) -> None:
    """Have it made, unless it is being made.

    Raises:
        StoreError: it can't be started.
    """
    if (known := task(asked)) is not None and known.alive:
        return
    forget(asked)
    with suppress(OSError):
        old = sorted(_folder().glob("*.*"), key=lambda one: one.stat().st_mtime)
        for one in old[: -KEPT + 1]:
            one.unlink(missing_ok=True)
    tasks.start(_name(asked), *command(asked))


def command(asked: Asked) -> list[str]:
    """What `covidviz.ui.background` is told."""
    flags = ["card" if asked.options.card else "report", "ids" if asked.patient_ids else "no-ids"]
    return ["report", str(asked.file), *flags, asked.title, *(str(runs_dir() / run_id) for run_id in asked.runs)]


def task(asked: Asked) -> tasks.Task | None:
    """How it is going; None where nobody asked for it."""
    return tasks.look(_name(asked))


def ready(asked: Asked) -> Path | None:
    """The file, once it is made."""
    known = task(asked)
    return asked.file if known is not None and not known.alive and not known.failed and asked.file.is_file() else None


def forget(asked: Asked) -> None:
    """As if nobody had asked."""
    tasks.forget(_name(asked))
    with suppress(OSError):
        asked.file.unlink(missing_ok=True)


def _name(asked: Asked) -> str:
    return f"report-{asked.key}"
