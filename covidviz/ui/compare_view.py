"""The parts of the Compare page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.evaluation.metric_names import metric_name
from covidviz.ui import compare_data, nav, queries, state
from covidviz.ui.compare_data import MARK, Compared, Judged
from covidviz.ui.compare_figures import Curves, curves_figure
from covidviz.ui.components.matrix import Show, deepest, difference, matrix, matrix_groups
from covidviz.ui.components.plot import plot
from covidviz.ui.results import SPLIT_TITLES
from covidviz.ui.text import md, percent, state_text

__all__ = ["curves", "heads", "matrices", "settings"]

FEW = 6  # runs up to which the train curves are shown at once
FIRST = 4  # matrices shown before all are asked for
OPEN = "compare_open"  # session: (run id, split, cell) whose images were asked for
SHOWS: dict[Show, str] = {"row": "Row %", "column": "Column %", "counts": "Counts"}
CHART_HEIGHT = 480

Grids = dict[str, list[dict[str, Any]]]  # by run id: what `matrix_groups` gives


def heads(runs: Sequence[Compared]) -> None:
    """What should be known before the numbers are read: runs that still change or failed, and other data."""
    with st.container(key="compare_heads"):  # holds what comes and goes, so that the chart below stays the same node
        states = {one.id: "broken" if one.summary.state == "broken" else one.run.status().state for one in runs}
        open_ones = [one for one in runs if states[one.id] != "completed"]
        if len(open_ones) > FEW:
            st.caption(f"{len(open_ones)} of {len(runs)} runs are not completed: their numbers are those so far.")
        elif open_ones:
            st.caption("  \n".join(_unfinished(one, states[one.id]) for one in open_ones))
        groups = compare_data.data_groups(runs)
        if len(groups) > 1:
            named = " | ".join(_listed(group) for group in groups[:6])
            st.warning(
                f"These runs did not see the same images in the same splits, so their numbers are not about the same "
                f"images and none is marked: {named}",
                icon=":material/dataset_linked:",
            )


def _unfinished(one: Compared, state: str) -> str:
    status, look = one.run.status(), state_text(state)
    text = f"{one.title()} is {look.word}" if state != "failed" else f"{one.title()} failed"
    if state == "running":
        text += f" ({percent(status.progress)})"
    error = one.summary.error if state == "broken" else status.error
    if error and state in ("failed", "lost", "broken"):
        text += f": {error}"
    return f"{look.shape} {md(text)}"


def _listed(group: Sequence[Compared]) -> str:
    names = [md(one.title(30)) for one in group[:4]]
    return ", ".join(names) + (f" and {len(group) - 4} more" if len(group) > 4 else "")


# --- curves and numbers ---


def curves(runs: Sequence[Compared]) -> None:
    """Loss and a metric over the epochs, and the numbers of the best epochs."""
    asked = st.session_state.get("compare_splits", ["val", "train"] if len(runs) <= FEW else ["val"])
    frames = compare_data.curve_frames(runs, train="train" in asked)
    offered = compare_data.curve_metrics(runs, frames)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        metric = _controls(runs, offered)
        shown = st.session_state.get("compare_splits", [])
        some = [Curves(one.id, one.number, one.title(40), frames[one.id]) for one in runs if len(frames[one.id])]
        title = metric_name(metric) if metric else ""
        figure = curves_figure(
            some,
            metric,
            title[:1].upper() + title[1:],
            epochs=max((int(one.metrics["epoch"].max()) for one in some), default=1),
            splits=[name for name in ("val", "train") if name in shown],
            log=bool(st.session_state.get("compare_log")),
        )
        plot(
            figure,
            key="compare_plot",
            label=f"Loss{f' and {title}' if title else ''} by epoch for {len(some)} runs",
            height=CHART_HEIGHT + 18 * min(8, max(0, len(runs) - 3)),
            keep="compare",
        )
        if not some:
            st.caption("No numbers yet: they come at the end of the first epoch.")
    with right:
        _table(runs)


def _controls(runs: Sequence[Compared], offered: Sequence[str]) -> str | None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compare_controls"):
        metric = None
        if offered:
            metric = state.get("metric", offered, compare_data.monitored(runs, offered))

            def changed() -> None:
                state.link(metric=st.session_state["compare_metric"])

            st.session_state["compare_metric"] = metric
            st.selectbox(
                "Metric", offered, key="compare_metric", format_func=_capital, on_change=changed, width=170,
                label_visibility="collapsed",
            )  # fmt: skip
        if "compare_splits" not in st.session_state:
            st.session_state["compare_splits"] = ["val", "train"] if len(runs) <= FEW else ["val"]
        st.pills(
            "Splits", ["val", "train"], key="compare_splits", selection_mode="multi", label_visibility="collapsed",
            format_func=lambda name: {"val": "━ validation", "train": "┄ train"}[name], persist_state="session",
        )  # fmt: skip
        st.toggle("Log loss", key="compare_log", persist_state="session")
    return metric


def _capital(key: str) -> str:
    name = metric_name(key)
    return name[:1].upper() + name[1:]


def _table(runs: Sequence[Compared]) -> None:
    mark = len(compare_data.data_groups(runs)) <= 1
    rows = compare_data.metrics_table(runs, mark=mark)
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key="compare_metrics", height=min(CHART_HEIGHT, 38 + 35 * len(rows)),
        row_height=35, alt="Metrics of each run at its best epoch",
        column_config={"metric": st.column_config.TextColumn("At the best epoch", pinned=True, width=150)}
        | {one.id: st.column_config.TextColumn(one.title(24), alignment="right", width=134) for one in runs},
    )  # fmt: skip
    if mark:
        st.caption(f"{MARK} the highest of its row; of a loss, the lowest. In brackets: 95 % intervals.")


# --- matrices ---


@st.fragment
def matrices(runs: Sequence[Compared], pair: tuple[Compared, Compared] | None) -> None:
    """The confusion matrices with one scale, and the difference of two of them.

    Args:
        pair: the two of the verdict, which also offers the splits; None where there is no verdict.
    """
    if target := st.session_state.pop(OPEN, None):
        run_id, split, cell = target
        # With `runs` in it: Streamlit's own step in the browser's history is one of this page with the new parameters.
        st.switch_page(nav.RUN, query_params=state.params(run=run_id, split=split, cell=cell, img=None))
    found = {one.id: known for one in runs if (known := compare_data.judged(one.run)) is not None}
    offered = compare_data.splits(list(found.values()))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="compare_matrix_head"):
        st.subheader("Right and wrong", anchor=False, width="content")
        if not offered:
            live = any(one.run.status().live for one in runs)
            st.caption("None of these runs has predictions." + (" They come when a run is completed." if live else ""))
            return
        split = state.get("split", offered, offered[0]) or offered[0] if pair is not None else _split(offered)
        show: Show = st.segmented_control(
            "Show", list(SHOWS), key="compare_show", default="row", required=True, format_func=SHOWS.__getitem__,
            label_visibility="collapsed", persist_state="session",
        )  # fmt: skip
    shown = list(runs)[: None if st.session_state.get("compare_all") else FIRST]
    grids = {
        one.id: matrix_groups(found[one.id].confusion[split], found[one.id].classes, found[one.id].task)
        for one in runs
        if one.id in found and split in found[one.id].splits
    }
    top = max((deepest(grids[one.id], show) for one in shown if one.id in grids), default=1.0)
    for start in range(0, len(shown), 2):
        for column, one in zip(st.columns(2, gap="medium"), shown[start : start + 2], strict=False):
            with column:
                _one(one, found.get(one.id), grids.get(one.id), split, show, top if show == "counts" else None)
    if len(runs) > FIRST:
        st.toggle(f"All {len(runs)} matrices", key="compare_all")
    if pair is not None:
        _difference(pair, found, grids, split, show)


def _split(offered: Sequence[str]) -> str:
    split = state.get("split", offered, offered[0]) or offered[0]

    def changed() -> None:
        state.link(split=st.session_state["compare_split"])

    st.session_state["compare_split"] = split
    st.segmented_control(
        "Split", offered, key="compare_split", required=True, on_change=changed, label_visibility="collapsed",
        format_func=SPLIT_TITLES.__getitem__,
    )  # fmt: skip
    return split


def _one(
    one: Compared, found: Judged | None, groups: list[dict[str, Any]] | None, split: str, show: Show,
    top: float | None,
) -> None:  # fmt: skip
    st.markdown(f"**{md(one.title(60))}**")
    if found is None:
        look = state_text(one.run.status().state)
        later = "They come when it is completed." if look.live else ""
        what = "failed" if look.word == "failed" else f"is {look.word}"
        st.caption(md(f"{look.shape} This run {what} and has no predictions. {later}"))
        return
    if groups is None:
        st.caption(f"This run has no {SPLIT_TITLES[split].lower()} images.")
        return

    matrix(
        groups, selected=None, key=f"compare_matrix_{one.id}", on_pick=lambda cell: _ask(one, split, cell), show=show,
        top=top,
    )  # fmt: skip


def _ask(one: Compared, split: str, cell: str | None) -> None:
    """Have the images of a cell opened by the run that follows."""
    if cell is not None:
        st.session_state[OPEN] = (one.id, split, cell)


def _difference(
    pair: tuple[Compared, Compared], found: dict[str, Judged], grids: Grids, split: str, show: Show
) -> None:
    a, b = pair
    if a.id not in grids or b.id not in grids:
        return
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**Difference: {b.number} − {a.number}**")
        one, other = found[a.id], found[b.id]
        if one.task != other.task:
            st.caption("One of them is single-label, the other multi-label: their matrices have no difference.")
            return
        if one.classes != other.classes:
            st.caption("They have different classes: their matrices have no difference.")
            return
        if one.splits[split] != other.splits[split]:
            st.caption(f"They judged different numbers of images: {one.splits[split]:,} and {other.splits[split]:,}.")
        matrix(
            difference(grids[b.id], grids[a.id]), selected=None, key="compare_difference",
            on_pick=lambda cell: _ask(b, split, cell), show=show, signed=True,
        )  # fmt: skip
    with right:
        rows = compare_data.largest_changes(grids[a.id], grids[b.id])
        st.markdown("**Largest changes**")
        if not rows:
            st.caption("None: each cell counts as many images in both.")
            return
        column = st.column_config.NumberColumn
        columns = {
            "cell": st.column_config.TextColumn("Images"),
            "from": column(f"In {a.number}", format="localized", width=64),
            "to": column(f"In {b.number}", format="localized", width=64),
            "change": st.column_config.TextColumn("Change", alignment="right", width=76),
        }
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="compare_changes", column_config=columns, row_height=35,
                     alt="The cells of the matrix that changed most")  # fmt: skip


# --- settings ---


@st.fragment
def settings(runs: Sequence[Compared]) -> None:
    """The settings in which the runs differ; the equal ones on request."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="compare_settings_head"):
        st.subheader("Settings that differ", anchor=False, width="content")
        equal = st.toggle("Also the equal ones", key="compare_equal", persist_state="session")
    if missing := [one for one in runs if queries.config(one.run) is None]:
        st.caption(f"The settings of {_listed(missing)} can not be read.")
    rows = compare_data.settings_table(runs, equal=equal)
    if not rows:
        st.caption("None: these runs have the same settings.")
        return
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key="compare_settings", row_height=35,
        height=min(560, 38 + 35 * len(rows)),
        column_config={"setting": st.column_config.TextColumn("Setting", pinned=True, width=190)}
        | {one.id: st.column_config.TextColumn(one.title(28)) for one in runs},
        alt="Settings of each run",
    )  # fmt: skip
