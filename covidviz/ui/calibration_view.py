"""Whether the probabilities of a run mean what they say: a part of the Run page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from covidviz.evaluation import calibration as maths
from covidviz.evaluation.calibration import Reliability, Temperature
from covidviz.evaluation.intervals import wilson
from covidviz.store.reader import Run
from covidviz.ui.calibration_figure import reliability_figure
from covidviz.ui.components.plot import plot
from covidviz.ui.results import SPLIT_TITLES, Results, Version, versions
from covidviz.ui.text import md, number, percent
from covidviz.ui.thresholds_data import left_out_sentence, scores

__all__ = ["calibration"]

TOP = ""  # what is judged where no class is: the decision, or all labels together
HEIGHT = 400
Versions = tuple[Version, Version, Version]


@dataclass(frozen=True)
class Judged:
    """Probabilities of one split against what came true: the points, and scores where lower is better.

    promised: their mean; came_true: how many of `n` did.
    """

    points: Reliability
    ece: float
    brier: float
    log_loss: float
    promised: float
    came_true: int
    n: int


def calibration(run: Run, found: Results, split: str, intervals: bool) -> None:
    """The reliability diagram of one split, its scores, and what a temperature would change."""
    of = scores(run, split)
    if note := left_out_sentence(of.left_out, found.splits[split]):
        st.caption(note)
    if not of.ids:
        st.info("No image has probabilities that are numbers, so there is nothing to draw. Labels and curves of the "
                "run are still there.", icon=":material/info:")  # fmt: skip
        return
    fitted = temperature(run)
    left, right = st.columns([5, 4], gap="medium")
    with right:
        name = _what(found)
        plain = judged(run, split, name, None)
        st.markdown(_sentence(plain, found, name, split))
        scaled = None
        if fitted is not None and fitted.found:
            scaled = judged(run, split, name, fitted.value)
        _numbers(plain, scaled, fitted, found, split)
        with_it = False
        if scaled is not None:
            with_it = st.toggle("Draw it with the temperature", key="run_temperature", persist_state="session")
    with left:
        series = [("as trained", plain.points)]
        if with_it and scaled is not None:
            series.append(("with the temperature", scaled.points))
        plot(
            reliability_figure(series, intervals=intervals),
            key="reliability",
            label=f"Reliability of {_name(found, name)} on {plain.n} images: {_spoken(plain.points)}",
            height=HEIGHT,
            keep=f"{run.id} {name}",
        )


def temperature(run: Run) -> Temperature | None:
    """The temperature that fits the validation images; None where there are none."""
    return _temperature(str(run.dir), versions(run))


@st.cache_resource(show_spinner=False, max_entries=48)
def _temperature(folder: str, known: Versions) -> Temperature | None:  # noqa: ARG001  the cache key
    run = Run(Path(folder))
    try:
        of = scores(run, "val")
    except KeyError:
        return None
    config = run.config()
    return maths.fit_temperature(of.prob, of.labels, config.task) if of.ids and config is not None else None


def judged(run: Run, split: str, name: str, degrees: float | None) -> Judged:
    """The numbers of one split: of the class `name`, or of `TOP`.

    Args:
        degrees: a temperature to divide the logits by; None leaves the probabilities as they are.
    """
    return _judged(str(run.dir), split, name, degrees, versions(run))


@st.cache_resource(show_spinner=False, max_entries=96)
def _judged(folder: str, split: str, name: str, degrees: float | None, known: Versions) -> Judged:  # noqa: ARG001
    run = Run(Path(folder))
    of, config = scores(run, split), run.config()
    if config is None:
        raise KeyError(folder)
    task = config.task
    prob: NDArray[np.floating] = of.prob if degrees is None else maths.with_temperature(of.prob, degrees, task)
    labels: NDArray[Any] = of.labels
    if name:  # one class against the rest is one label
        k = config.classes.index(name)
        prob, labels, task = prob[:, [k]], labels[:, [k]], "multi-label"
    p, hits = prob.ravel(), labels.ravel()
    if task == "single-label":
        p, hits = maths.top_label(prob, labels)
    brier, log_loss = (score(prob, labels, task) for score in (maths.brier, maths.log_loss))
    return Judged(
        maths.reliability(p, hits), maths.calibration_error(p, hits), brier, log_loss, float(p.mean()),
        int(np.sum(hits)), len(p),
    )  # fmt: skip


# --- what is said


def _what(found: Results) -> str:
    options = [TOP, *found.classes]
    if st.session_state.get("run_calibrated") not in options:
        st.session_state["run_calibrated"] = TOP
    return st.selectbox(
        "Probabilities of", options, key="run_calibrated", format_func=lambda name: _name(found, name),
        persist_state="session",
    )  # fmt: skip


def _name(found: Results, name: str) -> str:
    if name:
        return name
    return "the decided class" if found.task == "single-label" else "all labels together"


def _sentence(of: Judged, found: Results, name: str, split: str) -> str:
    """What was promised on average and what came true; within the interval is no evidence against it."""
    low, high = wilson(of.came_true, of.n)
    true = f"{percent(of.came_true / of.n)} (95 %: {percent(low)} to {percent(high)})"
    verdict = "too low" if of.promised < low else "too high" if of.promised > high else "in line with that"
    if name:
        what = f"**{md(name)}** is true for {true} of {_images(of.n, split)}"
    elif found.task == "single-label":
        what = f"The decision is right for {true} of {_images(of.n, split)}"
    else:
        what = f"Of {of.n:,} labels {true} are true"
    return f"{what}; the probabilities say {percent(of.promised)} on average: **{verdict}**."


def _images(n: int, split: str) -> str:
    return f"{n:,} {SPLIT_TITLES[split].lower()} {'image' if n == 1 else 'images'}"


SCORES = {
    "ece": (
        "ECE",
        "Expected calibration error: the mean gap between what was promised and what came true, over 15 bins. "
        "0 is best. On few images it is too large by chance.",
    ),
    "brier": (
        "Brier",
        "The squared error of the probabilities. 0 is best; it falls with calibration and with being right.",
    ),
    "log_loss": (
        "Log loss",
        "The negative logarithm of the probability that the truth was given. 0 is best; being sure and wrong costs "
        "most.",
    ),
}


def _numbers(
    plain: Judged, scaled: Judged | None, fitted: Temperature | None, found: Results, split: str
) -> None:  # fmt: skip
    with st.container(horizontal=True, gap="medium", key="calibration_plain"):
        for key, (title, told) in SCORES.items():
            st.metric(title, number(getattr(plain, key)), width="content", help=told)
    if fitted is None:
        st.caption("There are no validation images to fit a temperature on.")
        return
    if not fitted.found or scaled is None:
        edge = "0" if fitted.value < 1 else "infinity"
        st.caption(f"No temperature fits: on {_images(found.splits['val'], 'val')} it would go to {edge}. They are too "
                   "few, or leave nothing to scale.")  # fmt: skip
        return
    low, high = number(fitted.low, 2), number(fitted.high, 2) if math.isfinite(fitted.high) else "infinity"
    sure = "the network was too sure" if fitted.low > 1 else "the network was too modest" if fitted.high < 1 else (
        "no evidence that the network was too sure or too modest")  # fmt: skip
    where = "these same images" if split == "val" else f"the {_images(found.splits['val'], 'val')}"
    stays = "Decisions without a threshold stay." if found.task == "single-label" else "Decisions at .5 stay."
    st.markdown(
        f"**With a temperature of {number(fitted.value, 2)}** (95 %: {low} to {high}; the logits divided by it), "
        f"fitted on {where}: {sure}. {stays}"
    )
    with st.container(horizontal=True, gap="medium", key="calibration_scaled"):
        for key, (title, _) in SCORES.items():
            now, before = getattr(scaled, key), getattr(plain, key)
            st.metric(title, number(now), delta=f"{now - before:+.3f}", delta_color="inverse", width="content")
    st.caption("A view only: the run, its predictions and thresholds stay as they are.")


def _spoken(points: Reliability) -> str:
    return "; ".join(
        f"promised {percent(float(promised))}, came true {percent(float(true))} of {n}"
        for n, promised, true in zip(points.n, points.confidence, points.observed, strict=True)
        if n
    )
