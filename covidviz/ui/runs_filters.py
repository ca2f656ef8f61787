"""Above the table of runs: search, states, filters by any setting that differs, the metric, grouping, columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import streamlit as st

from covidviz.evaluation.metric_names import metric_name
from covidviz.ui import runs_link, runs_table
from covidviz.ui.runs_link import View
from covidviz.ui.runs_table import ARCHIVED, COLUMNS, FIXED, Table
from covidviz.ui.text import STATES, md, number, shorten, state_text

__all__ = ["group_summary", "toolbar"]

TEXT, STATE, METRIC, GROUP, SHOWN = (f"runs_{name}" for name in ("text", "states", "metric", "group", "columns"))
FIELD = "runs_is_{}".format
FEW = 8  # values that are offered side by side; more are searched
_BINS = 24
_OWN = ""


def toolbar(table: Table, view: View) -> None:
    """The widgets show what the link says; each puts its change there."""
    _search(table, view)
    _states(table, view)


def _counted(table: Table, view: View) -> str:
    n = len(runs_table.matching(table, view))
    if view.narrowed:
        return f"{n:,} of {len(table.ids):,} runs"
    return "1 run" if n == 1 else f"{n:,} runs"


def _set(key: str, value: Any) -> None:
    # Only where it differs: setting a text that is being typed would take away what came after it.
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _change(name: str, key: str) -> None:
    value = st.session_state[key]
    change: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value or ""}
    runs_link.change(replace(runs_link.current(), **change))


def _search(table: Table, view: View) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="runs_tools", gap="small"):
        _set(TEXT, view.text)
        st.text_input(
            "Find runs", key=TEXT, type="search", placeholder="Find by name, network, loss, tag", live="200ms",
            label_visibility="collapsed", width=252, on_change=_change, args=("text", TEXT),
        )  # fmt: skip
        _filter(table, view)
        options = [_OWN, *table.metrics]
        _set(METRIC, view.metric if view.metric in options else _OWN)
        st.selectbox(
            "Metric", options, key=METRIC, width=190, label_visibility="collapsed", icon=":material/show_chart:",
            format_func=lambda name: metric_name(name) if name else "Monitored metric",
            on_change=_change, args=("metric", METRIC),
        )  # fmt: skip
        if table.facets:
            fields = ["", *table.facets]
            _set(GROUP, view.group if view.group in fields else "")
            st.selectbox(
                "Group by", fields, key=GROUP, width=170, label_visibility="collapsed", icon=":material/workspaces:",
                format_func=lambda field: f"By {_lower(table.facets[field].label)}" if field else "Not grouped",
                on_change=_change, args=("group", GROUP),
            )  # fmt: skip
        _columns(view)


def _lower(label: str) -> str:
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _states(table: Table, view: View) -> None:
    counts = Counter(state for state, away in zip(table.states, table.archived, strict=True) if not away)
    options = [state for state in (*STATES, *sorted(set(counts).difference(STATES))) if counts[state]]
    if away := sum(table.archived):
        counts[ARCHIVED] = away
        options.append(ARCHIVED)
    with st.container(horizontal=True, vertical_alignment="center", key="runs_filters", gap="small"):
        _set(STATE, [state for state in view.states if state in options])
        st.pills(
            "State", options, selection_mode="multi", key=STATE, label_visibility="collapsed", wrap=True,
            format_func=lambda state: f"{state_text(state).label} {counts[state]:,}", on_change=_change,
            args=("states", STATE), width="content",
        )  # fmt: skip
        if view.narrowed:
            for field, values in view.filters:
                label = md(table.facets[field].label if field in table.facets else shorten(field, 24))
                words = md(shorten(", ".join(values), 40))
                st.button(
                    f"{label}: {words}", key=f"runs_drop_{field}", icon=":material/close:", type="tertiary",
                    on_click=lambda field=field: runs_link.change(runs_link.current().only(field, ())),
                )  # fmt: skip
            st.button("Clear", key="runs_clear", type="tertiary", icon=":material/filter_alt_off:", on_click=_clear)
        st.caption(_counted(table, view), width="content")


def _clear() -> None:
    runs_link.change(replace(runs_link.current(), text="", states=(), filters=()))


def _filter(table: Table, view: View) -> None:
    if not table.facets:
        return  # all runs have the same settings
    n = sum(len(values) for _, values in view.filters)
    label = f"Filter {n}" if n else "Filter"
    with st.popover(label, icon=":material/filter_list:", key="runs_filter", width=116):
        for field, facet in table.facets.items():
            key = FIELD(field)
            _set(key, [value for value in view.wanted(field) if value in facet.counts])
            common: dict[str, Any] = {"key": key, "on_change": _pick_values, "args": (field, key)}
            text = partial(_with_count, facet.counts, md if len(facet.counts) <= FEW else str)

            if len(facet.counts) <= FEW:
                st.pills(md(facet.label), list(facet.counts), selection_mode="multi", format_func=text, **common)
            else:
                st.multiselect(
                    md(facet.label), list(facet.counts), format_func=text, filter_mode="contains",
                    placeholder=f"Any of {len(facet.counts)}", **common,
                )  # fmt: skip


def _with_count(counts: dict[str, int], shown: Callable[[str], str], value: str) -> str:
    return f"{shown(value)} ({counts[value]:,})"


def _pick_values(field: str, key: str) -> None:
    runs_link.change(runs_link.current().only(field, tuple(st.session_state[key])))


def _columns(view: View) -> None:
    choosable = [name for name in COLUMNS if name not in FIXED]
    with st.popover("Columns", icon=":material/view_column:", key="runs_choose_columns"):
        shown = runs_table.usual() if view.columns is None else view.columns
        _set(SHOWN, [name for name in choosable if name in shown])
        st.pills(
            "Columns besides state and name", choosable, selection_mode="multi", key=SHOWN, on_change=_pick_columns,
            format_func=lambda name: md(COLUMNS[name].label),
        )  # fmt: skip
        if view.columns is not None:
            st.button("The usual ones", key="runs_usual_columns", type="tertiary", on_click=_usual_columns)


def _pick_columns() -> None:
    names = tuple(st.session_state[SHOWN])
    runs_link.change(replace(runs_link.current(), columns=names or FIXED))


def _usual_columns() -> None:
    runs_link.change(replace(runs_link.current(), columns=None))


# Groups


def group_summary(table: Table, view: View) -> None:
    """One line per value of the setting that runs are grouped by: how many, and how their metric is spread."""
    if view.group not in table.facets:
        return
    # Its own filter does not count, so that one can go from group to group.
    found = runs_table.groups(table, runs_table.matching(table, view, but=view.group), view.group)
    if not found:
        return
    values = [value for group in found for value in group.values]
    low, high = min(values, default=0.0), max(values, default=1.0)
    wanted = view.wanted(view.group)
    label = f"{metric_name(view.metric)}" if view.metric else table.own_metric or "metric"
    frame = pa.table(
        {
            "value": [group.value for group in found],
            "runs": [group.n for group in found],
            "mean": [group.mean for group in found],
            "spread": ["" if group.spread is None else f"± {number(group.spread)}" for group in found],
            "best": pa.array([group.best(view.metric or label) for group in found], pa.float64()),
            "where": [_histogram(group.values, low, high) for group in found],
            "pick": ["Show all" if group.value in wanted else "Show" for group in found],
        }
    )

    def pick() -> None:
        click = st.session_state["runs_group_pick"]
        if click and click["row"] < len(found):
            value = found[click["row"]].value
            runs_link.change(view.only(view.group, () if value in wanted else (value,)))

    config = st.column_config
    with st.container(key="runs_groups"):
        st.dataframe(
            frame, key="runs_group_table", hide_index=True, row_height=35, height=38 + 35 * min(len(found), 5),
            alt=f"Runs by {table.facets[view.group].label}", placeholder="",
            column_config={
                "value": config.TextColumn(table.facets[view.group].label, width=190),
                "runs": config.NumberColumn("Runs", width=70),
                "mean": config.NumberColumn(f"Mean {label}", format="%.3f", width=130, help="Of the best of each run."),
                "spread": config.TextColumn("Spread", width=84, help="Standard deviation between the runs."),
                "best": config.NumberColumn("Best", format="%.3f", width=70),
                "where": config.BarChartColumn(
                    f"{number(low, 2)} to {number(high, 2)}", width=220, y_min=0,
                    help="How many runs reached which value; the same scale in every line.",
                ),
                "pick": config.ButtonColumn("", width=90, type="tertiary", on_click=pick, key="runs_group_pick"),
            },
        )  # fmt: skip


def _histogram(values: tuple[float, ...], low: float, high: float) -> list[int]:
    bins = [0] * _BINS
    for value in values:
        bins[min(_BINS - 1, int(_BINS * (value - low) / (high - low)) if high > low else 0)] += 1
    return bins
