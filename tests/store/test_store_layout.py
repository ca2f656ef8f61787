"""Run ids."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from covidviz.store.layout import is_run_id, new_run_id, slug


@given(st.text(max_size=300))
def test_every_name_gives_a_safe_run_id(name: str) -> None:
    run_id = new_run_id(name)
    assert is_run_id(run_id)
    assert len(run_id) <= 80
    assert run_id.isascii()
    assert "/" not in run_id


def test_an_id_says_when_and_what() -> None:
    now = time.mktime((2026, 11, 20, 9, 5, 7, 0, 0, -1))
    assert new_run_id("VGG-16, gamma 2.5!", now).startswith("20261120-090507-vgg-16-gamma-2-5-")
    assert slug("Größe ø") == "groe"
    assert slug("肺") == "run"
    assert len({new_run_id("same", now) for _ in range(50)}) > 45


def test_what_is_no_id() -> None:
    good = "20261120-090507-a-00ff"
    assert is_run_id(good)
    for bad in (
        "",
        ".trash",
        "..",
        f"{good}/",
        f"../{good}",
        f"{good}\n",
        good.upper(),
        "20261120-090507--00ff",
        "a" * 50,
    ):
        assert not is_run_id(bad)
