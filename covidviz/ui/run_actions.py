"""What can be done with runs from any page: stop, resume, edit, archive, delete and undo. All are callbacks.

A refusal is said as a toast; nothing here raises for what a person may do at the wrong moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.jobs import submit
from covidviz.jobs.queue import request_stop
from covidviz.paths import runs_dir
from covidviz.store import layout, runs
from covidviz.store.reader import Run
from covidviz.ui import flash, queries
from covidviz.ui.state import known_run

__all__ = [
    "DELETED", "archive", "delete", "edit", "forget_deleted", "in_trash", "restore", "resume", "stop", "tag",
    "undo_delete",
]  # fmt: skip

DELETED = "runs_deleted"  # session: what was deleted, a list of ids each time, for Undo


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
    queries.index().refresh()  # so that the page shows it at once
    return done


def stop(run_ids: Sequence[str]) -> None:
    """Ask the runs to stop: queued ones at once, running ones at their next batch."""
    if done := _each(run_ids, request_stop):
        flash.say("Stopping." if len(done) == 1 else f"Stopping {len(done)} runs.")


def resume(run_ids: Sequence[str]) -> None:
    """Queue the runs again; each goes on from its last checkpoint."""
    if done := _each(run_ids, submit.resume):
        flash.say("Queued again." if len(done) == 1 else f"{len(done)} runs queued again.")


def edit(run_id: str, *, was: Mapping[str, str], **fields: str) -> dict[str, str] | None:
    """Save `name` and `note` as they were typed, unless somebody else saved other ones meanwhile.

    Args:
        was: the fields as they were when typing began. What the person did not change is left as it is now.

    Returns:
        The fields that both changed, as they are saved now: nothing was saved then. Empty when it was; None where the
        run is gone or could not be written (the person was told).
    """
    mine = {field: value.strip() for field, value in fields.items() if value.strip() != was[field].strip()}
    theirs: dict[str, str] = {}

    def save(run_dir: Path) -> None:
        now = Run(run_dir).notes()
        theirs.update({
            field: now[field] for field in mine if now[field].strip() not in (was[field].strip(), mine[field])
        })  # fmt: skip
        if mine and not theirs:
            runs.edit_notes(run_dir, **mine)

    if not _each([run_id], save):
        return None
    if theirs:
        flash.say(f"The {' and the '.join(theirs)} changed meanwhile; yours is not saved yet.", "note")
    else:
        flash.say("Saved.")
    return theirs


def tag(run_ids: Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """Add tags to all the runs, and take others away; the rest of their tags stays."""

    def save(run_dir: Path) -> None:
        kept = [tag for tag in Run(run_dir).notes()["tags"] if tag not in remove]
        runs.edit_notes(run_dir, tags=[*kept, *(tag[:60] for tag in add)])

    if (add or remove) and (done := _each(run_ids, save)):
        flash.say("Tags saved." if len(done) == 1 else f"Tags of {len(done)} runs saved.")


def archive(run_ids: Sequence[str], archived: bool) -> None:
    """Put the runs away (they stay on disk), or back into the table."""
    _each(run_ids, lambda run_dir: runs.edit_notes(run_dir, archived=archived))


def delete(run_ids: Sequence[str]) -> None:
    """Move the runs to the trash and remember them for Undo."""
    if done := _each(run_ids, runs.delete_run):
        st.session_state[DELETED] = [*st.session_state.get(DELETED, []), done]


def in_trash(run_id: str) -> bool:
    """Whether the run was deleted and can be brought back."""
    return layout.is_run_id(run_id) and (runs_dir() / layout.TRASH / run_id).is_dir()


def restore(run_ids: Sequence[str]) -> None:
    """Bring deleted runs back."""
    for run_id in run_ids:
        with _said():
            runs.restore_run(runs_dir(), run_id)
    queries.index().refresh()


def undo_delete() -> None:
    """Bring back what was deleted last in this session."""
    batches = st.session_state.get(DELETED, [])
    st.session_state[DELETED] = batches[:-1]
    restore(batches[-1] if batches else [])


def forget_deleted() -> None:
    """Offer no Undo any more; the runs stay in the trash."""
    st.session_state[DELETED] = []
