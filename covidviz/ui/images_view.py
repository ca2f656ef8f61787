"""The Images page: which images, the gallery, and one of them large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from covidviz.evaluation.ranking import ORDERS, cells, select
from covidviz.store.reader import Run
from covidviz.ui import state
from covidviz.ui.album import PER_PAGE, album, page_of
from covidviz.ui.components.gallery import gallery
from covidviz.ui.components.viewer import viewer
from covidviz.ui.results import Results, measured
from covidviz.ui.results_view import cell_sentence, label_of, missing_images, split_choice
from covidviz.ui.text import md

__all__ = ["Choice", "choose", "show"]

ORDER_TITLES = {"worst": "Worst", "best": "Best", "all": "All"}


@dataclass(frozen=True)
class Choice:
    """What the link says, checked: which images in which order, and the one to show."""

    split: str
    order: str
    cls: str | None
    cell: str | None
    img: str | None


def choose(run: Run, found: Results) -> Choice:
    """The filters, taken from and written to the link."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        split = split_choice(run, found)
        cell = state.get("cell", cells(found.classes, found.task))
        cls = None if cell else state.get("cls", found.classes)
        order = state.get("order", ORDERS, "worst" if cell is None else "all") or "worst"
        _order_choice(run, order)
        _which_choice(run, found, split, cls, cell)
    return Choice(split, order, cls, cell, state.get("img"))


def _order_choice(run: Run, order: str) -> None:
    def changed() -> None:
        state.link(run=run.id, order=st.session_state["order"], img=None)

    st.session_state["order"] = order
    st.segmented_control(
        "Order",
        list(ORDERS),
        key="order",
        required=True,
        on_change=changed,
        format_func=ORDER_TITLES.__getitem__,
        label_visibility="collapsed",
    )


def _which_choice(run: Run, found: Results, split: str, cls: str | None, cell: str | None) -> None:
    """One list of classes and cells; its values are `""`, `cls NAME` and `cell ID`."""
    counts = _cell_counts(run, found, split)
    support = measured(run, split).support
    titles = {"": "Every class and cell"}
    titles |= {f"cls {name}": f"true {name} ({support[name]:,})" for name in found.classes}
    titles |= {f"cell {name}": f"{cell_sentence(name, found)} ({n:,})" for name, n in counts.items()}

    def changed() -> None:
        kind, _, name = st.session_state["which"].partition(" ")
        chosen = {"cls": None, "cell": None, **({kind: name} if kind else {})}
        state.link(
            run=run.id, **chosen, img=None, order="all" if kind == "cell" else "worst" if cell else state.get("order")
        )

    st.session_state["which"] = f"cell {cell}" if cell else f"cls {cls}" if cls else ""
    st.selectbox(
        "Class or cell",
        list(titles),
        key="which",
        on_change=changed,
        width=330,
        format_func=titles.__getitem__,
        label_visibility="collapsed",
    )


def _cell_counts(run: Run, found: Results, split: str) -> dict[str, int]:
    document = measured(run, split).confusion
    if found.task == "single-label":
        flat = [n for row in document["matrix"] for n in row]
    else:
        flat = [document[name][kind] for name in found.classes for kind in ("tp", "fn", "fp", "tn")]
    return dict(zip(cells(found.classes, found.task), flat, strict=True))


def show(run: Run, found: Results, choice: Choice) -> None:
    """The images of `choice`: one large, all as tiles."""
    rows = select(
        found.frame, found.classes, found.task, split=choice.split, order=choice.order, cls=choice.cls, cell=choice.cell
    )
    st.markdown(_sentence(rows, found, choice))
    if not len(rows):
        st.info("No image fits. Choose another split, order, class or cell.", icon=":material/filter_alt_off:")
        return
    ids = rows["sample_id"].astype(str).tolist()
    img = choice.img if choice.img in ids else None
    page = page_of(ids, img)
    label = choice.cls if found.task == "multi-label" and choice.cls else label_of(choice.cell, found)
    shown = album(run, rows, found.classes, found.task, page=page, label=label)
    missing_images(shown)

    def picked(sample_id: str) -> None:
        state.link(run=run.id, split=choice.split, order=choice.order, cls=choice.cls, cell=choice.cell, img=sample_id)

    selected = img or ids[page * PER_PAGE]
    left, right = st.columns([5, 2], gap="medium")
    with left:
        viewer(shown, selected=selected, key="viewer", on_pick=picked)
    with right:
        gallery(
            shown,
            selected=selected,
            label=f"{len(rows)} images",
            key="gallery",
            on_pick=picked,
            bar=False,
            room="min(76vh, 720px)",
        )
        _pages(ids, page, picked)


def _pages(ids: list[str], page: int, picked: Callable[[str], None]) -> None:
    if len(ids) <= PER_PAGE:
        return

    key = f"page_{page}"  # a widget of its own for each page: the link says which one, not the widget

    def turned() -> None:
        picked(ids[(st.session_state[key] - 1) * PER_PAGE])

    st.pagination(-(-len(ids) // PER_PAGE), default=page + 1, key=key, on_change=turned)


def _sentence(rows: pd.DataFrame, found: Results, choice: Choice) -> str:
    n = len(rows)
    images = f"**{n:,} {'image' if n == 1 else 'images'}**"
    order = {"worst": "the worst first", "best": "the best first", "all": "highest loss first"}[choice.order]
    if choice.cell is not None:
        return f"{images}: {md(cell_sentence(choice.cell, found))}, {order}"
    kind = {"worst": "wrong ", "best": "right ", "all": ""}[choice.order]
    images = f"**{n:,} {kind}{'image' if n == 1 else 'images'}**"
    return f"{images}{md(f' with true class {choice.cls}') if choice.cls else ''}, {order}"
