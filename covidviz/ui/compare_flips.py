"""The images that changed sides between two runs, and those that both have wrong, with the heat maps of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from covidviz.evaluation.matched import Matched
from covidviz.evaluation.paired import FLIPS
from covidviz.ui import pictures
from covidviz.ui.album import album
from covidviz.ui.compare_pairs import Outcome, Side
from covidviz.ui.components.flips import flips as flips_component
from covidviz.ui.results import results
from covidviz.ui.results_view import missing_images

__all__ = ["PER_PAGE", "flips", "pair_album", "wanted"]

PER_PAGE = 60
KINDS = {"fixed": "Fixed by B", "broken": "Broken by B", "both_wrong": "Wrong in both"}
WORDS = {"fixed": "fixed", "broken": "broken", "both_wrong": "wrong in both"}
ANY = ""
OF_ONE_RUN = ("predicted", "loss", "cross-entropy", "epoch", "over the epochs")  # facts that are not the image's


@st.fragment
def flips(found: Outcome, pair: tuple[Side, Side], split: str) -> None:
    """A fragment: choosing a kind, a class or a page draws nothing else anew."""
    if found.matched is None:
        return
    counts = {kind: int((found.flips == FLIPS.index(kind)).sum()) for kind in KINDS}
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compare_flips_head"):
        default = next((kind for kind, n in counts.items() if n), "fixed")
        kind = st.segmented_control(
            "Which images", list(KINDS), key="compare_flips_kind", default=default, required=True,
            label_visibility="collapsed", format_func=lambda name: f"{KINDS[name]} ({counts[name]:,})",
        ) or default  # fmt: skip
        cls = _class_choice(found, kind)
    rows = wanted(found, kind, cls)
    shown_key = f"{kind} {cls} {split} {pair[0].key} {pair[1].key}"
    if st.session_state.get("_compare_flips_of") != shown_key:
        st.session_state["_compare_flips_of"] = shown_key
        st.session_state["compare_flips_page"] = 0
    page = min(st.session_state["compare_flips_page"], max(0, len(rows) - 1) // PER_PAGE)
    if not len(rows):
        st.caption("No image." if cls is None else "No image of this class.")
        return
    shown = pair_album(found, pair, rows[page * PER_PAGE : (page + 1) * PER_PAGE])
    if shown is None:
        st.caption("The predictions of one of the runs can not be read any more.")
        return
    missing_images(shown)

    def paged(to: int) -> None:
        st.session_state["compare_flips_page"] = to

    place = {"offset": page * PER_PAGE, "all": len(rows), "pages": -(-len(rows) // PER_PAGE), "page_at": page}
    flips_component(
        {**shown, **place, "kind": kind, "word": WORDS[kind]},
        label=f"{KINDS[kind]}: {len(rows):,} images", key="compare_flips", on_page=paged,
    )  # fmt: skip


def _class_choice(found: Outcome, kind: str) -> str | None:
    if found.matched is None:
        return None
    members = found.matched.truth[found.flips == FLIPS.index(kind)]
    counts = dict(zip(found.matched.classes, members.sum(axis=0).tolist(), strict=True))
    options = [ANY, *counts]
    if st.session_state.get("compare_flips_class", ANY) not in options:
        st.session_state["compare_flips_class"] = ANY
    picked = st.selectbox(
        "True class", options, key="compare_flips_class", label_visibility="collapsed", width=230,
        format_func=lambda name: f"true {name} ({counts[name]:,})" if name else "Any true class",
    )  # fmt: skip
    return picked or None


def wanted(found: Outcome, kind: str, cls: str | None) -> NDArray[np.intp]:
    """Which of the matched images to show, those first whose probability changed most."""
    member = found.flips == FLIPS.index(kind)
    if cls is not None and found.matched is not None:
        member = member & found.matched.truth[:, found.matched.classes.index(cls)]
    rows = np.flatnonzero(member)
    return rows[np.argsort(-found.change[rows], kind="stable")]


def _usual(calls: Sequence[NDArray[np.bool_]], truth: NDArray[np.bool_], row: np.intp) -> NDArray[np.bool_]:
    """What most runs of a side decided about one image [C], among those that are right or wrong as most are."""
    said = [run[row] for run in calls]
    right = [bool((one == truth[row]).all()) for one in said]
    most = 2 * sum(right) > len(right)
    keys = [one.tobytes() for one, yes in zip(said, right, strict=True) if yes == most]
    usual = max(keys, key=keys.count)
    return next(one for one in said if one.tobytes() == usual)


def pair_album(found: Outcome, pair: tuple[Side, Side], at: NDArray[np.intp]) -> dict[str, Any] | None:
    """The images `at` (rows of the matched ones) as `covidviz.ui.album.album` has them for A.

    Of a side with several runs each image is told by the first that decided what most of them did.

    Returns:
        As `album`. Each item has also `of`, which run of A tells it; `b`, the same of B: `of`, `heat`, `k`, `said`,
        `p`, `d`, `right`; `from_b` where only B finds its picture; and `votes`, how many runs of each side have it
        right, where one has several. `sides`: per side and run the addresses `base`, `heat`, `heat_v`, the `number` of
        the run, and `order`, where its maps have each class. None where a run's files are gone.
    """
    matched = found.matched
    if matched is None:
        return None
    a, b = _told(pair[0], matched.a, matched, at), _told(pair[1], matched.b, matched, at)
    if a is None or b is None:
        return None
    (shown, ours, a_runs), (_, theirs, b_runs) = a, b
    several = max(len(side.runs) for side in pair) > 1
    for row, item, beside in zip(at, ours, theirs, strict=True):
        item["facts"] = [fact for fact in item["facts"] if fact[0] not in OF_ONE_RUN]
        item["b"] = {key: beside[key] for key in ("of", "heat", "k", "said", "p", "d", "right")}
        if item["v"] is None:  # the image may still lie where the other run found it
            item |= {"v": beside["v"], "from_b": True}
        if several:
            truth = matched.truth[row]
            item["votes"] = [sum(bool((run[row] == truth).all()) for run in side) for side in (matched.a, matched.b)]
    return {
        **shown, "items": ours, "total": len(ours), "sides": [a_runs, b_runs],
        "sizes": [len(side.runs) for side in pair],
    }  # fmt: skip


Told = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]


def _told(side: Side, calls: Sequence[NDArray[np.bool_]], matched: Matched, at: NDArray[np.intp]) -> Told | None:
    """An album of the side, its items in the order of `at`, and per run the addresses; None where a file is gone."""
    usual = [_usual(calls, matched.truth, row) for row in at]
    teller = [
        next(k for k, run in enumerate(calls) if (run[row] == one).all()) for row, one in zip(at, usual, strict=True)
    ]
    runs: list[dict[str, Any]] = []
    shown: dict[str, Any] = {}
    items: dict[int, dict[str, Any]] = {}
    for k, member in enumerate(side.runs):
        known = results(member.run)
        if known is None:
            return None
        mine = [i for i, one in enumerate(teller) if one == k]
        index = pd.Index(known.frame["sample_id"].astype(str))
        rows = known.frame.iloc[index.get_indexer(pd.Index(matched.sample_ids[at[mine]]))]
        # In the order of A's classes.
        one = album(member.run, rows, matched.classes, matched.task)
        shown = shown or one
        split = str(known.frame["split"].iloc[index.get_loc(matched.sample_ids[at[0]])]) if len(at) else ""
        runs.append({
            "base": one["base"], "heat": one["heat"], "heat_v": pictures.heat_key(member.run, split),
            "number": member.number, "order": [known.classes.index(name) for name in matched.classes],
        })  # fmt: skip
        for i, item in zip(mine, one["items"], strict=True):
            item["of"] = k
            item["d"] = [int(yes) for yes in usual[i]]
            item["said"] = ", ".join(name for name, yes in zip(matched.classes, usual[i], strict=True) if yes) or "none"
            item["right"] = bool((usual[i] == matched.truth[at[i]]).all())
            items[i] = item
    return {**shown, "split": split}, [items[i] for i in range(len(at))], runs
