"""Where a run looks, in numbers, and whether its heat maps depend on what it learned: a view of the Run page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.explain.dependence import ALIKE, UNLIKE, Dependence, read
from covidviz.explain.masks import GUESSED
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import flash, heat_tasks, nav, state
from covidviz.ui.components.heat_shares import heat_shares, rows_of
from covidviz.ui.components.plot import plot
from covidviz.ui.heat_measures import Group, Measured, groups, measured
from covidviz.ui.results import SPLIT_TITLES, Results
from covidviz.ui.text import md, percent

__all__ = ["heat", "sentence"]

MAPS = {"predicted": "Map of the predicted class", "true": "Map of the true class"}
MASKS = {
    "dataset": "come with the dataset",
    "pspnet": "were found by torchxrayvision's PSPNet",
    "classical": "were found by a simple rule, right in 5 of 6 X-rays: see the outline in the detail view of an image",
}
COARSE = 3  # points along a side; with fewer each of them holds as much border as any other
VERDICTS = {"yes": ("✓ yes", "green"), "partly": ("~ partly", "orange"), "no": ("✕ no", "red")}


def heat(run: Run, found: Results, split: str, intervals: bool) -> None:
    """Shares of the heat per class and cell, the search for lungs, the sanity check. Ticks only while one is made."""
    busy = _busy(run)
    st.fragment(_heat, run_every=1.0 if busy else None)(run, found, split, intervals, was_busy=busy)


def _busy(run: Run) -> bool:
    return any(task is not None and task.alive for task in (heat_tasks.finding(run), heat_tasks.checking(run)))


def _heat(run: Run, found: Results, split: str, intervals: bool, *, was_busy: bool) -> None:
    if _busy(run) != was_busy or not run.dir.is_dir():
        st.rerun()
    flash.show()
    numbers = measured(run, split)
    if numbers is None:
        st.info(
            f"There are no heat maps of {SPLIT_TITLES[split].lower()}: a run logs those of validation and test. "
            "On the Images page more can be made.",
            icon=":material/info:",
        )
        st.page_link(nav.IMAGES, label="Images", icon=":material/imagesmode:", query_params=_here(run, split))
    else:
        _shares(run, found, split, intervals, numbers)
    _sanity(run)


def _here(run: Run, split: str) -> dict[str, str]:
    return state.params(run=run.id, split=split, order="all")


def _shares(run: Run, found: Results, split: str, intervals: bool, numbers: Measured) -> None:
    map_of = "predicted"
    if found.task == "single-label":
        map_of = (
            st.segmented_control(
                "Which map",
                list(MAPS),
                format_func=MAPS.__getitem__,
                default="predicted",
                required=True,
                key="heat_map_of",
                label_visibility="collapsed",
                persist_state="session",
            )
            or "predicted"
        )
    of = groups(run, split, "true" if map_of == "true" else "predicted", found=found)
    if not of:
        st.info("None of the images of this split has both a prediction and a heat map.", icon=":material/info:")
        return
    if numbers.side < COARSE:
        st.info(
            f"These heat maps have {numbers.side} x {numbers.side} points, too few to tell border and corners from the "
            "rest. Train with larger images to see where the network looks.",
            icon=":material/grid_view:",
        )
    elif of[0].kind == "all":
        st.markdown(md(sentence(of[0])))
    heat_shares(rows_of(of), intervals=intervals, key="heat_shares")
    _masks(run, split, numbers)


def sentence(group: Group) -> str:
    """Where the heat of a group lies beside heat spread evenly, in words that follow the numbers; plain text."""
    parts = []
    for name, where in (("lungs", "in the lungs"), ("border", "on the border"), ("lesion", "on the lesions")):
        if share := group.shares.get(name):
            beside = {"about": "about what"}.get(share.beside_chance, f"{share.beside_chance} what")
            what = f"{percent(share.value)} {where}, {beside} even heat would have ({percent(share.chance)})"
            parts.append(what)
    return f"Of the heat: {'; '.join(parts)}." if parts else "None of these maps shows any heat."


def _masks(run: Run, split: str, numbers: Measured) -> None:
    """Where the lung masks are from, or how to get them."""
    task = heat_tasks.finding(run)
    if task is not None and task.alive:
        st.progress(task.share or 0.0, text=f"Looking for the lungs: {md(task.line or 'starting')}")
        return
    if task is not None and task.failed:
        st.error(f"The lungs could not be found: {md(task.failed)}", icon=":material/error:")
    if numbers.masks is None:
        with st.container(horizontal=True, vertical_alignment="center"):
            _button("Find the lungs", "find_lungs", lambda: heat_tasks.find_lungs(run, split))
            st.caption("How much of the heat lies in the lungs is told once they are found: once per dataset.")
        return
    known = {name: n for name, n in numbers.masks.items() if n and name != "none"}
    parts = [f"{n:,} lung masks {MASKS[name]}" for name, n in known.items()]
    if missing := numbers.masks.get("none", 0):
        parts.append(f"{missing:,} {'image has' if missing == 1 else 'images have'} none")
    if numbers.left_out:
        parts.append(f"{numbers.left_out:,} images beyond {len(numbers.sample_id):,} were left out")
    icon = ":material/info:" if any(name in known for name in GUESSED) or missing else ":material/check:"
    st.caption(f"{icon} {md('; '.join(parts))}.")


# --- the sanity check


def _sanity(run: Run) -> None:
    st.subheader("Do the heat maps depend on what was learned?", anchor=False)
    found, task = read(run), heat_tasks.checking(run)
    if task is not None and task.alive:
        st.progress(task.share or 0.0, text=f"Replacing weights with random ones: {md(task.line or 'starting')}")
        return
    if task is not None and task.failed:
        st.error(f"It could not be checked: {md(task.failed)}", icon=":material/error:")
    if found is None:
        with st.container(horizontal=True, vertical_alignment="center"):
            weights = run.version(layout.BEST) != (0, 0)
            _button("Check it", "check_sanity", lambda: heat_tasks.check(run), disabled=not weights)
            st.caption(
                "Layer after layer gets random weights, from the head down. Heat maps that stay as they were show the "
                "image, not what was learned (Adebayo et al. 2018). It takes about a minute, once per run."
                if weights
                else "It needs the weights of this run, which are not here."
            )
        return
    word, colour = VERDICTS[found.verdict]
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="center")
    with left:
        st.badge(word, color=colour)  # type: ignore[arg-type]
        st.markdown(md(found.words))
        st.caption(
            f"Grad-CAM of {found.images} validation images, epoch {found.epoch}. Similarity is the rank correlation of "
            f"the map with random weights and the map as it was: below {UNLIKE} is another map, from {ALIKE} the same."
        )
        _button("Check again", "check_sanity", lambda: heat_tasks.check(run))
    with right:
        plot(
            _figure(found),
            key="sanity_curve",
            label="Similarity of the heat maps as layers are randomised from the head down: "
            + ", ".join(f"{step.layer} {step.similarity:.2f}" for step in found.steps),
            height=260,
            keep=run.id,
        )


def _figure(found: Dependence) -> dict[str, Any]:
    layers = [step.layer.removeprefix("features.") for step in found.steps]
    middle = [step.similarity for step in found.steps]
    spread = {
        "type": "data",
        "symmetric": False,
        "array": [step.high - step.similarity for step in found.steps],
        "arrayminus": [step.similarity - step.low for step in found.steps],
        "color": "@text/55",
    }
    trace = {
        "type": "scatter", "mode": "lines+markers", "x": layers, "y": middle, "error_y": spread, "showlegend": False,
        "line": {"color": "@primary", "width": 2}, "marker": {"size": 8, "color": "@primary"},
        "hovertemplate": "%{x} and above random: %{y:.2f}<extra></extra>",
    }  # fmt: skip

    def level(y: float) -> dict[str, Any]:
        line = {"color": "@text/55", "width": 1, "dash": "dot"}
        return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line, "layer": "below"}

    return {
        "data": [trace],
        "layout": {
            "margin": {"l": 52, "r": 8, "t": 10, "b": 64},
            "xaxis": {
                "title": {"text": "random down to this layer", "font": {"size": 13}},
                "type": "category",
                "automargin": True,
            },
            "yaxis": {"title": {"text": "similarity", "font": {"size": 13}}, "range": [-0.5, 1.05], "dtick": 0.5},
            "shapes": [level(UNLIKE), level(ALIKE)],
        },
    }


def _button(title: str, key: str, act: Callable[[], None], *, disabled: bool = False) -> None:
    def clicked() -> None:
        try:
            act()
        except CovidvizError as error:
            flash.say(error, "error")

    st.button(title, key=key, on_click=clicked, disabled=disabled)
