"""One widget per TrainConfig field: range, step and help from `knob`, value from the form, changes back to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import streamlit as st

from covidviz.config import TrainConfig, knob
from covidviz.errors import ConfigError
from covidviz.setting_names import LABELS
from covidviz.ui import flash
from covidviz.ui import form as forms
from covidviz.ui.form import Form
from covidviz.ui.text import md

__all__ = ["LABELS", "choice", "error", "label", "number", "ruler", "slider", "text", "toggle"]


def label(name: str) -> str:
    """The field's name for people, with its unit."""
    unit = knob(name)["unit"]
    return f"{LABELS[name]} ({unit})" if unit else LABELS[name]


def error(form: Form, name: str) -> None:
    """What is wrong with the field, right below it."""
    if sentence := form.errors.get(name):
        st.markdown(f":red[{md(sentence[:1].upper() + sentence[1:])}]")


def _common(name: str, value: Any, read: Callable[[Any], Any] = lambda raw: raw, suffix: str = "") -> dict[str, Any]:
    """Key, help and callback of the widget; what it shows is set from the form before each run.

    Where something else changed the value, the widget becomes another one. Otherwise a browser that did not show the
    new value yet would send the old one along with its next change, as if a person had chosen it again.
    """
    session = st.session_state
    counter = f"_{name}{suffix}_number"
    number = session.get(counter, 0)
    key = _key(name, suffix, number)
    if session.get(key, value) != value and forms.changed_by() != key:
        number = session[counter] = number + 1
        key = _key(name, suffix, number)
    if session.get(key) != value or key not in session:
        session[key] = value

    def changed() -> None:
        if session.get(counter, 0) != number:
            return  # late news from a widget that is there no more
        for note in forms.change(**{name: read(session[key])}, by=key):
            flash.say(note, "note")

    return {"key": key, "help": md(knob(name)["help"]), "on_change": changed}


def _key(name: str, suffix: str, number: int) -> str:
    return f"new_{name}{suffix}{f'_{number}' if number else ''}"


@cache
def _top(name: str) -> float:
    """The highest value the field accepts: one step lower where the limit itself is excluded."""
    row = knob(name)
    try:
        TrainConfig.parse({"data": ".", name: row["high"]})
    except ConfigError:
        return float(row["high"] - row["step"])
    return float(row["high"])


def slider(form: Form, name: str, *, high: float | None = None) -> None:
    """A linear slider over the field's range (or up to `high`, further for a value that lies beyond)."""
    row, value = knob(name), form[name]
    whole = isinstance(row["default"], int)
    number_type: type = int if whole else float
    digits = max(0, -Decimal(str(row["step"])).as_tuple().exponent)  # type: ignore[operator]
    top = max(min(_top(name), high or _top(name)), value)
    st.slider(
        label(name), number_type(row["low"]), number_type(top), step=number_type(row["step"]),
        format="%d" if whole else f"%.{digits}f",
        **_common(name, number_type(value), lambda raw: raw if whole else round(raw, 6)),
    )  # fmt: skip
    error(form, name)


def ruler(form: Form, name: str, stops: Sequence[float]) -> None:
    """A slider over `stops` (round values on a log scale) beside a box for any other value."""
    value = form[name]
    number_type: type = int if isinstance(knob(name)["default"], int) else float
    usable = isinstance(value, int | float) and name not in form.errors
    marks = sorted({*map(number_type, stops), *([number_type(value)] if usable else [])})
    nearest = number_type(value) if usable else number_type(forms.DEFAULTS[name])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", wrap=False):
        st.select_slider(LABELS[name], marks, format_func=_short, **_common(name, nearest, suffix="_slider"))
        st.text_input(
            f"{LABELS[name]}, typed", label_visibility="collapsed", width=72,
            **_common(name, _short(value), suffix="_typed"),
        )  # fmt: skip
    error(form, name)


def _short(value: Any) -> str:
    """`0.0003` as `3e-4`, from 0.001 up as it is, exactly (two numbers never look the same); text as it is."""
    if not isinstance(value, int | float):
        return str(value)
    exact = Decimal(repr(value))
    if value and abs(value) < 1e-3:
        return f"{exact.scaleb(-exact.adjusted()).normalize():f}e{exact.adjusted()}"
    return f"{exact.normalize():f}"


def number(form: Form, name: str, *, none: str = "") -> None:
    """A box with plus and minus; empty means None where `none` says how to call that."""
    row = knob(name)
    st.number_input(
        label(name), row["low"], row["high"], step=row["step"], placeholder=none or None,
        **_common(name, form[name], lambda raw: forms.DEFAULTS[name] if raw is None else raw),
    )  # fmt: skip
    error(form, name)


def choice(
    form: Form,
    name: str,
    options: Sequence[Any] | None = None,
    titles: Callable[[Any], str] = str,
    *,
    fallback: Any = None,
    typed: bool = False,
    placeholder: str | None = None,
    width: int | None = None,
) -> None:
    """A drop-down over `options` (default: those of the field). Options are plain text.

    Args:
        fallback: the option that stands for the default None.
        typed: accept other text than the options.
        placeholder: what an empty box says; the box can be emptied then, which means the default.
        width: in px, for a box outside the columns, whose label is only read aloud.
    """
    value = fallback if form[name] is None else form[name]
    items = list(options if options is not None else knob(name)["choices"])
    if value not in items and value not in (None, ""):
        items.append(value)
    empty: dict[str, Any] = {"index": None, "placeholder": placeholder} if placeholder else {}
    if width is not None:
        empty |= {"width": width, "label_visibility": "collapsed"}
    st.selectbox(
        label(name), items, format_func=titles, accept_new_options=typed, **empty,
        **_common(
            name,
            value if value in items else None,
            lambda raw: forms.DEFAULTS[name] if raw is None or raw == fallback else raw,
        ),
    )  # fmt: skip
    error(form, name)


def text(form: Form, name: str, *, placeholder: str = "", title: str = "") -> None:
    """A line of text; tuples are shown joined by commas, None as nothing. `title` stands in for the field's label."""
    value = form[name]
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else _short(value)
    most = TrainConfig.model_fields[name].metadata
    limit = next((m.max_length for m in most if hasattr(m, "max_length")), 2000)
    st.text_input(title or label(name), max_chars=limit, placeholder=placeholder, **_common(name, shown))
    error(form, name)


def toggle(form: Form, name: str) -> None:
    """A yes or no."""
    st.toggle(label(name), **_common(name, bool(form[name])))
    error(form, name)
