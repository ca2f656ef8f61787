"""The table of all runs: built once per version of the index, filters and groups over it, and how it is shown."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import streamlit as st

from covidviz.catalog import LOSSES, MODELS
from covidviz.config import TrainConfig
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.metric_names import metric_name
from covidviz.store.index import RunSummary
from covidviz.ui import state, wording
from covidviz.ui.fields import LABELS
from covidviz.ui.runs_link import View
from covidviz.ui.text import duration, percent, shorten, state_text

__all__ = [
    "ARCHIVED", "COLUMNS", "FIXED", "OPEN", "SELECTED", "Facet", "Group", "Table", "build", "groups", "matching",
    "selected", "show", "usual",
]  # fmt: skip

SELECTED = "runs_selected"  # session: ids of the selected runs
OPEN = "runs_open"  # session: id of the run whose name was pressed
ARCHIVED = "archived"
KEY = "runs_table"
_SHOWN = "runs_shown"  # session: the visit, the ids in the rows as they were sent last, and when these changed
_SETTLE_S = 0.3
_PROBLEM = ("failed", "lost", "broken")
_POINTS = 32  # of a sparkline


@dataclass(frozen=True)
class Facet:
    """One setting that is not the same in all runs. values: in words, per run; several only for tags."""

    label: str
    values: tuple[tuple[str, ...], ...]
    counts: dict[str, int]  # in the order in which they are offered


@dataclass(frozen=True)
class Table:
    """All runs, newest first. Shared by all sessions: take rows out of it, don't write to it.

    columns: what is shown, one row per run. The rest lies beside it, row by row.
    shape: another number whenever more than progress and curves changed.
    """

    columns: pa.Table
    ids: tuple[str, ...]
    states: tuple[str, ...]
    archived: tuple[bool, ...]
    words: tuple[str, ...]
    best: tuple[float | None, ...]
    facets: dict[str, Facet]
    metrics: tuple[str, ...]  # what can be chosen
    own_metric: str  # in words, what all runs monitor; empty where they differ
    critical: str  # the critical class of all runs; empty where they differ
    shape: int


@dataclass(frozen=True)
class Group:
    """Runs that share a value of a setting: how many, and their values of the metric (of those that have one)."""

    value: str
    n: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation between runs, from two runs on."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def best(self, metric: str) -> float | None:
        return (min if metric == "loss" else max)(self.values, default=None)


# Cells


def _at(run: RunSummary, metric: str) -> int | None:
    return run.curves.best(metric or run.monitor.removeprefix("val_"))


def _value(run: RunSummary, metric: str) -> float | None:
    at = _at(run, metric)
    return None if at is None else run.curves.values[metric or run.monitor.removeprefix("val_")][at]


def _epoch(run: RunSummary, metric: str) -> int | None:
    at = _at(run, metric)
    return None if at is None else run.curves.epochs[at]


def _curve(run: RunSummary, metric: str) -> list[float] | None:
    """At most `_POINTS` of the curve, rounded: it is drawn 30 pixels high."""
    curve = [v for v in run.curves.values.get(metric or run.monitor.removeprefix("val_"), ()) if not math.isnan(v)]
    if len(curve) > _POINTS:
        step = (len(curve) - 1) / (_POINTS - 1)
        curve = [curve[round(i * step)] for i in range(_POINTS)]
    return [round(v, 4) for v in curve] or None


def _recall(run: RunSummary) -> str:
    """Recall of the critical class where the weights were kept, with its interval where the support is known."""
    recall = run.metrics.get(f"recall_{run.critical}")
    if recall is None or not 0 <= recall <= 1:
        return ""
    if run.support is None:
        return f"{recall:.2f}"
    low, high = wilson(round(recall * run.support), run.support)
    return f"{recall:.2f}  ({low:.2f}–{high:.2f})"


def _status(run: RunSummary) -> str:
    label = state_text(run.state).label
    if run.state != "running":
        return label
    left = f", {_roughly(run.eta_s)} left" if run.eta_s is not None else ""
    return f"{label} {percent(run.progress)}{left}"


def _roughly(seconds: float) -> str:
    """Without digits that would change at every look: `20 s`, `7 min`, `2 h 10 min`."""
    if seconds < 60:
        return f"{max(10, 10 * round(seconds / 10))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _network(run: RunSummary) -> str:
    title = MODELS[run.model].title if run.model in MODELS else run.model
    return f"{title}, scratch" if run.weights == "none" else title


def _loss(run: RunSummary) -> str:
    row = LOSSES.get(run.loss)
    if row is None:
        return run.loss
    return f"{row.title} γ {run.focal_gamma:g}" if row.focal and run.focal_gamma is not None else row.title


def _time(run: RunSummary) -> str:
    end = time.time() if run.state == "running" and not run.finished else run.finished
    return duration(end - run.started) if end and run.started else ""


def _problem(run: RunSummary) -> str:
    return shorten(run.error or "", 200) if run.state in _PROBLEM else ""


def _setting(name: str) -> Callable[[RunSummary], str]:
    def cell(run: RunSummary) -> str:
        return _in_words(name, run.settings[name], run.task) if name in run.settings else ""

    return cell


@dataclass(frozen=True)
class Column:
    """A column that can be chosen. `cell` takes the run, and the metric where it is about one."""

    label: str
    kind: pa.DataType
    cell: Callable[..., Any]
    width: int
    usual: bool = True
    of_metric: bool = False
    help: str | None = None


def _more(name: str, width: int = 96) -> Column:
    return Column(LABELS.get(name, name), pa.string(), _setting(name), width, usual=False)


COLUMNS: dict[str, Column] = {
    "status": Column("Status", pa.list_(pa.string()), lambda run: [_status(run)], 126),
    "name": Column("Name", pa.string(), lambda run: shorten(run.name, 200), 196, help="Press a name to open the run."),
    "best": Column("Best", pa.float64(), _value, 84, of_metric=True),
    "epoch": Column("Epoch", pa.int32(), _epoch, 62, of_metric=True, help="The epoch of the best value."),
    "curve": Column("Curve", pa.list_(pa.float32()), _curve, 98, of_metric=True),
    "recall": Column("Recall", pa.string(), _recall, 134),
    "network": Column("Network", pa.string(), _network, 122),
    "learns": Column("Learns", pa.string(), lambda run: wording.trainable(run.trainable), 98,
                     help="What was trained besides the head."),
    "loss": Column("Loss", pa.string(), _loss, 116),
    "lr": Column("lr", pa.float64(), lambda run: run.lr, 72, help="Learning rate."),
    "time": Column("Time", pa.string(), _time, 104, help="How long it has trained."),
    "created": Column("Created", pa.timestamp("ms", "UTC"),
                      lambda run: None if run.created is None else int(1000 * run.created), 112),
    "tags": Column("Tags", pa.list_(pa.string()), lambda run: list(run.tags), 130),
    "problem": Column("Problem", pa.string(), _problem, 320),
    "note": Column("Note", pa.string(), lambda run: shorten(run.note, 200), 220, usual=False),
    "data": Column("Dataset", pa.string(), lambda run: Path(run.data).name, 120, usual=False),
    "device": Column("Device", pa.string(), lambda run: run.device, 130, usual=False),
    **{name: _more(name) for name in ("optimizer", "schedule", "batch_size", "epochs", "seed", "image_size")},
    **{name: _more(name) for name in ("augment", "head", "dropout", "weight_decay")},
}  # fmt: skip
FIXED = ("status", "name")  # always there
FILLED = ("tags", "problem")  # usually there where one of the shown runs has something in it


def usual() -> tuple[str, ...]:
    """The columns that are shown unless somebody chose others."""
    return tuple(name for name, column in COLUMNS.items() if column.usual)


# Rows


@st.cache_resource(show_spinner=False, max_entries=8)
def build(folder: str, version: int, metric: str, _runs: Sequence[RunSummary]) -> Table:  # noqa: ARG001  a key
    """The table of one version of the index (`_runs`), about one metric (empty: each run's own)."""
    cells = _cells(folder, metric)
    with_rows = [cells.get(run.run_id) for run in _runs]
    rows = [
        known[1] if known is not None and known[0] is run and run.state != "running" else _row(run, metric)
        for run, known in zip(_runs, with_rows, strict=True)
    ]
    cells.clear()
    cells.update({run.run_id: (run, row) for run, row in zip(_runs, rows, strict=True)})
    arrays = {name: pa.array([row[k] for row in rows], column.kind) for k, (name, column) in enumerate(COLUMNS.items())}
    metrics = Counter(name for run in _runs for name in run.curves.values)
    return Table(
        pa.table(arrays),
        tuple(run.run_id for run in _runs),
        tuple(run.state for run in _runs),
        tuple(run.archived for run in _runs),
        tuple(row[-1] for row in rows),
        tuple(row[list(COLUMNS).index("best")] for row in rows),
        _facets(_runs),
        tuple(sorted(metrics, key=_metric_rank)),
        _one(metric_name(run.monitor.removeprefix("val_")) for run in _runs if run.monitor),
        _one(run.critical for run in _runs if run.critical),
        hash(tuple((run.run_id, run.state, run.archived, run.name, run.tags, run.best_epoch) for run in _runs)),
    )


@st.cache_resource(show_spinner=False, max_entries=8)
def _cells(folder: str, metric: str) -> dict[str, tuple[RunSummary, list[Any]]]:  # noqa: ARG001  the key
    """What was made of each run before, kept as long as the run stays the same object."""
    return {}


def _row(run: RunSummary, metric: str) -> list[Any]:
    cells = [column.cell(run, metric) if column.of_metric else column.cell(run) for column in COLUMNS.values()]
    return [*cells, _words(run)]


def _words(run: RunSummary) -> str:
    parts = (
        run.name, run.run_id, run.state, run.model, _network(run), run.trainable, run.loss, _loss(run),
        f"lr {run.lr:g}" if run.lr else "", run.data, run.note, *run.tags,
    )  # fmt: skip
    return " ".join(parts).casefold()


def _one(values: Iterable[str]) -> str:
    """What all have in common, else nothing."""
    different = set(values)
    return shorten(different.pop(), 24) if len(different) == 1 else ""


def _metric_rank(name: str) -> tuple[int, str]:
    first = ("macro_f1", "micro_f1", "accuracy", "label_accuracy", "exact_match", "loss")
    return (first.index(name) if name in first else len(first), name)


# Settings that differ

_ABSENT = object()


def _facets(runs: Sequence[RunSummary]) -> dict[str, Facet]:
    found = {}
    for name in (*TrainConfig.model_fields, "device"):
        if name not in ("name", "tags", "device") and (facet := _facet(name, runs)) is not None:
            found[name] = facet
    devices = [(run.device,) if run.started and run.device else () for run in runs]
    for name, label, values in (("device", "Device", devices), ("tags", "Tags", [run.tags for run in runs])):
        words = [tuple(shorten(value, 60) for value in some) for some in values]
        counts = Counter(value for some in words for value in some)
        if len(counts) > 1 or (counts and name == "tags"):
            found[name] = Facet(label, tuple(words), dict(counts.most_common()))
    return found


def _facet(name: str, runs: Sequence[RunSummary]) -> Facet | None:
    raws = [_raw(name, run) for run in runs]
    distinct = Counter(raws)
    distinct.pop(_ABSENT, None)
    if len(distinct) < 2:
        return None
    numbers = all(isinstance(raw, int | float) and not isinstance(raw, bool) for raw in distinct)
    order = sorted(distinct) if numbers else [raw for raw, _ in distinct.most_common()]
    texts = {raw: _in_words(name, raw, "single-label") for raw in order}
    if name == "data" and len({Path(raw).name for raw in order}) == len(order):
        texts = {raw: Path(raw).name for raw in order}
    counts: dict[str, int] = {}
    for raw in order:
        counts[texts[raw]] = counts.get(texts[raw], 0) + distinct[raw]
    return Facet(LABELS.get(name, name), tuple((texts[r],) if r in texts else () for r in raws), counts)


def _raw(name: str, run: RunSummary) -> Any:
    """The setting as something that can be counted; `_ABSENT` where it does not matter in this run."""
    value = run.settings.get(name, _ABSENT)
    if name.startswith("focal_") and not (run.loss in LOSSES and LOSSES[run.loss].focal):
        return _ABSENT
    if name == "backbone_lr" and value == run.lr:
        return _ABSENT
    if isinstance(value, list):
        return tuple(map(str, value))
    return _ABSENT if isinstance(value, dict) else value


def _in_words(name: str, raw: Any, task: str) -> str:
    if isinstance(raw, list):
        raw = tuple(map(str, raw))
    if not isinstance(raw, str | int | float | tuple | None):
        return shorten(raw, 60)
    # The type belongs to the key: True, 1 and 1.0 are equal.
    return _worded(name, type(raw).__name__, raw, task if task in wording.DEFAULT_LOSS else "single-label")


@lru_cache(maxsize=4096)
def _worded(name: str, kind: str, raw: Any, task: str) -> str:  # noqa: ARG001
    return shorten(wording.setting(name, raw, task), 60)


# Which rows


def matching(table: Table, view: View, *, but: str = "") -> list[int]:
    """Rows that hold every word of the text, have one of the states (none: any) and the wanted settings.

    Archived runs are there only when the states ask for them. `but`: a setting whose filter does not count.
    """
    words = view.text.casefold().split()
    states = {state for state in view.states if state != ARCHIVED}
    archived = ARCHIVED in view.states
    rows = [
        i
        for i, (state, away, hay) in enumerate(zip(table.states, table.archived, table.words, strict=True))
        if away == archived and (not states or state in states) and all(word in hay for word in words)
    ]
    for field, wanted in view.filters:
        if field != but:
            facet, values = table.facets.get(field), set(wanted)
            rows = [] if facet is None else [i for i in rows if not values.isdisjoint(facet.values[i])]
    return rows


def groups(table: Table, rows: Sequence[int], field: str) -> list[Group]:
    """The rows by the value of a setting, in the order in which it is offered; without those that have none."""
    facet = table.facets[field]
    members: dict[str, list[int]] = {value: [] for value in facet.counts}
    for i in rows:
        for value in facet.values[i]:
            members[value].append(i)
    return [
        Group(value, len(some), tuple(best for i in some if (best := table.best[i]) is not None))
        for value, some in members.items()
        if some
    ]


def selected() -> list[str]:
    """Ids of the selected runs, whether or not the filter shows them."""
    return list(st.session_state.get(SELECTED, []))


# On the page


def show(table: Table, rows: Sequence[int], view: View) -> None:
    """Show the rows; ticking one selects that run, pressing its name opens it."""
    ids = [table.ids[i] for i in rows]
    here, before, _ = st.session_state.get(_SHOWN, (0, [], 0.0))
    if here != state.visit():  # a table nobody has pressed yet
        st.session_state[_SHOWN] = (state.visit(), ids, 0.0)
    elif before != ids:
        st.session_state[_SHOWN] = (here, ids, time.monotonic())
    # Streamlit keeps positions; the runs that lie there may be others by now.
    chosen = set(selected())
    ticked = [k for k, run_id in enumerate(ids) if run_id in chosen]
    if sorted(_ticks()) != ticked:
        st.session_state[KEY] = {"selection": {"rows": ticked, "columns": [], "cells": []}}
    names = _names(table, rows, view)
    shown = table.columns.select(names)
    if len(rows) != len(table.ids):
        shown = shown.take(list(rows))
    st.dataframe(
        shown, key=KEY, hide_index=True, height=min(38 + 35 * max(1, len(rows)), 493), row_height=35,
        column_order=names, column_config=_config(table, rows, names, view), on_select=_pick,
        selection_mode="multi-row", alt="Runs", placeholder="",
    )  # fmt: skip


def _ticks() -> list[int]:
    kept = st.session_state.get(KEY)
    return list(kept["selection"]["rows"]) if kept else []


def _pick() -> None:
    _, ids, since = st.session_state.get(_SHOWN, (0, [], 0.0))
    if time.monotonic() - since < _SETTLE_S:
        return  # a click that crossed other rows on their way: it may have meant another run
    hidden = [run_id for run_id in selected() if run_id not in set(ids)]
    st.session_state[SELECTED] = hidden + [ids[row] for row in _ticks() if row < len(ids)]


def _open() -> None:
    _, ids, _ = st.session_state.get(_SHOWN, (0, [], 0.0))
    click = st.session_state[f"{KEY}_open"]
    if click and click["row"] < len(ids):
        st.session_state[OPEN] = ids[click["row"]]


def _names(table: Table, rows: Sequence[int], view: View) -> list[str]:
    """The columns to show. Where all rows have a problem, that is what one wants to read first."""
    if view.columns is not None:
        return [name for name in COLUMNS if name in FIXED or name in view.columns]
    some = table.columns.select(list(FILLED)).take(list(rows))
    empty = {name for name in FILLED if not any(some[name].to_pylist())}
    names = [name for name in COLUMNS if name in usual() and name not in empty]
    if all(some["problem"].to_pylist()):
        names.remove("problem")
        names.insert(len(FIXED), "problem")
    return names


def _config(table: Table, rows: Sequence[int], names: Iterable[str], view: View) -> dict[str, Any]:
    config = st.column_config
    made: dict[str, Any] = {}
    for name in names:
        column = COLUMNS[name]
        common: dict[str, Any] = {"width": column.width, "help": column.help}
        if name == "status":
            made[name] = _status_column(table, rows, column.width)
        elif name == "name":
            made[name] = config.ButtonColumn(
                column.label, **common, type="tertiary", alignment="left", on_click=_open, key=f"{KEY}_open"
            )
        elif name == "best":
            label = metric_name(view.metric) if view.metric else table.own_metric
            label = f"Best {label}".strip()
            made[name] = config.NumberColumn(
                label, format="%.3f", width=min(180, max(column.width, 34 + 7 * len(label))),
                help="Best value on the validation split.",
            )  # fmt: skip
        elif name == "curve":
            loss = view.metric == "loss"
            made[name] = config.LineChartColumn(
                column.label, width=column.width, y_min=0, y_max=None if loss else 1,
                help="The metric on the validation split over the epochs" + ("." if loss else ", from 0 to 1."),
            )  # fmt: skip
        elif name == "recall":
            made[name] = config.TextColumn(f"Recall {table.critical}".strip(), width=column.width, help=_RECALL)
        elif name == "created":
            made[name] = config.DatetimeColumn(column.label, format="distance", width=column.width)
        elif name == "lr":
            made[name] = config.NumberColumn(column.label, format="%g", **common)
        elif name == "epoch":
            made[name] = config.NumberColumn(column.label, format="%d", **common)
        elif name == "tags":
            made[name] = config.ListColumn(column.label, **common)
        else:
            made[name] = config.TextColumn(column.label, **common)
    return made


_RECALL = (
    "Recall of the critical class on the validation split, at the epoch whose weights are kept. In brackets its 95 % "
    "interval (Wilson): how far it may be off, because it was measured on so few images."
)


def _status_column(table: Table, rows: Sequence[int], width: int) -> Any:
    """The pills have the colour of their state, and its shape and word."""
    colors: Mapping[str, str] = {
        label: state_text(table.states[i]).color for i in rows for label in table.columns["status"][i].as_py()
    }
    if any(table.states[i] == "running" for i in rows):
        width = 204
    return st.column_config.MultiselectColumn(
        "Status", options=list(colors), color=list(colors.values()), width=width, pinned=None
    )
