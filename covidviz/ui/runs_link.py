"""What the link of the Runs page holds: search, filters, metric, grouping, columns. It lives in the URL only.

The page of the last visit is kept for the session, so that coming back through the navigation shows the same runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from covidviz.ui import state

__all__ = ["View", "change", "current"]

_LAST, _VISIT = "runs_last_view", "runs_last_visit"
_LONG = 200  # characters of any one value; a link may come from anywhere


@dataclass(frozen=True)
class View:
    """Which runs are asked for, and what is shown of them. Values are anybody's text until a table knows them.

    filters: setting and its wanted values, in words. metric: of the validation split; empty: each run's own.
    columns: keys of the wanted columns; None: the usual ones.
    """

    text: str = ""
    states: tuple[str, ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    metric: str = ""
    group: str = ""
    columns: tuple[str, ...] | None = None

    def wanted(self, field: str) -> tuple[str, ...]:
        """The values that are asked for of one setting; none: any."""
        return dict(self.filters).get(field, ())

    def only(self, field: str, values: tuple[str, ...]) -> View:
        """The same with other values of one setting."""
        filters = {**dict(self.filters), field: values}
        return replace(self, filters=tuple((name, some) for name, some in filters.items() if some))

    @property
    def narrowed(self) -> bool:
        """Whether runs are left out."""
        return bool(self.text or self.states or self.filters)


def current() -> View:
    """What the link asks for; on a new visit without a word, what was asked for last."""
    view = _read()
    if st.session_state.get(_VISIT) != state.visit():
        st.session_state[_VISIT] = state.visit()
        if view == View() and (last := st.session_state.get(_LAST, view)) != view:
            change(last)
            view = last
    st.session_state[_LAST] = view
    return view


def change(view: View) -> None:
    """Put `view` into the link: one step for the browser's Back."""
    st.session_state[_LAST] = view
    params: dict[str, str | list[str]] = {
        "q": view.text,
        "state": list(view.states),
        "is": [f"{field}:{value}" for field, values in view.filters for value in values],
        "metric": view.metric,
        "by": view.group,
        "cols": "" if view.columns is None else ",".join(view.columns),
    }
    st.query_params.from_dict({key: value for key, value in params.items() if value})


def _read() -> View:
    q = st.query_params
    view = View(
        text=q.get("q", "")[:_LONG],
        states=tuple(q.get_all("state")),
        metric=q.get("metric", "")[:_LONG],
        group=q.get("by", "")[:_LONG],
        columns=tuple(q["cols"].split(",")) if q.get("cols") else None,
    )
    for pair in q.get_all("is"):
        field, _, value = pair.partition(":")
        if value and value not in view.wanted(field):
            view = view.only(field, (*view.wanted(field), value))
    return view
