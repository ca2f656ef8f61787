"""What to do about a run that did not end well, in a sentence or two. No streamlit."""

from __future__ import annotations

import re

from covidviz.store.status import Status

__all__ = ["advice"]

# What an error says, and what helps; the first that fits counts.
_HELPS = (
    (r"\bnan\b|not-a-number|infinite|diverg", "Clone it with a learning rate ten times smaller."),
    (r"out of memory|cannot allocate|can't allocate|killed", "Clone it with a smaller batch or smaller images."),
    (r"no space left|disk is full|disk full", "Free some disk space (see the System page), then try again."),
    (r"unreadable|can(not| not|'t) be read|no images|no such file|missing", "See to the files named, then try again."),
    (r"cuda|driver|device", "The System page says what is wrong with the device. Clone it to train on another one."),
)  # fmt: skip


def advice(status: Status, has_checkpoint: bool) -> str:
    """Plain text; empty where there is nothing to do.

    Args:
        has_checkpoint: whether the run can go on from where it was.
    """
    if status.state == "lost":
        then = (
            "Resume goes on from its last checkpoint." if has_checkpoint else "Try again starts it from the beginning."
        )
        return f"Its process is gone: the machine was switched off, ran out of memory, or somebody ended it. {then}"
    if status.state == "broken":
        return "Its other files are shown as far as they can be read. Delete it on the Runs page if it is of no use."
    if status.state != "failed":
        return ""
    for pattern, help_ in _HELPS:
        if re.search(pattern, status.error or "", re.IGNORECASE):
            return help_
    again = (
        "Resume goes on from its last checkpoint" if has_checkpoint else "Try again starts the same settings once more"
    )
    return f"{again}; Clone lets you change them first."
