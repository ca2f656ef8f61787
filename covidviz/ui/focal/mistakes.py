"""What mistakes in evaluating do to the score of a finished run: what the sandbox starts from."""

from __future__ import annotations

import contextlib
from typing import Any

import pandas as pd
import streamlit as st

from covidviz.catalog import MODELS_OF_LAB
from covidviz.config import TrainConfig
from covidviz.errors import CovidvizError
from covidviz.evaluation.metric_names import metric_name
from covidviz.evaluation.mistakes import Mixed, wrong_index
from covidviz.evaluation.shares import class_rows
from covidviz.jobs.compute import worker
from covidviz.store import layout
from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.ui import lab_answers, nav, pictures, queries, state
from covidviz.ui.components.sandbox import sandbox
from covidviz.ui.results import SPLIT_TITLES, Measured, Results, measured, results, spread
from covidviz.ui.text import ago, shorten, state_text

__all__ = ["document", "section"]

MOST_PICTURES = 8
EPOCHS = 10


def section(runs: dict[str, RunSummary]) -> None:
    """Which run and which images, then the switches.

    Args:
        runs: the completed ones, newest first.
    """
    asked = state.current_run()
    known = asked or next(iter(runs), None)
    if known is None:
        st.info("There is no finished run to judge otherwise yet.", icon=":material/info:")
        st.page_link(nav.RUNS, label="Start with the built-in data", icon=":material/play_circle:")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="mistakes_head"):
        _run_choice(runs, known)
        run = queries.run(known)
        found = None if run is None else results(run)
        if run is None or found is None:
            st.info("This run has no predictions (yet).", icon=":material/info:")
            return
        split = _split_choice(found)
    with contextlib.suppress(CovidvizError):  # the first answer will say so
        worker().warm()
    st.caption("Each switch judges the same finished network on the same images with one mistake. Nothing is written: "
               "the run stays as it is.")  # fmt: skip
    sandbox(document(run, found, split), key="sandbox")


def _run_choice(runs: dict[str, RunSummary], known: str) -> None:
    options = [*runs, *([known] if known not in runs else [])]

    def title(one: str) -> str:
        row = runs.get(one)
        return one if row is None else f"{state_text(row.state).shape} {shorten(row.name, 50)} · {ago(row.created)}"

    st.session_state["mistakes_run"] = known
    st.selectbox("Run", options, key="mistakes_run", format_func=title, width=360, label_visibility="collapsed",
                 on_change=lambda: state.link(run=st.session_state["mistakes_run"], split=None))  # fmt: skip


def _split_choice(found: Results) -> str:
    usual = next(iter(found.splits))
    split = state.get("split", found.splits, usual) or usual
    st.session_state["mistakes_split"] = split
    st.segmented_control("Images", list(found.splits), key="mistakes_split", required=True,
                         format_func=SPLIT_TITLES.__getitem__, label_visibility="collapsed",
                         on_change=lambda: state.link(split=st.session_state["mistakes_split"]))  # fmt: skip
    return split


def document(run: Run, found: Results, split: str) -> dict[str, Any]:
    """What `covidviz.ui.components.sandbox` draws."""
    config = queries.config(run)
    known, around = measured(run, split), spread(run, split).intervals
    label = found.critical if found.critical in found.classes else found.classes[0]
    names = [*(["accuracy"] if found.task == "single-label" else ["label_accuracy", "exact_match"]), "macro_f1"]
    several = found.task != "single-label"
    counts = known.confusion.get(label) if several else None
    matrix = known.confusion["matrix"] if counts is None else [[counts["tp"], counts["fn"]],
                                                               [counts["fp"], counts["tn"]]]  # fmt: skip
    weights = (run.dir / layout.BEST).is_file()
    lab, why = _lab(config, several)
    rows = found.frame[found.frame["split"] == split]
    mixed = wrong_index(rows, ~rows["right"], MOST_PICTURES)
    return {
        "id": f"{run.id} {split} {run.version(layout.BEST)}", "run": run.id, "split": split,
        "token": lab_answers.token(), "mistakes": _mistakes(config, weights, wrong=len(mixed.meant)),
        "n": found.splits[split],
        "metrics": [*({"name": name, "title": metric_name(name), "value": known.metrics[name],
                       "low": around[name].low, "high": around[name].high} for name in names),
                    _recall(known, found, label)],
        "classes": list(found.classes), "label": label, "matrix": matrix,
        "matrix_classes": [label, f"not {label}"] if several else list(found.classes),
        "base": f"/img/{run.id}/", "mixed": _pictures(run, found, mixed), "lab": lab, "no_lab": why,
        "lab_words": "this run's images",
    }  # fmt: skip


