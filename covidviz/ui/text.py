"""Values as people read them: Markdown-safe text, states, durations, shares, times ago."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "STATES", "StateText", "ago", "duration", "epoch_of", "md", "number", "percent", "shorten", "state_text", "when",
]  # fmt: skip

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$<>:&])")
_ADDRESS = re.compile(r"https?(?=\\:)|www(?=\\\.)|@", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class StateText:
    """How a run state is shown: a shape and a word, so that colour is never the only sign."""

    shape: str
    word: str
    color: str  # a Streamlit colour name, for st.badge and column pills
    live: bool = False  # may change by itself

    @property
    def label(self) -> str:
        return f"{self.shape} {self.word}"


STATES: dict[str, StateText] = {
    "queued": StateText("○", "queued", "gray", live=True),
    "running": StateText("►", "running", "blue", live=True),
    "completed": StateText("✓", "completed", "green"),
    "stopped": StateText("■", "stopped", "yellow"),
    "failed": StateText("✕", "failed", "red"),
    "lost": StateText("?", "lost", "orange"),
    "broken": StateText("!", "broken", "violet"),
}


def state_text(state: str) -> StateText:
    """The look of `state`; a state this version does not know is shown by its own name."""
    return STATES.get(state) or StateText("·", state, "gray")


def md(text: object) -> str:
    """`text` for a Markdown context (titles, labels, captions, help), shown literally and on one line.

    Not for `st.text`, table cells or options of a selectbox: those show the backslashes.
    """
    escaped = _MARKUP.sub(r"\\\1", _SPACES.sub(" ", str(text)))
    # Addresses become links after the escapes are resolved; an invisible word joiner prevents that.
    return _ADDRESS.sub(lambda found: found[0] + "\u2060", escaped)


def shorten(text: object, length: int = 60) -> str:
    """`text` on one line, cut to `length` characters with an ellipsis in the place of the rest."""
    line = _SPACES.sub(" ", str(text)).strip()
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 05 s`, `2 h 07 min`, `3 d 4 h`; a dash where unknown."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def percent(share: float | None, digits: int = 0) -> str:
    """`0.734` to `73 %`; a dash where unknown."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A metric: `0.734`; a dash where unknown."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def when(value: Any) -> datetime | None:
    """A time stamp of the store (seconds since 1970, or ISO text) as an aware datetime; None where it is none."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and value:
            parsed = datetime.fromisoformat(value)
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def epoch_of(value: Any) -> float | None:
    """The same time stamp as seconds since 1970."""
    moment = when(value)
    return None if moment is None else moment.timestamp()


def ago(value: Any, now: float | None = None) -> str:
    """`just now`, `5 minutes ago`, `yesterday`, `3 days ago`, else the date."""
    moment = when(value)
    if moment is None:
        return "–"
    passed = (datetime.now(UTC).timestamp() if now is None else now) - moment.timestamp()
    if passed < 45:
        return "just now"
    for size, unit, limit in ((60, "minute", 3600), (3600, "hour", 86_400), (86_400, "day", 7 * 86_400)):
        if passed < limit:
            n = max(1, round(passed / size))
            return "yesterday" if (unit, n) == ("day", 1) else f"{n} {unit}{'s' if n > 1 else ''} ago"
    return f"{moment.astimezone():%d %b %Y}".lstrip("0")
