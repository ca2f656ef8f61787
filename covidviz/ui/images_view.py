"""The Images page: which images, the gallery, what is done with them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.evaluation.ranking import ORDERS, cells
from covidviz.evaluation.replay import FATES
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import flash, images_panels, nav, pictures, queries, replays, run_view, state, tasks
from covidviz.ui.album import query_album
from covidviz.ui.components.gallery import browser
from covidviz.ui.image_query import SEEDS, Query, query_of, rows_of, sources
from covidviz.ui.replays import found_at, measured_at
from covidviz.ui.results import SPLIT_TITLES, Results
from covidviz.ui.results_view import cell_sentence, missing_images, split_choice
from covidviz.ui.text import md, shorten

__all__ = ["images", "not_yet"]

ORDER_TITLES = {"worst": "Worst", "best": "Best", "uncertain": "Most uncertain", "random": "Random", "all": "All"}
ORDER_WORDS = {
    "worst": "the worst first",
    "best": "the most confident first",
    "uncertain": "the most uncertain first",
    "random": "in random order",
    "all": "highest loss first",
}
EXPLAIN_FIRST, EXPLAIN_MOST = 60, 200  # images at once
ROOM = "max(400px, 100dvh - 285px)"
ANY = ""


def images(run: Run) -> None:
    """Filters, what is shown in one sentence, and the images; of a run without results, why there are none.

    A fragment: a click draws nothing else anew, and it ticks only while heat maps or a map are made, or the run trains.
    """
    if found_at(run, None) is None:
        not_yet(run)
        return
    busy, live = _busy(run), run.status().live
    every = 1 if busy else run_view.POLL_S if live else None
    st.fragment(_images, run_every=every)(run, was_busy=busy, was_live=live)


def _busy(run: Run) -> bool:
    return any(task is not None and task.alive for task in (_task(run), images_panels.map_task(run)))


def _images(run: Run, *, was_busy: bool, was_live: bool) -> None:
    if _busy(run) != was_busy or run.status().live != was_live:
        st.rerun()  # start or end ticking
    found = found_at(run, None)
    if found is None:
        st.rerun()  # it was deleted since
    task = _task(run)
    if task is not None and not task.alive and not task.failed:
        tasks.forget(_task_name(run))
        task = None
    flash.show()
    query = _choose(run, found)
    images_panels.panels(run, found, query, lambda **changes: _go(run, query, **changes))
    found = found_at(run, query.epoch) or found
    rows = rows_of(run, query)
    st.markdown(_sentence(len(rows), found, query))
    if replays.EPOCH in found.frame and query.epoch is None:
        why = {True: "this run has not ended yet", False: "the last that this run got to"}[run.status().live]
        why = "its predictions can't be read" if run.status().state == "completed" else why
        st.caption(f"As in epoch {found.frame[replays.EPOCH].iloc[0]}: {why}.")
    _note_link(run, found, query, rows)
    if not len(rows):
        _nothing(run, query)
        return
    shown = query_album(run, found, rows, query, state.get("img"))
    missing_images(shown)
    ids, mapped = rows["sample_id"].astype(str).tolist(), pictures.heat_ids(run, query.split)
    missing = [name for name in ids if name not in mapped]
    here = {"run": run.id, **query.params}

    def opened(sample_id: str | None) -> None:
        state.link(**here, img=sample_id)

    def explain(asked: Sequence[str]) -> None:
        known, wanted = set(ids), set(missing)
        chosen = [name for name in asked if name in wanted] if asked else missing[:EXPLAIN_FIRST]
        if not chosen:
            flash.say("These have a heat map." if any(name in known for name in asked) else "None of these is shown.")
            return
        if (working := _task(run)) is not None and working.alive:
            return
        try:
            tasks.forget(_task_name(run))
            tasks.start(_task_name(run), "explain", str(run.dir), query.split, *chosen[:EXPLAIN_MOST])
        except CovidvizError as error:
            flash.say(error, "error")

    settings = queries.config(run)
    browser(
        shown,
        label=f"{len(rows):,} images",
        key="gallery",
        on_open=opened,
        title=shorten(settings.name if settings else run.id, 80),
        explain={
            "missing": len(missing),
            "weights": run.version(layout.BEST) != (0, 0),
            "task": None if task is None else _said(task),
        },
        on_explain=explain,
        room=ROOM,
    )


def not_yet(run: Run) -> None:
    """Why there is nothing to see of a run without predictions, and where to go from here."""
    status = run.status()
    words = {
        "stopped": ("The images are judged at the end of a run. Resume this one to get there.", ":material/resume:"),
        "lost": ("The images are judged at the end of a run. Resume this one to get there.", ":material/resume:"),
        "failed": ("This run failed before its images were judged.", ":material/error:"),
        "completed": ("The predictions of this run can't be read.", ":material/error:"),
        "broken": ("This run directory can't be read.", ":material/error:"),
    }
    live = ("The images of a run can be judged when it is completed: then its predictions are there.", None)
    text, icon = words.get(status.state, live)
    st.info(text, icon=icon or ":material/schedule:")
    st.page_link(nav.RUN, label="See the run", icon=":material/monitoring:", query_params={"run": run.id})


# --- the filters


def _choose(run: Run, found: Results) -> Query:
    """What the link says; the widgets show it and write it."""
    query = query_of(st.query_params.get, found, run)
    with st.container(gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            split_choice(run, found)
            _order(run, query)
            if query.order == "random":
                st.button(
                    "Shuffle",
                    key="shuffle",
                    icon=":material/shuffle:",
                    on_click=lambda: _go(run, query, seed=secrets.randbelow(SEEDS)),
                )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _classes(run, found, query)
            _source(run, found, query)
            images_panels.choice(query)
            _fate(run, query)
            if query.filtered:
                st.button(
                    "Clear filters",
                    key="clear_filters",
                    icon=":material/filter_alt_off:",
                    type="tertiary",
                    on_click=lambda: _go(run, query, cls=None, pred=None, cell=None, source=None, fate=None, area=None),
                )
    return query


def _go(run: Run, query: Query, **changes: Any) -> None:
    state.link(**{"run": run.id, **query.params, "img": None, **changes})


def _order(run: Run, query: Query) -> None:
    st.session_state["order"] = query.order
    st.segmented_control(
        "Order",
        list(ORDERS),
        key="order",
        required=True,
        format_func=ORDER_TITLES.__getitem__,
        label_visibility="collapsed",
        on_change=lambda: _go(run, query, order=st.session_state["order"]),
    )


def _classes(run: Run, found: Results, query: Query) -> None:
    """True and predicted class. With one label per image both together are a cell of the matrix, and written so."""
    numbers = measured_at(run, query.split, query.epoch)
    document = numbers.confusion
    single = found.task == "single-label"
    if single:
        said = {name: sum(row[j] for row in document["matrix"]) for j, name in enumerate(found.classes)}
    else:
        said = {name: document[name]["tp"] + document[name]["fp"] for name in found.classes}
    cls, pred = query.cls, query.pred
    if single and query.cell:
        i, j = map(int, query.cell.split("-"))
        cls, pred = found.classes[i], found.classes[j]

    def changed(cls: str | None, pred: str | None) -> None:
        both = single and cls and pred
        cell = f"{found.classes.index(cls)}-{found.classes.index(pred)}" if both and cls and pred else None
        order = "all" if cell and query.order == "worst" else "worst" if query.cell and not cell else query.order
        named = {"cls": None, "pred": None} if both else {"cls": cls, "pred": pred}
        _go(run, query, cell=cell, order=order, **named)

    _pick("true", "True class", "Any true class", numbers.support, cls, lambda name: changed(name, pred))
    _pick("predicted", "Predicted class", "Any predicted class", said, pred, lambda name: changed(cls, name))
    if not single:
        counts = {
            f"{k}-{kind}": document[name][kind]
            for k, name in enumerate(found.classes)
            for kind in ("fn", "fp", "tp", "tn")
        }
        titles = {cell: cell_sentence(cell, found) for cell in cells(found.classes, found.task)}
        options = {cell: n for cell, n in counts.items() if cell in titles}
        _pick(
            "cell", "Cell of a matrix", "Any cell", options, query.cell,
            lambda cell: _go(run, query, cls=None, pred=None, cell=cell, order="all" if cell else "worst"),
            titles,
        )  # fmt: skip


def _source(run: Run, found: Results, query: Query) -> None:
    known = sources(found)
    if len(known) < 2 and query.source is None:
        return
    frame = found.frame
    counts = frame.loc[frame["split"] == query.split, "source"].astype(str).value_counts()
    _pick(
        "source", "Source", "Any source", {name: int(counts.get(name, 0)) for name in known}, query.source,
        lambda name: _go(run, query, source=name),
    )  # fmt: skip


def _fate(run: Run, query: Query) -> None:
    """What became of the images over the epochs, if that was asked for and the panel that asks it is closed."""
    known = replays.replay(run) if query.fate is not None and not images_panels.epochs_open() else None
    if known is None:
        return
    counts = {name: int((known.fates.kind == k).sum()) for k, name in enumerate(FATES)}
    _pick("fate", "What became of them", "Whatever became of them", counts, query.fate,
          lambda name: _go(run, query, fate=name), replays.FATE_TITLES)  # fmt: skip


def _pick(
    key: str,
    label: str,
    every: str,
    counts: dict[str, int],
    chosen: str | None,
    on_change: Any,
    titles: dict[str, str] | None = None,
) -> None:
    """One list with `every` first; its options are plain text, of whatever length."""
    names = titles or {}
    options = {ANY: every} | {name: f"{shorten(names.get(name, name), 60)} ({n:,})" for name, n in counts.items()}
    prefix = {"true": "true ", "predicted": "predicted "}.get(key, "")
    st.session_state[f"pick_{key}"] = chosen or ANY
    st.selectbox(
        label,
        list(options),
        key=f"pick_{key}",
        width=230 if key != "cell" else 330,
        label_visibility="collapsed",
        format_func=lambda name: options[name] if name == ANY else f"{prefix}{options[name]}",
        on_change=lambda: on_change(st.session_state[f"pick_{key}"] or None),
    )


# --- words


def _plain(n: int, found: Results, query: Query) -> str:
    """`12 wrong images of validation: true covid19, the worst first`; plain text."""
    kind = {"worst": "wrong ", "best": "right "}.get(query.order, "") if query.cell is None else ""
    what = []
    if query.cell is not None:
        what.append(cell_sentence(query.cell, found))
    if query.cls is not None:
        what.append(f"true {query.cls}")
    if query.pred is not None:
        what.append(f"predicted {query.pred}")
    if query.source is not None:
        what.append(f"source {query.source}")
    if query.fate is not None:
        what.append(replays.FATE_TITLES[query.fate].lower())
    named = f": {', '.join(what)}" if what else ""
    images = f"{n:,} {kind}{'image' if n == 1 else 'images'} of {SPLIT_TITLES[query.split].lower()}"
    if query.epoch is not None:
        images += f" in epoch {query.epoch}"
    if query.area is not None:
        images += ", chosen in the map"
    return f"{images}{named}, {ORDER_WORDS[query.order]}"


def _sentence(n: int, found: Results, query: Query) -> str:
    count, _, rest = _plain(n, found, query).partition(" of ")
    return f"**{md(count)}** of {md(rest)}"


def _note_link(run: Run, found: Results, query: Query, rows: pd.DataFrame) -> None:
    """What a link asked for and can't have is said, once and quietly."""
    asked = st.query_params.get("cell")
    if asked and asked not in cells(found.classes, found.task):
        st.caption(f":material/info: There is no cell {md(shorten(asked))} in this run, so all are shown.")
    for key, what in (("cls", "class"), ("pred", "class"), ("source", "source")):
        given = st.query_params.get(key)
        if given and not query.cell and given != getattr(query, key):
            st.caption(f":material/info: There is no {what} {md(shorten(given))} in this run, so all are shown.")
    for key, what in (("epoch", "epoch"), ("area", "map, so no choice on it")):
        given = st.query_params.get(key)
        if given and getattr(query, key) is None and query.split == replays.SPLIT:
            words = f"{what} {md(shorten(given))}" if key == "epoch" else what
            st.caption(f":material/info: There is no {words} in this run.")
    img = st.query_params.get("img")
    if not img or (rows["sample_id"].astype(str) == img).any():
        return
    known = found.frame[found.frame["sample_id"].astype(str) == img]
    with st.container(horizontal=True, vertical_alignment="center"):
        if known.empty:
            st.caption(f":material/info: This run has no image {md(shorten(img))}.", width="content")
            return
        st.caption(f":material/info: Image {md(shorten(img))} is not among these.", width="content")
        there = Query(split=str(known["split"].iloc[0]), order="all")
        st.button(
            "Show it",
            key="show_img",
            type="tertiary",
            on_click=lambda: state.link(run=run.id, **there.params, img=img),
        )


def _nothing(run: Run, query: Query) -> None:
    if query.order == "worst" and not query.filtered:
        st.success("No image of this split is wrong.", icon=":material/check_circle:")
        return
    st.info("No image fits.", icon=":material/filter_alt_off:")
    with st.container(horizontal=True):
        if query.order in ("worst", "best") and query.cell is None:
            word = "right" if query.order == "worst" else "wrong"
            st.button(f"Also show the {word} ones", key="show_all", on_click=lambda: _go(run, query, order="all"))


# --- heat maps on demand


def _task_name(run: Run) -> str:
    return f"explain-{run.id}"


def _task(run: Run) -> tasks.Task | None:
    return tasks.look(_task_name(run))


def _said(task: tasks.Task) -> dict[str, Any]:
    """What the browser shows of a task."""
    return {
        "busy": task.alive,
        "line": shorten(task.line or "starting", 120),
        "share": task.share,
        "failed": shorten(task.failed, 300) if task.failed else None,
    }
