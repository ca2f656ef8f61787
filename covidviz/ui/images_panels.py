"""The two panels of the Images page that choose validation images: the epochs, and the map."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.evaluation.ranking import cells
from covidviz.evaluation.replay import FATES
from covidviz.store import layout, maps
from covidviz.store.reader import Run
from covidviz.ui import flash, places, replays, state, tasks
from covidviz.ui.components.place_map import place_map
from covidviz.ui.components.replay import on_images
from covidviz.ui.image_query import Query
from covidviz.ui.results import SPLIT_TITLES, Results
from covidviz.ui.text import md, shorten

__all__ = ["choice", "epochs_open", "map_task", "panels"]

PANELS = {"epochs": ":material/history: Epochs", "map": ":material/scatter_plot: Map"}
OPEN = "_images_panels"  # session: which are open

Go = Callable[..., None]


def choice(query: Query) -> None:
    """The two buttons. A link that needs a panel opens it once."""
    if st.session_state.get("_images_panels_visit") != (here := (state.visit(), state.asked_run())):
        st.session_state["_images_panels_visit"] = here
        needed = {"epochs": query.epoch is not None or query.fate is not None, "map": query.area is not None}
        st.session_state[OPEN] = [
            name for name in PANELS if needed[name] or name in st.session_state.get(OPEN, [])
        ]  # fmt: skip

    def changed() -> None:
        st.session_state[OPEN] = list(st.session_state["images_panels"])

    st.session_state["images_panels"] = st.session_state[OPEN]
    st.pills(
        "Panels", list(PANELS), selection_mode="multi", key="images_panels", format_func=PANELS.__getitem__,
        label_visibility="collapsed", on_change=changed,
    )  # fmt: skip


def epochs_open() -> bool:
    """Whether the panel of the epochs is."""
    return "epochs" in st.session_state.get(OPEN, [])


def panels(run: Run, found: Results, query: Query, go: Go) -> None:
    """The panels that are open.

    Args:
        found: what the query is asked of.
        go: changes the link: fields of the query by name.
    """
    opened = st.session_state.get(OPEN, [])
    if not opened:
        return
    if query.split != replays.SPLIT:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/info: Epochs and map know the images of {SPLIT_TITLES[replays.SPLIT].lower()} only.",
                width="content",
            )
            if replays.SPLIT in found.splits:
                st.button("Show them", key="panels_val", type="tertiary", on_click=lambda: go(split=replays.SPLIT))
        return
    if "epochs" in opened:
        _epochs(run, found, query, go)
    if "map" in opened:
        with st.container(key="images_map"):
            _map(run, query, go)


def _all_of(query: Query, chosen: object) -> str:
    """The order that shows all that was just chosen, where only the wrong ones were shown; and back again."""
    if chosen:
        return "all" if query.order == "worst" else query.order
    return "worst" if query.order == "all" and query.cell is None else query.order


# --- epochs


def _epochs(run: Run, found: Results, query: Query, go: Go) -> None:
    known = replays.replay(run)
    if known is None:
        st.caption(f":material/info: {md(replays.reason(run))}")
        return
    if not replays.sendable(known):
        st.caption(f":material/info: {len(known.sample_id):,} images are too many to be replayed in a browser.")
        return
    live = run.status().live

    def moved(epoch: object) -> None:
        go(epoch=epoch if isinstance(epoch, int) and epoch in known.epochs else None)

    def picked(cell: object) -> None:
        there = cell if cell in cells(found.classes, found.task) else None
        go(cell=there, cls=None, pred=None, order="all" if there else "worst")

    on_images(
        f"/replay/{run.id}?v={replays.key(run)}",
        run.id,
        live=live,
        epoch=query.epoch,
        cell=query.cell,
        fate=query.fate,
        opened=state.get("img") is not None,
        key="images_replay",
        on_epoch=moved,
        on_cell=picked,
        on_fate=lambda fate: go(fate=fate if fate in FATES else None, order=_all_of(query, fate)),
    )
    if query.epoch is not None:
        st.caption(
            f"As in epoch {query.epoch}. The loss is the cross-entropy of its probabilities; heat maps are of the best "
            "epoch."
        )


# --- the map


def _name(run: Run) -> str:
    return f"map-{run.id}"


def map_task(run: Run) -> tasks.Task | None:
    """The making of the map, while it goes on or where it failed."""
    return tasks.look(_name(run))


def _map(run: Run, query: Query, go: Go) -> None:
    task, known = map_task(run), places.place_map(run)
    if task is not None and not task.alive and not task.failed:
        tasks.forget(_name(run))
        task = None
    if task is not None and task.alive:
        st.progress(task.share or 0.0, text=md(shorten(task.line or "starting", 120)))
        return
    if known is None:
        _offer(run, task)
        return
    at = "" if query.epoch is None else f"&epoch={query.epoch}"

    def outlined(area: object) -> None:
        understood = places.area_of(area) if isinstance(area, str) else None
        go(area=None if understood is None else places.area_text(understood), order=_all_of(query, understood))

    def opened(sample_id: str, chosen: bool) -> None:
        kept = {} if chosen else {"area": None}
        go(order="all", cell=None, cls=None, pred=None, source=None, fate=None, **kept, img=sample_id)

    place_map(
        f"/map/{run.id}?v={places.key(run, query.epoch)}{at}",
        run.id,
        area=None if query.area is None else [list(corner) for corner in query.area],
        key="place_map",
        on_area=outlined,
        on_open=opened,
    )
    left_out = known.of - len(known.sample_id)
    fewer = f", {left_out:,} of {known.of:,} images left out at random" if left_out > 0 else ""
    st.caption(
        f"Near means alike to this network before its head: {md(known.method)}{fewer}. Distances between far groups, "
        "and the sizes of groups, mean little."
    )


def _offer(run: Run, task: tasks.Task | None) -> None:
    """A button that has the map made, or why there can't be one."""
    if run.version(layout.BEST) == (0, 0):
        st.caption(":material/info: There is no map: the weights of this run were not kept, or are not there yet.")
        return
    if task is not None and task.failed:
        st.caption(f":material/error: {md(shorten(task.failed, 300))}")

    def begin() -> None:
        try:
            tasks.forget(_name(run))
            maps.forget(run, replays.SPLIT)
            tasks.start(_name(run), "map", str(run.dir))
        except CovidvizError as error:
            flash.say(error, "error")

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Try again" if task is not None else "Draw the map", key="draw_map", icon=":material/scatter_plot:",
                  on_click=begin)  # fmt: skip
        st.caption(
            "The validation images in two dimensions, as this run's network sees them before its head. Made once.",
            width="content",
        )
