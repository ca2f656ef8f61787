"""The disk on the System page: what runs, trash and caches take, and giving it back."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from covidviz.paths import cache_dir, data_dir, runs_dir
from covidviz.store import cache
from covidviz.store import usage as store
from covidviz.store.usage import Usage
from covidviz.ui import queries
from covidviz.ui.system_data import Meter, size, usage_rows
from covidviz.ui.text import md, state_text

__all__ = ["show"]

POLL_S = 0.5
PATIENCE_S = 0.3  # what a page waits for the measurement: enough for a hundred runs


@st.cache_resource(show_spinner=False, max_entries=4)
def _meter(runs: str, cache: str, data: str) -> Meter:  # noqa: ARG001  the folders are the key
    return Meter(runs_dir(), cache_dir(), data_dir())


def show() -> None:
    """The whole part. Polls only while the disk is measured or cleared."""
    meter = _meter(str(runs_dir()), str(cache_dir()), str(data_dir()))
    if st.session_state.get("_disk_visit") != st.session_state.get("_visit"):
        st.session_state["_disk_visit"] = st.session_state.get("_visit")
        meter.measure()  # once per visit of the page, not at each click on it
    meter.wait(PATIENCE_S)
    busy = bool(meter.doing)

    @st.fragment(run_every=POLL_S if busy else None)
    def part() -> None:
        if bool(meter.doing) != busy:
            st.rerun()  # the whole page, so that polling begins or ends
        _part(meter)

    part()


def _part(meter: Meter) -> None:
    usage = meter.usage
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="system_disk_head"):
        st.subheader("Disk", anchor=False, width="content")
        if meter.doing:
            st.caption(f"{meter.doing} …")
        elif usage is not None:
            st.caption(f"{size(usage.free)} free of {size(usage.capacity)} where the runs are kept")
    if meter.said is not None and not meter.doing:
        text, worked = meter.said
        (st.success if worked else st.error)(md(text), icon=":material/check:" if worked else ":material/error:")
    if usage is None:
        st.skeleton(height=180)
        return
    _cards(meter, usage)
    _largest(usage)


def _cards(meter: Meter, usage: Usage) -> None:
    states = {run.run_id: run.state for run in queries.index().snapshot(max_age=5).runs}
    spare = [row for row in usage.runs if row.last and states.get(row.run_id) == "completed"]
    runs, trash, pictures, training, data = st.columns(5, gap="small")
    with runs.container(border=True, height="stretch", vertical_alignment="distribute", key="system_card_runs"):
        parts = {"weights": sum(r.best for r in usage.runs), "checkpoints to resume": sum(r.last for r in usage.runs),
                 "heat maps": sum(r.cams for r in usage.runs)}  # fmt: skip
        with st.container(gap="small"):
            st.metric(_count("", len(usage.runs), "run"), size(usage.total))
            st.caption(" · ".join(f"{name} {size(n)}" for name, n in parts.items()))
        _clean(
            meter, "last", _count("Drop", len(spare), "checkpoint"),
            sum(row.last for row in spare),
            "A completed run needs its checkpoint (last.pt) no more: its best weights, predictions and maps stay. Runs "
            "that were stopped, failed or lost keep theirs.",
            "Dropping checkpoints", lambda: store.drop_last(runs_dir(), [row.run_id for row in spare]),
        )  # fmt: skip
    with trash.container(border=True, height="stretch", vertical_alignment="distribute", key="system_card_trash"):
        with st.container(gap="small"):
            st.metric("Trash", size(usage.trash))
            st.caption(f"{_count('', usage.trashed, 'deleted run')} that can be restored" if usage.trashed
                       else "No deleted runs.")  # fmt: skip
        _clean(
            meter, "trash", "Empty trash", usage.trash,
            "The deleted runs are removed for good; they can not be restored after that.",
            "Emptying the trash", lambda: store.empty_trash(runs_dir()),
        )  # fmt: skip
    with pictures.container(border=True, height="stretch", vertical_alignment="distribute", key="system_card_pictures"):
        with st.container(gap="small"):
            st.metric("Pictures", size(usage.cache))
            st.caption("X-rays drawn for the browser; they are drawn again when they are looked at.")
        _clean(
            meter, "pictures", "Empty pictures", usage.cache,
            "Pages with images are slower once, until the pictures are drawn again.",
            "Emptying the picture cache", lambda: store.empty_picture_cache(cache_dir()),
        )  # fmt: skip
    with training.container(border=True, height="stretch", vertical_alignment="distribute", key="system_card_training"):
        with st.container(gap="small"):
            st.metric("Training cache", size(usage.training))
            st.caption("Decoded images, what frozen layers make of them, and the index of runs; at most "
                       f"{size(cache.limit())}.")  # fmt: skip
        _clean(
            meter, "training", "Empty cache", usage.training,
            "The next run on a dataset reads and computes them again; runs that train now are not disturbed.",
            "Emptying the training cache", cache.clear,
        )  # fmt: skip
    with data.container(border=True, height="stretch", key="system_card_data"):
        st.metric("Built-in data", size(usage.data))
        st.caption(f"Phantoms and other datasets in {md(data_dir())}. Runs show these images, so they are kept.")


def _count(before: str, n: int, what: str) -> str:
    return f"{before} {n:,} {what}{'' if n == 1 else 's'}".strip()


def _clean(meter: Meter, name: str, label: str, n: int, meaning: str, doing: str, work: Callable[[], int]) -> None:
    """A button that opens what it means, and there the one that does it."""
    key = f"system_clean_{name}"

    def agreed() -> None:
        st.session_state[key] = False  # closes it
        meter.clear(doing, work)
        meter.wait(PATIENCE_S)

    with st.popover(label, key=key, on_change="rerun", disabled=not n or bool(meter.doing)):
        st.markdown(f"**{label}: frees {size(n)}.** {meaning}")
        st.button("Delete for good", key=f"{key}_yes", icon=":material/delete_forever:",
                  on_click=agreed)  # fmt: skip


def _largest(usage: Usage) -> None:
    if not usage.runs:
        return
    with st.expander("The largest runs", icon=":material/bar_chart:", key="system_largest"):
        runs = {run.run_id: run for run in queries.index().snapshot(max_age=5).runs}
        rows = usage_rows(usage, runs)
        for row in rows:
            row["state"] = state_text(str(row["state"])).label if row["state"] else ""
        number = st.column_config.NumberColumn
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, key="system_usage", height=min(420, 38 + 35 * len(rows)),
            row_height=35, alt="Runs by the disk they take",
            column_config={
                "name": st.column_config.TextColumn("Run", width="medium"),
                "state": st.column_config.TextColumn("Status", width="small"),
                "total": st.column_config.ProgressColumn("All", format="bytes", min_value=0,
                                                         max_value=max(1, *(row.total for row in usage.runs))),
                "last": number("To resume", format="bytes"), "best": number("Weights", format="bytes"),
                "cams": number("Heat maps", format="bytes"), "other": number("Rest", format="bytes"),
            },
        )  # fmt: skip
