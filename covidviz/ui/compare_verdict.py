"""The top of the Compare page: which two, the verdict in words, the differences, and the images that changed sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from covidviz.ui import compare_pairs, state
from covidviz.ui.compare_data import Compared
from covidviz.ui.compare_flips import flips
from covidviz.ui.compare_pairs import Outcome, Side
from covidviz.ui.components.forest import forest, forest_rows
from covidviz.ui.results import SPLIT_TITLES
from covidviz.ui.text import md

__all__ = ["verdict_and_flips"]

ICONS = {"better": ":material/trending_up:", "worse": ":material/trending_down:", "mixed": ":material/swap_vert:",
         "none": ":material/balance:"}  # fmt: skip


def verdict_and_flips(runs: Sequence[Compared]) -> tuple[Compared, Compared] | None:
    """All of it, or one sentence where fewer than two of the runs have predictions.

    Returns:
        The first run of each side, None without a verdict.
    """
    offered = compare_pairs.sides(runs)
    pair = compare_pairs.chosen(offered)
    if pair is None:
        able = "One of these runs has" if offered else "None of these runs has"
        st.caption(f":material/balance: {able} predictions, which come when a run is completed. A verdict needs two.")
        return None
    first = pair[0].runs[0], pair[1].runs[0]
    with st.container(border=True, key="compare_verdict"):
        split = _choose(offered, pair)
        found = compare_pairs.judged_pair(pair, split)
        if found.paired is None:
            st.markdown("#### :material/link_off: No paired verdict")
            st.markdown(md(found.missing or ""))
            st.caption("Curves, numbers, settings and the matrix of each run are below.")
            return first
        left, right = st.columns([6, 7], gap="medium")
        with left:
            _words(found, split)
        with right:
            a, b = (_column(side, letter) for side, letter in zip(pair, "AB", strict=True))
            forest(forest_rows(found.paired), a=a, b=b, key="compare_forest")
    flips(found, pair, split)
    return first


def _column(side: Side, letter: str) -> str:
    return f"{letter}, run {side.runs[0].number}" if len(side.runs) == 1 else f"{letter}, {len(side.runs)} seeds"


def _choose(offered: Mapping[str, Side], pair: tuple[Side, Side]) -> str:
    a, b = pair
    titles = {key: side.title for key, side in offered.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="compare_pair"):
        _pick("Baseline (A)", "a", "b", titles, a.key, b.key)
        st.button("Swap", key="compare_swap", icon=":material/swap_horiz:", help="Baseline and other change places",
                  on_click=lambda: state.link(a=b.key, b=a.key))  # fmt: skip
        _pick("Other (B)", "b", "a", titles, b.key, a.key)
        return _split(compare_pairs.offered_splits(pair))


def _pick(label: str, name: str, other: str, titles: Mapping[str, str], chosen: str, kept: str) -> None:
    key = f"compare_{name}"

    def changed() -> None:
        picked = st.session_state[key]
        state.link(**{name: picked, other: chosen if picked == kept else kept})

    st.session_state[key] = chosen
    st.selectbox(label, list(titles), key=key, format_func=titles.__getitem__, on_change=changed, width=300)


def _split(offered: Sequence[str]) -> str:
    split = state.get("split", offered, offered[0] if offered else "val") or "val"

    def changed() -> None:
        state.link(split=st.session_state["compare_split"])

    st.session_state["compare_split"] = split
    st.segmented_control(
        "Images", offered, key="compare_split", required=True, on_change=changed, format_func=SPLIT_TITLES.__getitem__
    )
    return split


def _words(found: Outcome, split: str) -> None:
    if found.paired is None or found.verdict is None or found.matched is None:
        return
    paired, said = found.paired, found.verdict
    st.markdown(f"#### {ICONS[said.kind]} {md(said.headline)}")
    of = f" of {paired.units:,} patients" if found.matched.patients else ""
    images = "image" if paired.n == 1 else "images"
    st.markdown(f"On the same {paired.n:,} {SPLIT_TITLES[split].lower()} {images}{of}: {md(said.numbers)}.")
    st.markdown(
        f"| images | B right | B wrong |\n|:--|--:|--:|\n"
        f"| **A right** | {paired.both_right:,} | {paired.broken:,} |\n"
        f"| **A wrong** | {paired.fixed:,} | {paired.both_wrong:,} |"
    )
    notes = [*found.matched.notes, *said.cautions]
    if notes:
        st.caption("  \n".join(f":material/info: {md(note)}" for note in notes))
