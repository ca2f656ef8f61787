"""What a finished run comes to, in the middle of the Run page: right and wrong, thresholds, calibration."""

from __future__ import annotations

import streamlit as st

from covidviz.evaluation.bootstrap import Interval
from covidviz.evaluation.intervals import wilson
from covidviz.evaluation.metric_names import metric_name
from covidviz.evaluation.ranking import cells, select
from covidviz.evaluation.shares import class_rows
from covidviz.store.reader import Run
from covidviz.ui import nav, queries, state
from covidviz.ui.album import PER_PAGE, album
from covidviz.ui.calibration_view import calibration
from covidviz.ui.components.gallery import gallery
from covidviz.ui.components.matrix import Show, matrix, matrix_groups
from covidviz.ui.components.scores import scores
from covidviz.ui.components.seeds import seeds
from covidviz.ui.heat_view import heat
from covidviz.ui.leaks import leak_line
from covidviz.ui.results import SPLIT_TITLES, Measured, Results, Spread, measured, results, spread
from covidviz.ui.run_view import POLL_S, follow
from covidviz.ui.seed_group import group_of, spread_over, values_of
from covidviz.ui.text import md, number
from covidviz.ui.thresholds_view import thresholds

__all__ = ["cell_sentence", "label_of", "missing_images", "section", "split_choice"]

WIDE = 8  # classes beyond which the matrix gets most of the width
SHOWS: dict[Show, str] = {"counts": "Counts", "row": "Row %", "column": "Column %"}
VIEWS = {
    "matrix": "Right and wrong", "thresholds": "Thresholds", "calibration": "Calibration", "heat": "Where it looks",
}  # fmt: skip
INTERVALS = "run_intervals"


@st.fragment
def section(run: Run) -> None:
    """The results of one split; says when they will be there where they are not.

    A fragment, so that a click on a cell draws no curves anew. Only the open view is computed and sent.
    """
    follow(run)
    if (state.current_run() or run.id) != run.id:
        st.rerun()  # another run of the group of seeds was clicked
    found = results(run)
    if found is None:
        st.subheader(VIEWS["matrix"], anchor=False, width="content")
        _not_yet(run)
        return

    def changed() -> None:
        name = next(name for name, title in VIEWS.items() if title == st.session_state["run_view"])
        state.link(run=run.id, view=None if name == "matrix" else name)

    view = state.get("view", VIEWS, "matrix") or "matrix"
    st.session_state["run_view"] = VIEWS[view]
    tabs = st.tabs(list(VIEWS.values()), key="run_view", on_change=changed)
    with tabs[list(VIEWS).index(view)]:
        with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="run_view_head"):
            split = split_choice(run, found)
            show = _show_choice() if view == "matrix" else "counts"
            intervals = _intervals_choice()
        leak_line(run, split)
        if view == "thresholds":
            thresholds(run, found, split, intervals)
        elif view == "calibration":
            calibration(run, found, split, intervals)
        elif view == "heat":
            heat(run, found, split, intervals)
        else:
            _matrix_and_images(run, found, split, show, intervals)


