"""What can be done with runs from any page: stop, resume, edit, archive, delete and undo. All are callbacks.

A refusal is said as a toast; nothing here raises for what a person may do at the wrong moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.jobs import submit
from covidviz.jobs.queue import request_stop
from covidviz.paths import runs_dir
from covidviz.store import layout, runs
from covidviz.ui import flash
from covidviz.ui.state import known_run

__all__ = ["DELETED", "archive", "delete", "edit", "in_trash", "restore", "resume", "stop", "undo_delete"]

DELETED = "runs_deleted"  # session: ids deleted last, for Undo


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (CovidvizError, OSError) as error:
        flash.say(error, "error")


def _each(run_ids: Sequence[str], do: Callable[[Path], object]) -> list[str]:
    """Do it to every run that is still there; the ids for which it worked."""
    done = []
    for run_id in run_ids:
        with _said():
            if (known := known_run(run_id)) is None:
                flash.say(f"{run_id} is gone.", "note")
                continue
            do(runs_dir() / known)
            done.append(known)
    return done


def stop(run_ids: Sequence[str]) -> None:
    """Ask the runs to stop: queued ones at once, running ones at their next batch."""
    if done := _each(run_ids, request_stop):
        flash.say("Stopping." if len(done) == 1 else f"Stopping {len(done)} runs.")


def resume(run_ids: Sequence[str]) -> None:
    """Queue the runs again; each goes on from its last checkpoint."""
    if done := _each(run_ids, submit.resume):
        flash.say("Queued again." if len(done) == 1 else f"{len(done)} runs queued again.")


def edit(run_id: str, *, name: str, tags: str, note: str) -> None:
    """Save name, tags (joined by commas) and note."""
    words = [tag.strip() for tag in tags.split(",")]
    saved = {"name": name.strip(), "tags": words, "note": note}
    if _each([run_id], lambda run_dir: runs.edit_notes(run_dir, **saved)):
        flash.say("Saved.")


def archive(run_ids: Sequence[str], archived: bool) -> None:
    """Put the runs away (they stay on disk), or back into the table."""
    _each(run_ids, lambda run_dir: runs.edit_notes(run_dir, archived=archived))


def delete(run_ids: Sequence[str]) -> None:
    """Move the runs to the trash and remember them for Undo."""
    if done := _each(run_ids, runs.delete_run):
        st.session_state[DELETED] = done


def in_trash(run_id: str) -> bool:
    """Whether the run was deleted and can be brought back."""
    return layout.is_run_id(run_id) and (runs_dir() / layout.TRASH / run_id).is_dir()


def restore(run_ids: Sequence[str]) -> None:
    """Bring deleted runs back."""
    for run_id in run_ids:
        with _said():
            runs.restore_run(runs_dir(), run_id)


def undo_delete() -> None:
    """Bring back what was deleted last in this session."""
    restore(st.session_state.pop(DELETED, []))
