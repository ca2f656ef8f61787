"""What a link holds: the selected run, split, cell, order, class, epoch, image. The URL is the only place they live."""

from __future__ import annotations

import streamlit as st

from covidviz.paths import runs_dir
from covidviz.store.layout import is_run_id

__all__ = ["KEYS", "arrive", "asked_run", "current_run", "get", "known_run", "link", "params", "visit"]

KEYS = ("run", "split", "cell", "order", "seed", "cls", "pred", "source", "epoch", "fate", "area", "view", "k", "t",
        "cost", "img", "runs", "metric", "a", "b", "from", "f", "clean")  # fmt: skip


def get(key: str, accepted: object = None, default: str | None = None) -> str | None:
    """The URL's value for `key`, if it is one of `accepted` (any container of strings); else `default`."""
    value = st.query_params.get(key)
    if value is None or (accepted is not None and value not in accepted):  # type: ignore[operator]
        return default
    return value


def params(**changes: object) -> dict[str, str]:
    """The keys of the current URL with `changes` applied; None takes a key away. For page links and switch_page."""
    merged = {key: st.query_params[key] for key in KEYS if key in st.query_params}
    return {key: str(value) for key, value in {**merged, **changes}.items() if value is not None}


def link(**changes: object) -> None:
    """Change the URL once (one step for the browser's Back), keeping the other keys; None takes a key away.

    Call it in a widget's callback. A new `run` drops what belonged to the old one unless it is given too.
    """
    if "run" in changes and changes["run"] != st.query_params.get("run"):
        changes = {**dict.fromkeys(("cell", "epoch", "fate", "area", "k", "t", "cost", "img")), **changes}
    st.query_params.from_dict(params(**changes))


def asked_run() -> str | None:
    """The run named in the URL, whatever it is: show it only escaped."""
    return st.query_params.get("run") or None


def known_run(run_id: object) -> str | None:
    """`run_id` if it is the id of an existing run directory, else None. No other text ever becomes a path."""
    if not isinstance(run_id, str) or not is_run_id(run_id):
        return None
    return run_id if (runs_dir() / run_id).is_dir() else None


def current_run() -> str | None:
    """The run named in the URL, if there is such a run."""
    return known_run(asked_run())


def arrive(page: str) -> None:
    """Count the visits: the main script calls it with the page of each run."""
    if st.session_state.get("_page") != page:
        st.session_state["_page"] = page
        st.session_state["_visit"] = visit() + 1


def visit() -> int:
    """A number that changes whenever the person comes to another page of this session."""
    return int(st.session_state.get("_visit", 0))