def _matrix_and_images(run: Run, found: Results, split: str, show: Show, intervals: bool) -> None:
    cell = state.get("cell", cells(found.classes, found.task))
    wide = found.task == "single-label" and len(found.classes) > WIDE
    left, right = st.columns([2, 1] if wide else [9, 10], gap="medium")
    with right:  # first: the images of a cell are what one waits for
        _images(run, found, split, cell)
    with left:
        numbers, by_chance = measured(run, split), spread(run, split)
        matrix(
            matrix_groups(numbers.confusion, found.classes, found.task),
            selected=cell,
            key="matrix",
            on_pick=lambda picked: state.link(run=run.id, split=split, cell=picked, img=None),
            show=show,
        )
        _headline(numbers, found, split, by_chance if intervals else None)
        _seeds(run, found, split)
        scores(
            class_rows(numbers.confusion, found.classes, found.task, by_chance.intervals, by_chance.patients),
            critical=found.critical,
            key="per_class",
            intervals=intervals,
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


def _intervals_choice() -> bool:
    """Whether the small print beside the numbers is shown; remembered for the session."""
    if INTERVALS not in st.session_state:
        st.session_state[INTERVALS] = True
    return st.toggle(
        "Intervals",
        key=INTERVALS,
        persist_state="session",
        help="95 % intervals: how far each number could lie elsewhere, because it was measured on so few images. "
        "Shares have Wilson's, F1 a bootstrap's; where patients are known, these are drawn with all their images.",
    )


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
        _waiting(run)
    elif status.state in ("stopped", "lost"):
        st.info(
            "The confusion matrix and the images are made at the end of a run. Resume it to get them.",
            icon=":material/resume:",
        )
    else:
        st.caption("This run has no predictions.")


@st.fragment(run_every=POLL_S)
def _waiting(run: Run) -> None:
    """It asks by itself, as the page's other polls can overtake each other when a run ends."""
    if not run.status().live:
        st.rerun()
    st.info("The confusion matrix and the images come when the run is completed.", icon=":material/schedule:")


def _headline_keys(found: Results) -> list[str]:
    of_task = ["accuracy"] if found.task == "single-label" else ["label_accuracy", "exact_match"]
    return [*of_task, "macro_f1", *([f"recall_{found.critical}"] if found.critical else [])]


def _headline(numbers: Measured, found: Results, split: str, by_chance: Spread | None) -> None:
    """The numbers of the whole split; their intervals with `by_chance`."""
    images = found.splits[split]
    with st.container(horizontal=True, gap="medium", key="run_headline"):
        for key in _headline_keys(found):
            value: float | None = numbers.metrics.get(key)
            n = images if key in ("accuracy", "exact_match") else 0
            if found.critical and key == f"recall_{found.critical}":
                n = numbers.support[found.critical]
                value = value if n else None  # of no image at all
            ends = None if by_chance is None or value is None else _ends(value, n, by_chance.intervals.get(key))
            st.metric(
                md(_capital(metric_name(key))),
                number(value),
                delta=ends,
                delta_color="off",
                delta_arrow="off",
                width="content",
                help=None if by_chance is None or not ends else _how(key, n, by_chance),
            )


def _ends(value: float, n: int, drawn: Interval | None) -> str | None:
    """The interval of a share of `n` images (0: of something else, so the bootstrap's) as text."""
    if n:
        low, high = wilson(round(value * n), n)
    elif drawn is not None and drawn.low < drawn.high:
        low, high = drawn.low, drawn.high
    else:
        return None
    return f"{number(low, 2)} – {number(high, 2)}"


def _how(key: str, n: int, by_chance: Spread) -> str:
    of = "images" if by_chance.patients is None else f"{by_chance.patients:,} patients"
    drawn = by_chance.intervals.get(key)
    if not n:
        return f"95 % interval of a bootstrap that draws {of}."
    told = f"95 % interval of a share of {n:,} {'image' if n == 1 else 'images'} (Wilson)."
    if drawn is None:
        return told
    return f"{told} A bootstrap that draws {of} gives {number(drawn.low, 2)} – {number(drawn.high, 2)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seeds(run: Run, found: Results, split: str) -> None:
    """Where the same settings were trained with other seeds: how far these lie apart."""
    if split == "train":
        return
    members = values_of(group_of(run.id, queries.index().snapshot(max_age=2.0).runs), split)
    shown = []
    for key in _headline_keys(found):
        if (of := spread_over(members, key)) is not None:
            points = [
                {
                    "id": one.run_id,
                    "name": f"seed {one.seed}" if one.seed is not None else one.name,
                    "value": one.values[key],
                    "here": one.run_id == run.id,
                }
                for one in members
                if key in one.values
            ]
            shown.append({"name": metric_name(key), "mean": of[0], "spread": of[1], "points": points})
    if shown:
        seeds(
            shown,
            title=f"{len(members)} runs of these settings with other seeds: mean ± standard deviation",
            key="run_seeds",
            on_pick=lambda run_id: state.link(run=run_id),
        )


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
