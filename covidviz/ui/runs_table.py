"""The table of all runs: one frame per index version, filters over it, a selection of run ids (never of positions)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import streamlit as st

from covidviz.catalog import LOSSES, MODELS
from covidviz.store.index import RunSummary
from covidviz.ui import wording
from covidviz.ui.text import STATES, duration, percent, shorten, state_text

__all__ = ["OPEN", "SELECTED", "Table", "build", "matching", "selected", "show"]

SELECTED = "runs_selected"  # session: ids of the selected runs
OPEN = "runs_open"  # session: id of the run whose Open was pressed
_PROBLEM = ("failed", "lost", "broken")


@dataclass(frozen=True)
class Table:
    """All runs, newest first. Shared by all sessions: take rows out of it, don't write to it.

    columns: what is shown, one row per run. ids, states, archived, words: beside it, row by row.
    """

    columns: pa.Table
    ids: tuple[str, ...]
    states: tuple[str, ...]
    archived: tuple[bool, ...]
    words: tuple[str, ...]


@st.cache_resource(show_spinner=False, max_entries=2)
def build(folder: str, version: int, _runs: Sequence[RunSummary]) -> Table:  # noqa: ARG001  the key is folder and version
    """The table of one version of the index."""
    rows = [_row(run) for run in _runs]
    arrays = {name: pa.array([row[name] for row in rows], kind) for name, kind in _KINDS.items()}
    return Table(
        pa.table(arrays),
        tuple(run.run_id for run in _runs),
        tuple(run.state for run in _runs),
        tuple(run.archived for run in _runs),
        tuple(_words(run) for run in _runs),
    )


_KINDS = {
    "Status": pa.list_(pa.string()), "Open": pa.string(), "Name": pa.string(), "Best": pa.float64(),
    "Metric": pa.string(), "At epoch": pa.int32(), "Network": pa.string(), "Learns": pa.string(), "Loss": pa.string(),
    "lr": pa.float64(), "Progress": pa.float64(), "Created": pa.timestamp("ms", "UTC"), "Time": pa.string(),
    "Tags": pa.list_(pa.string()), "Problem": pa.string(),
}  # fmt: skip


def _row(run: RunSummary) -> dict[str, Any]:
    return {
        "Status": [_status(run)],
        "Open": "Open",
        "Name": shorten(run.name, 200),
        "Best": run.best,
        "Metric": wording.metric(run.monitor),
        "At epoch": run.best_epoch,
        "Network": _network(run),
        "Learns": wording.trainable(run.trainable),
        "Loss": _loss(run),
        "lr": run.lr,
        "Progress": 100 * run.progress,
        "Created": None if run.created is None else int(1000 * run.created),
        "Time": _time(run),
        "Tags": list(run.tags),
        "Problem": shorten(run.error or "", 200) if run.state in _PROBLEM else "",
    }


def _status(run: RunSummary) -> str:
    label = state_text(run.state).label
    return f"{label} {percent(run.progress)}" if run.state == "running" else label


def _network(run: RunSummary) -> str:
    title = MODELS[run.model].title if run.model in MODELS else run.model
    return f"{title}, scratch" if run.weights == "none" else title


def _loss(run: RunSummary) -> str:
    row = LOSSES.get(run.loss)
    if row is None:
        return run.loss
    return f"{row.title} γ {run.focal_gamma:g}" if row.focal and run.focal_gamma is not None else row.title


def _time(run: RunSummary) -> str:
    if run.state == "running":
        return f"{duration(run.eta_s)} left" if run.eta_s is not None else "starting"
    return duration(run.finished - run.started) if run.finished and run.started else ""


def _words(run: RunSummary) -> str:
    parts = (
        run.name, run.run_id, run.state, run.model, _network(run), run.trainable, run.loss, _loss(run),
        f"lr {run.lr:g}" if run.lr else "", run.data, run.note, *run.tags,
    )  # fmt: skip
    return " ".join(parts).casefold()


def matching(table: Table, text: str, states: Set[str], archived: bool) -> list[int]:
    """Rows that hold every word of `text`, have one of `states` (none: any), and are archived or not."""
    words = text.casefold().split()
    return [
        i
        for i, (state, away, hay) in enumerate(zip(table.states, table.archived, table.words, strict=True))
        if away == archived and (not states or state in states) and all(word in hay for word in words)
    ]


def selected() -> list[str]:
    """Ids of the selected runs, whether or not the filter shows them."""
    return list(st.session_state.get(SELECTED, []))


def show(table: Table, rows: Sequence[int]) -> None:
    """Show the rows; ticking one selects that run, Open goes to its page."""
    ids = [table.ids[i] for i in rows]
    shown = table.columns if len(rows) == len(table.ids) else table.columns.take(list(rows))
    # The order of ids is the table's identity: with other rows it is another table and gets its ticks anew.
    key = "runs_table_" + hashlib.blake2b(" ".join(ids).encode(), digest_size=6).hexdigest()

    def pick() -> None:
        hidden = [run_id for run_id in selected() if run_id not in ids]
        ticked = [ids[row] for row in st.session_state[key].selection.rows if row < len(ids)]
        st.session_state[SELECTED] = hidden + ticked

    def go() -> None:
        click = st.session_state[f"{key}_open"]
        if click and click["row"] < len(ids):
            st.session_state[OPEN] = ids[click["row"]]

    order = [name for name in _KINDS if name not in ("Tags", "Problem") or any(shown[name].to_pylist())]
    config = _columns({status[0] for status in shown["Status"].to_pylist()})
    metrics = set(shown["Metric"].to_pylist())
    if len(metrics) == 1:
        order.remove("Metric")
        config["Best"] = _best(f"Best {metrics.pop()}", 116)
    config["Open"] = st.column_config.ButtonColumn("", width=62, type="tertiary", on_click=go, key=f"{key}_open")
    ticked = set(selected())
    st.dataframe(
        shown, key=key, hide_index=True, height=min(38 + 35 * len(rows), 563), row_height=35,
        column_order=order, column_config=config, on_select=pick, selection_mode="multi-row",
        selection_default={"selection": {"rows": [k for k, run_id in enumerate(ids) if run_id in ticked]}},
        alt="All runs, newest first", placeholder="",
    )  # fmt: skip


def _best(label: str, width: int) -> Any:
    return st.column_config.NumberColumn(label, format="%.3f", width=width, help="Best value on the validation split.")


def _columns(labels: Iterable[str] = ()) -> dict[str, Any]:
    """The columns; `labels` are those of the status column, which decide its colours."""
    config = st.column_config
    colors = {label: look.color for look in STATES.values() for label in labels if label.startswith(look.label)}
    return {
        "Status": config.MultiselectColumn("Status", options=list(colors), color=list(colors.values()), width=132),
        "Open": config.Column(""),
        "Name": config.TextColumn("Name", width=210),
        "Best": _best("Best", 64),
        "Metric": config.TextColumn("Metric", width=110),
        "At epoch": config.NumberColumn("Epoch", format="%d", width=60, help="The epoch of the best value."),
        "Network": config.TextColumn("Network", width=130),
        "Learns": config.TextColumn("Learns", width=112, help="What was trained besides the head."),
        "Loss": config.TextColumn("Loss", width=116),
        "lr": config.NumberColumn("lr", format="%g", width=70, help="Learning rate."),
        "Progress": config.ProgressColumn("Progress", min_value=0, max_value=100, format="%d %%", width=120),
        "Created": config.DatetimeColumn("Created", format="distance", width=110),
        "Time": config.TextColumn("Time", width=110, help="How long it took, or how long it will still take."),
        "Tags": config.ListColumn("Tags", width=120),
        "Problem": config.TextColumn("Problem", width=320),
    }
