"""The Compare page as AppTest sees it, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.store.index import RunIndex
from covidviz.store.reader import Run
from covidviz.ui import nav
from covidviz.ui.compare_data import Compared

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"


def page(**params: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(params)
    at.switch_page(nav.COMPARE).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    parts = [*at.title, *at.subheader, *at.markdown, *at.error, *at.warning, *at.info, *at.caption]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def component(at: AppTest, key: str) -> dict[str, Any]:
    given = [node.proto.json for node in at.get("bidi_component") if node.proto.id.endswith(f"-{key}")]
    return json.loads(given[0]) if given else {}


def link(at: AppTest, key: str) -> str:
    """A value of the link, which AppTest gives as a list until a script has written it."""
    value = at.query_params[key]
    return value if isinstance(value, str) else value[0]


def table(at: AppTest, column: str) -> pd.DataFrame:
    """The table with this column."""
    return next(frame.value for frame in at.dataframe if column in frame.value)


def write(runs: Path, i: int, state: str = "completed", **settings: Any) -> str:
    return write_synthetic_run(runs, i, state, artefacts=True, **settings).name


def compared(runs: Path, *ids: str) -> list[Compared]:
    known = {row.run_id: row for row in RunIndex(runs).refresh()}
    return [Compared(i, known[run_id], Run(runs / run_id)) for i, run_id in enumerate(ids, start=1)]
