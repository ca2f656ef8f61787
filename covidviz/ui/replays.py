"""The validation images of a run in each epoch, from history.npz: read once per file version, for pages and routes.

Shared by all sessions: leave as it is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from covidviz.evaluation import replay as maths
from covidviz.evaluation.metrics import classification_metrics, confusion, predicted
from covidviz.evaluation.ranking import judged, labels_of, prob_of
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import pictures
from covidviz.ui.results import Measured, Results, measured, results

__all__ = [
    "EPOCH", "FATE_TITLES", "FATE_WORDS", "SPLIT", "Replay", "binary", "found_at", "key", "measured_at",
    "predicted_version", "reason", "replay", "sendable", "story", "version",
]  # fmt: skip

SPLIT = "val"  # the only split of which every epoch is kept
FATE_TITLES = {
    "learned": "Learned",
    "forgotten": "Forgotten",
    "flickering": "Flickering",
    "always-right": "Always right",
    "always-wrong": "Always wrong",
}
FATE_WORDS = {
    "learned": "wrong in the first epoch, right at the end, never lost in between",
    "forgotten": "right in some epoch, wrong at the end",
    "flickering": "right at the end, but forgotten on the way",
    "always-right": "right in every epoch",
    "always-wrong": "wrong in every epoch",
}
MOST_BYTES = 24_000_000  # that a browser gets; of longer runs it gets fewer epochs
NO_NUMBER = 255
EPOCH = "_epoch"  # the column of `found_at` that says which one it is; people's own columns may have any other name
STEPS = 254

Version = tuple[int, int]


@dataclass(frozen=True)
class Replay:
    """N validation images in E epochs.

    epochs: as they are counted in the run, ascending.
    best: the position of the best epoch in `epochs`; None where it is not among them.
    prob: float16 [E, N, C]; right: bool [E, N]; labels: 0/1, int8 [N, C].
    rows: of samples.parquet, as they are there, in the order of the other arrays.
    notes: what is not as it should be, in plain sentences.
    """

    epochs: list[int]
    best: int | None
    sample_id: list[str]
    prob: NDArray[np.float16]
    labels: NDArray[np.int8]
    right: NDArray[np.bool_]
    fates: maths.Fates
    rows: pd.DataFrame
    classes: tuple[str, ...]
    task: str
    critical: str | None
    notes: tuple[str, ...]

    def place(self, epoch: int | None) -> int | None:
        """The position of an epoch; None where it is not there."""
        return self.epochs.index(epoch) if epoch in self.epochs else None

    def of_fate(self, fate: str) -> set[str]:
        """The samples of this fate."""
        chosen = np.flatnonzero(self.fates.kind == maths.FATES.index(fate))
        return {self.sample_id[k] for k in chosen}


def version(run: Run) -> tuple[Version, ...]:
    """Changes whenever what `replay` gives may."""
    return tuple(run.version(name) for name in (layout.CONFIG, layout.SAMPLES, layout.HISTORY, layout.METRICS))


def predicted_version(run: Run) -> Version:
    """Changes whenever the run's own predictions do."""
    return run.version(layout.PREDICTIONS)


def replay(run: Run) -> Replay | None:
    """The epochs of a run, also of one that trains; None where there are none that can be used: `reason` says why."""
    found = _replay(str(run.dir), version(run))
    return found if isinstance(found, Replay) else None


def reason(run: Run) -> str:
    """Why a run has no replay, as a sentence; empty where it has one."""
    found = _replay(str(run.dir), version(run))
    return found if isinstance(found, str) else ""


