"""Stored reports of the data doctor, and pages that are read as text: for the tests of what shows them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from covidviz.data.doctor import CHECKS, Check, Report, content_key
from covidviz.data.doctor.keep import keep, load


def said(at: AppTest) -> str:
    parts = [*at.title, *at.subheader, *at.markdown, *at.error, *at.info, *at.caption, *at.toast, *at.button]
    texts = (f"{getattr(part, 'label', '')} {getattr(part, 'value', '')}" for part in parts)
    return "\n".join(texts).replace("\\", "").replace("\u2060", "")


def component(at: AppTest, key: str) -> dict[str, Any] | None:
    found = [one.proto for one in at.get("bidi_component") if one.proto.id.endswith(f"-{key}")]
    return json.loads(found[0].json) if found else None


def report(data: Path, column: str = "split", *checks: Check, same: list[list[str]] | None = None) -> Report:
    """A stored report with these checks; all others are fine."""
    given = {check.id: check for check in checks}
    frame = load(data, column).samples
    splits = {str(name): int(n) for name, n in frame["split"].value_counts().items()}
    every = tuple(given.get(one) or Check(one, "ok", "Nothing was found.") for one in CHECKS)
    made = Report(content_key(data, column), str(data), column, time.time(), 3.5, len(frame),
                  ["covid19", "normal", "pneumonia"], "single-label", splits, every, same=same or [])  # fmt: skip
    keep(made)
    return made
