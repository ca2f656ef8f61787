"""The line on the Run page that says what a run did not compute again."""

from __future__ import annotations

from typing import Any

import pytest

from covidviz.store.status import Status
from covidviz.ui.kept_line import kept_line


def part(**changes: Any) -> dict[str, Any]:
    return {"images": 9, "variants": 1, "bytes": 9, "computed": True, "seconds": 1.0, "key": "k", **changes}


def line(state: str = "completed", **document: Any) -> str | None:
    whole = {"before": "layer4", "bytes": 1_200_000_000, "saved_s": 720.0, "splits": {"train": part(), "val": part()}}
    return kept_line(Status(state, extra={"frozen_cache": {**whole, **document}}))


def test_it_says_what_was_kept_and_what_that_saved() -> None:
    assert line() == "Frozen part before layer4 computed once: 1.20 GB in the cache, saved about 12 min"
    assert line("running") == "Frozen part before layer4 computed once: 1.20 GB in the cache, saves about 12 min"
    for seconds, text in ((2.6, "3 s"), (89, "89 s"), (95, "2 min"), (7200, "2.0 h")):
        assert (line(saved_s=seconds) or "").endswith(f"saved about {text}")
    found = {name: part(computed=False) for name in ("train", "val", "test")}
    assert line(splits=found) == "Frozen part before layer4 taken from the cache: 1.20 GB, saved about 12 min"


def test_of_which_images_where_it_is_not_all() -> None:
    some = line(splits={"val": part(), "test": part()})
    assert some is not None
    assert some.startswith("Frozen part before layer4 computed once for val and test: ")


@pytest.mark.parametrize("saved", [None, 0, 0.4, "much"])
def test_nothing_is_promised_that_is_not_known(saved: object) -> None:
    assert line(saved_s=saved) == "Frozen part before layer4 computed once: 1.20 GB in the cache"


@pytest.mark.parametrize("broken", [None, 3, [], {}, {"splits": {}}, {"splits": 3, "bytes": 1}, {"splits": {"a": 1}}])
def test_no_line_without_a_document(broken: object) -> None:
    assert kept_line(Status("completed", extra={"frozen_cache": broken})) is None
    assert kept_line(Status("completed")) is None