@st.cache_resource(show_spinner=False, max_entries=8)
def _replay(folder: str, versions: tuple[Version, ...]) -> Replay | str:  # noqa: ARG001  the cache key
    run = Run(Path(folder))
    settings, known = run.config(), run.samples()
    if run.version(layout.HISTORY) == (0, 0):
        return "The probabilities of each epoch were not kept for this run."
    history = run.history()
    if history is None or settings is None or not settings.classes:
        return "The probabilities of each epoch can't be read."
    classes, columns = settings.classes, [f"label_{name}" for name in settings.classes]
    if history.prob.ndim != 3 or history.prob.shape[2] != len(classes) or not set(columns) <= set(known.columns):
        return "The probabilities of each epoch are of other classes than the run's."
    of_split = known[known["split"] == SPLIT]
    mine, theirs = maths.aligned(history.sample_id.tolist(), of_split["sample_id"].astype(str).tolist())
    order = maths.epochs_in_order(history.epoch)
    if not len(mine) or not len(order):
        return "No image of this run's validation split is in the probabilities of its epochs."
    rows = of_split.iloc[theirs].reset_index(drop=True)
    prob = np.ascontiguousarray(history.prob[order][:, mine])
    labels = rows[columns].to_numpy(np.int8)
    epochs = [int(value) for value in history.epoch[order]]
    right = maths.right_over_time(prob, labels, settings.task)
    best, _ = run.best()
    return Replay(
        epochs=epochs,
        best=epochs.index(best) if best in epochs else None,
        sample_id=rows["sample_id"].astype(str).tolist(),
        prob=prob,
        labels=labels,
        right=right,
        fates=maths.fates(right),
        rows=rows,
        classes=tuple(classes),
        task=settings.task,
        critical=settings.critical_class,
        notes=_notes(epochs, prob, len(history.sample_id), len(mine), len(of_split)),
    )


def _notes(epochs: list[int], prob: NDArray[np.float16], kept: int, used: int, all_of_them: int) -> tuple[str, ...]:
    notes = []
    missing = epochs[-1] - len(epochs)
    if missing > 0:
        notes.append(f"{missing} of {epochs[-1]} epochs were not kept.")
    if used < kept:
        notes.append(f"{kept - used:,} of {kept:,} images are not in the validation split any more, and left out.")
    if used < all_of_them:
        notes.append(f"{all_of_them - used:,} of {all_of_them:,} validation images have no epochs, and are left out.")
    broken = int((~np.isfinite(prob)).any(axis=(1, 2)).sum())
    if broken:
        notes.append(
            f"In {broken} {'epoch' if broken == 1 else 'epochs'} some probabilities are not numbers; there these "
            "images count as wrong, and in no cell of the matrix."
        )
    return tuple(notes)


# --- one epoch, as the pages know a finished run


def found_at(run: Run, epoch: int | None) -> Results | None:
    """As `covidviz.ui.results.results`, but of one epoch, with the validation split only.

    Args:
        epoch: None is the run's result: its best epoch, or the last one as long as it has not ended.
    """
    if epoch is None:
        found = results(run)
        if found is not None:
            return found
    return _found_at(str(run.dir), version(run), epoch)


@st.cache_resource(show_spinner=False, max_entries=64)
def _found_at(folder: str, versions: tuple[Version, ...], epoch: int | None) -> Results | None:
    known = _replay(folder, versions)
    if not isinstance(known, Replay):
        return None
    at = len(known.epochs) - 1 if epoch is None else known.place(epoch)
    if at is None:
        return None
    prob = known.prob[at].astype(np.float32)
    said = pd.DataFrame({"sample_id": known.rows["sample_id"], "split": SPLIT})
    for k, name in enumerate(known.classes):
        said[f"prob_{name}"] = prob[:, k]
    said["loss"] = maths.cross_entropy(prob, known.labels, known.task)
    frame = judged(known.rows, said, known.classes, known.task)
    frame["right"] = known.right[at]
    frame[EPOCH] = known.epochs[at]
    return Results(frame, known.classes, known.task, known.critical, {SPLIT: len(frame)})


def measured_at(run: Run, split: str, epoch: int | None) -> Measured:
    """As `covidviz.ui.results.measured`, but of one epoch (see `found_at`)."""
    if epoch is None and results(run) is not None:
        return measured(run, split)
    return _measured_at(str(run.dir), version(run), epoch)


@st.cache_resource(show_spinner=False, max_entries=64)
def _measured_at(folder: str, versions: tuple[Version, ...], epoch: int | None) -> Measured:
    found = _found_at(folder, versions, epoch)
    if found is None:
        raise KeyError(epoch)
    prob, labels = prob_of(found.frame, found.classes), labels_of(found.frame, found.classes)
    return Measured(
        confusion(prob, labels, found.classes, found.task),
        classification_metrics(prob, labels, found.classes, found.task, found.frame["loss"].to_numpy()),
        {name: int(n) for name, n in zip(found.classes, labels.sum(axis=0), strict=True)},
    )