def _recall(known: Measured, found: Results, label: str) -> dict[str, Any]:
    """As on the Run page: Wilson's interval, which knows that 0 of 28 is not 0 for sure."""
    rows = class_rows(known.confusion, found.classes, found.task)
    of = rows[found.classes.index(label)]["recall"]
    name = f"recall_{label}"
    return {"name": name, "title": metric_name(name), "value": known.metrics[name], "low": of["low"] or 0.0,
            "high": 1.0 if of["high"] is None else of["high"]}  # fmt: skip


def _mistakes(config: TrainConfig | None, weights: bool, *, wrong: int) -> list[dict[str, Any]]:
    gone = "" if weights else "The weights of this run are gone."
    how = config.augment if config is not None and config.augment != "none" else "course"
    return [
        {"name": "train-mode", "title": "Validation in train mode", "cannot": gone,
         "help": "model.eval() was forgotten: dropout draws, BatchNorm takes the statistics of its batch."},
        {"name": "augmented", "title": "Augmented validation", "cannot": gone,
         "help": f"Each image is changed at random as in training ({how})."},
        {"name": "wrong-index", "title": "Wrong index", "cannot": "" if wrong else "No image is wrong here.",
         "help": "Places in the list of wrong images are used as places in the list of all images."},
        {"name": "softmax-twice", "title": "Softmax before cross-entropy", "cannot": "",
         "help": "The loss is given probabilities instead of logits: a mistake of training."},
    ]  # fmt: skip


def _lab(config: TrainConfig | None, several: bool) -> tuple[dict[str, Any] | None, str]:
    """A config for two heads on the images of this run, and why there is none."""
    if config is None or several:
        return None, "Trying it takes a run with one class per image."
    if config.model not in MODELS_OF_LAB:
        return None, "The live lab, in which it would be tried, does not take this network."
    sgd = config.optimizer == "sgd"
    tried = config.replace(
        loss="cross_entropy", trainable="head", augment="none", optimizer="sgd", nesterov=False, pos_weight=False,
        focal_alpha=None, schedule="constant", lr_steps=None, backbone_lr=None, patience=None, epochs=EPOCHS,
        lr=config.lr if sgd else 1e-2, train_eval=False, name="", tags=(),
    )  # fmt: skip
    return tried.model_dump(mode="json"), ""


def _pictures(run: Run, found: Results, mixed: Mixed) -> dict[str, Any] | None:
    if not len(mixed.meant):
        return None
    meant_ids = set(mixed.meant["sample_id"])

    def tiles(rows: pd.DataFrame) -> list[dict[str, Any]]:
        return [
            {"id": str(row["sample_id"]), "v": pictures.file_key(run, str(row["sample_id"])),
             "meant": row["sample_id"] in meant_ids, "words": _words(row, found)}
            for _, row in rows.iterrows()
        ]  # fmt: skip

    n, right = len(mixed.shown), int(mixed.shown["right"].sum())
    hit = sum(row in meant_ids for row in mixed.shown["sample_id"])
    sentence = (
        f"of the {n} images shown as the worst, {right} {'is' if right == 1 else 'are'} classified rightly and {hit} "
        f"{'was' if hit == 1 else 'were'} meant. The score stays the same; what one learns from the pictures is wrong."
    )
    return {"sentence": sentence, "meant": tiles(mixed.meant), "shown": tiles(mixed.shown)}


def _words(row: pd.Series, found: Results) -> str:
    true = [name for name in found.classes if row[f"label_{name}"] == 1]
    return f"{', '.join(true) or 'no label'}, {'right' if row['right'] else 'wrong'}, loss {row['loss']:.2f}"
