"""Lines of JSON are written fast, and say what the slower, tolerant way says."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidviz.store import layout
from covidviz.store.files import clean, read_jsonl, to_json
from covidviz.store.reader import Run
from covidviz.store.writer import RunWriter

ODD = (
    np.float32(0.1), np.float64(math.nan), np.int64(-3), np.arange(3.0), np.bool_(True), Path("a/b"), {1.5},
    2**64, -(2**70), datetime(2026, 1, 2, tzinfo=UTC), math.inf, -math.inf, math.nan, "\ud800", -0.0,
    5e-324, 1.7976931348623157e308,
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(ODD)
KEYS = st.text(max_size=4) | st.integers(0, 9)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(KEYS, inner, max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_a_line_says_what_the_tolerant_way_says(value) -> None:
    line = to_json(value)
    assert "\n" not in line
    again = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert repr(again) == repr(json.loads(json.dumps(clean(value))))


class Kind(enum.StrEnum):
    A = "a"


@dataclasses.dataclass
class Point:
    x: int = 1


def test_objects_that_are_no_json_become_text() -> None:
    again = json.loads(to_json({"point": Point(), "kind": Kind.A, "when": datetime(2026, 1, 2, tzinfo=UTC)}))
    assert again == {"point": "test_objects", "kind": "a", "when": "2026-01-02 00:00:00+00:00"} | {
        "point": str(Point())
    }


def test_an_open_file_goes_on_where_it_was_rewound_to(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as run:
        run.metrics(1, "val", {"loss": 1.5})
        run.metrics(2, "val", {"loss": math.nan, "état": np.float32(0.5)})
        offsets = run.offsets()
        run.metrics(3, "val", {"loss": 0.5})
        run.rewind(offsets)
        run.metrics(3, "val", {"loss": 0.25})
    rows, _ = read_jsonl(tmp_path / layout.METRICS)
    assert [row["loss"] for row in rows] == [1.5, None, 0.25]
    assert Run(tmp_path).metrics()["état"].tolist()[1] == 0.5