def story(run: Run, sample_id: str) -> str | None:
    """What became of a validation image over the epochs, in a few words; None where that is not known."""
    return _stories(str(run.dir), version(run)).get(sample_id)


@st.cache_resource(show_spinner=False, max_entries=8)
def _stories(folder: str, versions: tuple[Version, ...]) -> dict[str, str]:
    known = _replay(folder, versions)
    if not isinstance(known, Replay) or len(known.epochs) < 2:
        return {}
    told = {}
    fates = known.fates
    each = zip(known.sample_id, fates.kind.tolist(), fates.forgetting.tolist(), fates.since.tolist(), strict=True)
    for name, kind, times, since in each:
        fate, at = maths.FATES[kind], known.epochs[since]
        often = "once" if times == 1 else f"{times} times"
        told[name] = {
            "learned": f"learned in epoch {at}",
            "forgotten": f"forgotten {often}, wrong since epoch {at}",
            "flickering": f"forgotten {often}, right since epoch {at}",
        }.get(fate, fate.replace("-", " "))
    return told


# --- for the browser


def key(run: Run) -> str:
    """A short text that changes whenever what `binary` gives does."""
    return hashlib.blake2s(repr(version(run)).encode(), digest_size=6).hexdigest()


def _most(known: Replay) -> int:
    """How many epochs fit."""
    _, n, c = known.prob.shape
    return MOST_BYTES // max(1, n * (c + (known.task == maths.SINGLE)))


def sendable(known: Replay) -> bool:
    """Whether a few epochs at least are small enough for a browser."""
    return _most(known) >= min(len(known.epochs), 4) and len(known.classes) <= NO_NUMBER


def binary(run: Run) -> bytes | None:
    """Everything that a browser needs to show any epoch by itself.

    Returns:
        Little endian: uint32 length of the head; the head, JSON, filled with spaces to a multiple of 4 bytes;
        then uint8 arrays: truth [N, C]; fate [N] (index into FATES); forgotten [N] (255: that or more often);
        prob [E, N, C] (`floor(254 p)`, so that p >= .5 is 127 or more; 255: not a number); and for single-label with
        at most 255 classes said [E, N] (index of the decided class, which rounding must not change).
        None where there is no replay, or it is not `sendable`.
    """
    known = replay(run)
    if known is None:
        return None
    e, _, _ = known.prob.shape
    single, most = known.task == maths.SINGLE, _most(known)
    if not sendable(known):
        return None
    shown = maths.thinned(e, most, [] if known.best is None else [known.best])
    prob = known.prob[shown].astype(np.float32)
    level = np.floor(np.nan_to_num(prob, nan=0, posinf=0, neginf=0).clip(0, 1) * STEPS).astype(np.uint8)
    level[~np.isfinite(prob)] = NO_NUMBER
    arrays = [
        known.labels.astype(np.uint8),
        known.fates.kind,
        known.fates.forgetting.clip(0, 255).astype(np.uint8),
        level,
    ]
    if single:
        arrays.append(np.stack([predicted(one, known.task).argmax(axis=1) for one in prob]).astype(np.uint8))
    notes = list(known.notes)
    if len(shown) < e:
        notes.append(f"{len(shown)} of {e} epochs are shown, evenly spread: all of them would be too much to send.")
    head: dict[str, Any] = {
        "run": run.id,
        "epochs": [known.epochs[k] for k in shown],
        "best": None if known.best is None else known.epochs[known.best],
        "classes": list(known.classes),
        "single": single,
        "ids": known.sample_id,
        "v": [pictures.file_key(run, name) for name in known.sample_id],
        "notes": notes,
        "fates": [{"id": name, "title": FATE_TITLES[name], "words": FATE_WORDS[name]} for name in maths.FATES],
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    return np.array([len(text)], dtype="<u4").tobytes() + text + b"".join(one.tobytes() for one in arrays)
