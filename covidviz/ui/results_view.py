"""Confusion matrix, numbers per class, and the images of a cell: the middle of the Run page."""

from __future__ import annotations

import streamlit as st

from covidviz.evaluation.ranking import cells, select
from covidviz.store.reader import Run
from covidviz.ui import nav, state
from covidviz.ui.album import PER_PAGE, album
from covidviz.ui.components.gallery import gallery
from covidviz.ui.components.matrix import Show, matrix, matrix_groups
from covidviz.ui.components.scores import class_rows, scores
from covidviz.ui.metric_names import metric_name
from covidviz.ui.results import SPLIT_TITLES, Measured, Results, measured, results
from covidviz.ui.text import md, number

__all__ = ["cell_sentence", "label_of", "matrix_and_images", "missing_images", "split_choice"]

WIDE = 8  # classes beyond which the matrix gets most of the width
SHOWS: dict[Show, str] = {"counts": "Counts", "row": "Row %", "column": "Column %"}


@st.fragment
def matrix_and_images(run: Run) -> None:
    """The results of one split; says when they will be there where they are not.

    A fragment, so that a click on a cell draws no curves anew.
    """
    if not run.dir.is_dir():
        st.rerun()  # it was deleted since: the page says so
    found = results(run)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.subheader("Right and wrong", anchor=False, width="content")
        split = split_choice(run, found) if found is not None else ""
        show = _show_choice() if found is not None else "counts"
    if found is None:
        _not_yet(run)
        return
    cell = state.get("cell", cells(found.classes, found.task))
    wide = found.task == "single-label" and len(found.classes) > WIDE
    left, right = st.columns([2, 1] if wide else [9, 10], gap="medium")
    with right:  # first: the images of a cell are what one waits for
        _images(run, found, split, cell)
    with left:
        numbers = measured(run, split)
        matrix(
            matrix_groups(numbers.confusion, found.classes, found.task),
            selected=cell,
            key="matrix",
            on_pick=lambda picked: state.link(run=run.id, split=split, cell=picked, img=None),
            show=show,
        )
        _headline(numbers, found)
        scores(
            class_rows(numbers.confusion, found.classes, found.task),
            critical=found.critical,
            key="per_class",
        )


def _show_choice() -> Show:
    """What the cells of the matrix say; remembered for the session."""
    chosen = st.segmented_control(
        "Numbers in the matrix",
        list(SHOWS),
        format_func=SHOWS.__getitem__,
        default="counts",
        required=True,
        key="matrix_show",
        label_visibility="collapsed",
        persist_state="session",
    )
    return chosen or "counts"


def split_choice(run: Run, found: Results) -> str:
    """The splits with predictions to choose from; the URL's, else the first."""
    options = list(found.splits)
    split = state.get("split", options, options[0]) or options[0]

    def changed() -> None:
        state.link(run=run.id, split=st.session_state["split"], img=None)

    st.session_state["split"] = split
    st.segmented_control(
        "Split",
        options,
        key="split",
        required=True,
        on_change=changed,
        label_visibility="collapsed",
        format_func=lambda name: f"{SPLIT_TITLES[name]} ({found.splits[name]:,})",
    )
    return split


def label_of(cell: str | None, found: Results) -> str | None:
    """Multi-label: the class that a cell judges."""
    return found.classes[int(cell.split("-")[0])] if cell is not None and found.task == "multi-label" else None


def cell_sentence(cell: str, found: Results) -> str:
    """`true covid19, predicted normal`; plain text."""
    first, second = cell.split("-")
    name = found.classes[int(first)]
    if found.task == "single-label":
        return f"true {name}, predicted {found.classes[int(second)]}"
    true, said = {"tp": ("yes", "yes"), "fn": ("yes", "no"), "fp": ("no", "yes"), "tn": ("no", "no")}[second]
    return f"{name}: true {true}, predicted {said}"


def missing_images(shown: dict[str, object]) -> None:
    """One sentence where none of the pictures can be found any more."""
    items: list[dict[str, object]] = shown["items"]  # type: ignore[assignment]
    if items and not any(item["v"] for item in items):
        st.warning(
            "The image files of this run are not where they were. Numbers and predictions are kept.",
            icon=":material/image_not_supported:",
        )


def _not_yet(run: Run) -> None:
    status = run.status()
    if status.live:
        st.info("The confusion matrix and the images come when the run is completed.", icon=":material/schedule:")
    elif status.state in ("stopped", "lost"):
        st.info(
            "The confusion matrix and the images are made at the end of a run. Resume it to get them.",
            icon=":material/resume:",
        )
    else:
        st.caption("This run has no predictions.")


def _headline(numbers: Measured, found: Results) -> None:
    keys = ["accuracy", "label_accuracy", "exact_match", "macro_f1"]
    if found.critical:
        keys.append(f"recall_{found.critical}")
    shown: dict[str, float | None] = {
        _capital(metric_name(key)): numbers.metrics[key] for key in keys if key in numbers.metrics
    }
    if found.critical and not numbers.support[found.critical]:
        shown[_capital(metric_name(f"recall_{found.critical}"))] = None  # of no image at all
    with st.container(horizontal=True, gap="medium"):
        for title, value in shown.items():
            st.metric(md(title), number(value), width="content")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _images(run: Run, found: Results, split: str, cell: str | None) -> None:
    rows = select(found.frame, found.classes, found.task, split=split, order="all" if cell else "worst", cell=cell)
    n = len(rows)
    title = f"{n:,} {'image' if n == 1 else 'images'}"
    if cell is None:
        st.markdown(f"**{n:,} wrong {'image' if n == 1 else 'images'}**, the worst first. Click a cell for its images.")
    else:
        st.markdown(f"**{title}:** {md(cell_sentence(cell, found))}")
    if not n:
        st.caption("None. That is a good thing." if cell is None else "No image is in this cell.")
        return
    shown = album(run, rows, found.classes, found.task, label=label_of(cell, found))
    missing_images(shown)

    def picked(sample_id: str) -> None:
        st.session_state["run_open"] = sample_id

    gallery(shown, selected=None, label=title, key="run_gallery", on_pick=picked)
    here = state.params(run=run.id, split=split, cell=cell, order="all" if cell else "worst", cls=None)
    if sample_id := st.session_state.pop("run_open", None):
        st.switch_page(nav.IMAGES, query_params={**here, "img": sample_id})
    more = f"All {n:,} on the Images page" if n > PER_PAGE else "Look at them one by one"
    st.page_link(
        nav.IMAGES, label=more, icon=":material/imagesmode:", query_params={k: v for k, v in here.items() if k != "img"}
    )
