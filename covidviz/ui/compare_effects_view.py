"""The part of the Compare page that asks what one setting did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from covidviz.evaluation.effects import Ladder, Noise, effect_of, ladders, noise_of, summary_of
from covidviz.evaluation.metric_names import OVERALL, PER_CLASS, metric_name
from covidviz.store.index import RunSummary
from covidviz.ui import queries
from covidviz.ui.compare_data import Compared, isolated
from covidviz.ui.components.ladders import ladders as draw
from covidviz.ui.fields import LABELS
from covidviz.ui.text import md, number, shorten

__all__ = ["slider_effects"]

FIRST, MOST = 4, 40  # ladders shown at once, and at all
THESE, EVERY = "These runs", "All runs"


@st.fragment
def slider_effects(runs: Sequence[Compared]) -> None:
    """Pairs and rows of runs that differ in one setting only, with the effect and the seed noise."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compare_effects_head"):
        st.subheader("What did this slider do?", anchor=False, width="content")
        metric = _metric(runs)
        scope = st.segmented_control(
            "Of which runs", [THESE, EVERY], key="compare_effects_scope", default=THESE, required=True,
            label_visibility="collapsed", persist_state="session",
        )  # fmt: skip
    rows = [one.summary for one in runs] if scope == THESE else queries.index().snapshot(max_age=5).runs
    rows = sorted(rows, key=lambda row: row.created or 0.0, reverse=True)
    found = ladders(rows, metric)
    noise = noise_of(rows, metric)
    if not found:
        which = "No two of these runs" if scope == THESE else "No two completed runs"
        more = " Look among all runs, or clone a run and move one slider." if scope == THESE else ""
        st.caption(f"{which} differ in one setting only.{more}")
        _say_noise(noise, metric)
        return
    names = list(dict.fromkeys(ladder.setting for ladder in found))
    setting = _setting(names, found)
    own = {one.id for one in runs}
    shown = sorted((one for one in found if one.setting == setting), key=lambda one: -len(one.run_ids & own))
    everything = len(shown) > FIRST and st.toggle(f"All {len(shown)} comparisons", key="compare_effects_all")
    some = shown[: MOST if everything else FIRST]
    titles = _run_titles(runs, rows)
    draw(
        [_table(ladder, shown, noise, titles) for ladder in some], metric=metric_name(metric),
        setting=LABELS.get(setting, setting), key="compare_effects",
    )  # fmt: skip
    _say_noise(noise, metric)


def _metric(runs: Sequence[Compared]) -> str:
    known = dict.fromkeys(key for one in runs for key in one.summary.metrics)
    order = [key for key in OVERALL if key in known]
    order += [key for kind in PER_CLASS for key in known if key.startswith(f"{kind}_")]
    order = order or ["macro_f1"]
    if st.session_state.get("compare_effects_metric") not in order:
        st.session_state["compare_effects_metric"] = "macro_f1" if "macro_f1" in order else order[0]
    return st.selectbox(
        "Metric of the effect", order, key="compare_effects_metric", format_func=metric_name, width=190,
        label_visibility="collapsed",
    )  # fmt: skip


def _setting(names: Sequence[str], found: Sequence[Ladder]) -> str:
    counts = {name: sum(1 for ladder in found if ladder.setting == name) for name in names}
    if st.session_state.get("compare_effects_setting") not in counts:
        st.session_state["compare_effects_setting"] = names[0]
    chosen = st.pills(
        "Setting", list(names), key="compare_effects_setting", label_visibility="collapsed", required=True,
        format_func=lambda name: f"{LABELS.get(name, name)} ({counts[name]})" if name in counts else name,
    )  # fmt: skip
    return chosen or names[0]


def _run_titles(runs: Sequence[Compared], rows: Sequence[RunSummary]) -> dict[str, str]:
    titles = {row.run_id: isolated(shorten(row.name, 40)) for row in rows}
    return titles | {one.id: one.title(40) for one in runs}


def _table(
    ladder: Ladder, beside: Sequence[Ladder], noise: Noise | None, titles: dict[str, str]
) -> dict[str, Any]:  # fmt: skip
    rows: list[dict[str, Any]] = []
    first = ladder.steps[0]
    for step in ladder.steps:
        mean, spread = summary_of(step)
        row: dict[str, Any] = {
            "value": step.title, "mean": mean, "sd": spread, "diff": None, "low": None, "high": None, "said": "",
            "runs": [{"title": titles.get(run_id, run_id), "value": value} for run_id, value in step.runs],
        }  # fmt: skip
        if step is not first:
            found, borrowed = effect_of(first.values, step.values, noise)
            row |= {"diff": found.diff, "low": found.low, "high": found.high, "said": _said(found, borrowed)}
        rows.append(row)
    return {"title": _what_else(ladder, beside), "rows": rows}


def _said(found: Any, borrowed: bool) -> str:
    """Never more than the seeds support: one sentence per case."""
    if found.low is None:
        return "one seed each: nothing tells it from seed noise"
    within = "within the seed noise" if found.low <= 0 <= found.high else "beyond the seed noise"
    return f"{within} (noise of other runs)" if borrowed else within


def _what_else(ladder: Ladder, beside: Sequence[Ladder]) -> str:
    """The settings that tell this comparison from the others of the same setting."""
    apart = [name for name in ladder.others if len({other.others.get(name) for other in beside}) > 1]
    named = [f"{LABELS.get(name, name)}: {shorten(ladder.others[name], 40)}" for name in apart]
    return ", ".join(named[:8]) if named else ""


def _say_noise(noise: Noise | None, metric: str) -> None:
    name = metric_name(metric)
    words = f"{md(name[:1].upper() + name[1:])} on the validation images at each run's best epoch. "
    if noise is None:
        st.caption(
            f"{words}No setting was trained with two seeds, so how far the seed alone moves it is not known: "
            "*Seeds to train with* on the New run page tells."
        )
        return
    groups = "one setting" if noise.groups == 1 else f"{noise.groups} settings"
    st.caption(
        f"{words}Seed noise: standard deviation {number(noise.deviation)} between seeds of {groups}. "
        "Intervals are Student's at 95 %; of many sliders one in twenty looks like an effect by chance."
    )
