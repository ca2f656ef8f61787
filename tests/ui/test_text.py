"""Values as people read them."""

from __future__ import annotations

import pytest

from covidviz.store import layout
from covidviz.ui.text import STATES, ago, duration, epoch_of, md, number, percent, shorten, state_text, when


@pytest.mark.parametrize(
    "hostile",
    ["**bold**", "![](http://evil.test/x.png)", "`code`", "<img src=x>", "$x$", ":red[no]", "# title", "a|b", "~s~"],
)
def test_md_escapes_every_mark(hostile: str) -> None:
    escaped = md(hostile)
    bare = escaped.replace("\\", "").replace("\u2060", "")
    assert bare == hostile
    for at, character in enumerate(escaped):
        if character in "*![]()`<>$:#|~":
            assert escaped[at - 1] == "\\", f"{character} is free in {escaped}"


@pytest.mark.parametrize("address", ["http://evil.test", "HTTPS://evil.test", "www.evil.test", "someone@evil.test"])
def test_md_makes_no_link_of_an_address(address: str) -> None:
    # GitHub Markdown finds addresses after escapes are resolved: only something in between helps.
    assert "\u2060" in md(address)


def test_md_is_one_line() -> None:
    assert "\n" not in md("first\n\n# second")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (float("nan"), "–"), (-1, "–"), (4.21, "4.2 s"), (42, "42 s"), (185, "3 min 05 s"),
     (7620, "2 h 07 min"), (274_000, "3 d 4 h")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_and_shares() -> None:
    assert (number(0.73449), number(None), number(float("inf"))) == ("0.734", "–", "–")
    assert (percent(0.734), percent(None), percent(0.5, 1)) == ("73 %", "–", "50.0 %")


@pytest.mark.parametrize(
    ("passed", "text"),
    [(3, "just now"), (60, "1 minute ago"), (600, "10 minutes ago"), (7200, "2 hours ago"), (90_000, "yesterday"),
     (300_000, "3 days ago")],
)  # fmt: skip
def test_times_ago(passed: float, text: str) -> None:
    now = 1_800_000_000.0
    assert ago(now - passed, now) == text


def test_times_of_any_form() -> None:
    assert epoch_of("1970-01-02T00:00:00+00:00") == epoch_of("1970-01-02T00:00:00") == epoch_of(86_400) == 86_400
    assert when("yesterday") is when(None) is when(float("inf")) is None
    assert ago(0, 1_800_000_000.0).endswith("1970")


def test_shorten() -> None:
    assert shorten("a  b\nc", 10) == "a b c"
    assert shorten("x" * 200, 20) == "x" * 19 + "…"


def test_every_state_has_a_shape_and_a_word() -> None:
    assert set(STATES) == {*layout.STATES, *layout.DERIVED_STATES}
    assert len({look.shape for look in STATES.values()}) == len(STATES)
    assert all(look.word == state for state, look in STATES.items())
    assert {state for state, look in STATES.items() if look.live} == {"queued", "running"}
    assert state_text("paused").word == "paused"
