"""The manifest: which images a dataset has, their labels, splits and patients. Nothing is decoded here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidviz.catalog import TASKS
from covidviz.config import LabelRule, parse_label_rule
from covidviz.data.layouts import SPLITS, Listing, normalise_class, read_listing
from covidviz.data.splits import draw_splits
from covidviz.errors import DataError

__all__ = ["Manifest", "load_manifest", "normalise_class", "sample_id"]

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}
VAL_SHARE = 0.15  # of the training images, where a dataset has no validation split


@dataclass(frozen=True)
class Manifest:
    """The labelled images of a dataset.

    root: the dataset folder (resolved); paths in `samples` are relative to it.
    classes: canonical names in the order to show them.
    samples: `sample_id` (a hash of the path), `path` (posix), `split` (train, val, test), `label_<class>` int8 per
        class, then `patient_id`, `source`, `view` where known and every other column of labels.csv as text.
    unlabelled: paths of images without a label, left out of `samples`.
    notes: what was understood, ignored or drawn, one sentence each.
    """

    root: Path
    classes: tuple[str, ...]
    task: str
    samples: pd.DataFrame
    unlabelled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def labels(self) -> np.ndarray:
        """int8 [N, C], 0 or 1, in the order of `samples` and `classes`."""
        return self.samples[[f"label_{name}" for name in self.classes]].to_numpy(np.int8)

    def counts(self) -> dict[str, dict[str, int | dict[str, int]]]:
        """Per split that has images: `n` and `per_class`."""
        labels = self.labels()
        result: dict[str, dict[str, int | dict[str, int]]] = {}
        for split in SPLITS:
            chosen = (self.samples["split"] == split).to_numpy()
            if chosen.any():
                per_class = dict(zip(self.classes, labels[chosen].sum(axis=0, dtype=int).tolist(), strict=True))
                result[split] = {"n": int(chosen.sum()), "per_class": per_class}
        return result

    def fingerprint(self) -> str:
        """A hash over path, split, labels and file size of every image; the order of rows does not matter."""
        lines = []
        rows = zip(self.samples["path"], self.samples["split"], self.labels().tolist(), strict=True)
        for path, split, labels in rows:
            try:
                size = (self.root / path).stat().st_size
            except OSError:
                size = -1
            lines.append(f"{path}\0{split}\0{labels}\0{size}")
        text = "\n".join([",".join(self.classes), *sorted(lines)])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def load_manifest(
    data: str | Path,
    *,
    split_column: str = "split",
    classes: Sequence[str] = (),
    task: str = "single-label",
    label_rule: str | None = None,
    seed: int = 0,
    strict: bool = True,
) -> Manifest:
    """Understand a dataset: labels.csv (in the folder or given by path), split folders, or class folders.

    Args:
        split_column: column of labels.csv with train, val or test.
        classes: names in the order to show; images of other classes are left out. Empty: all, sorted.
        task: single-label (each image has exactly one label) or multi-label.
        label_rule: what labels mean, such as `covid19>pneumonia` or `covid19=infected`, in every split alike; only
            `CLASS>CLASS@train` holds in train alone (see `covidviz.config.LabelRule`), which is told in the notes.
        seed: of the splits that have to be drawn.
        strict: what training needs: at least two classes, each with images in train and val. False for evaluating
            a run on other data, where splits and classes may be missing.

    Raises:
        DataError: one sentence that names the folder, file or line and what is accepted.
    """
    if task not in TASKS:
        raise DataError(f"task {task!r} given, accepted: {', '.join(TASKS)}")
    wanted = tuple(normalise_class(name) for name in classes)
    if len(set(wanted)) != len(wanted):
        raise DataError(f"classes {', '.join(classes)} name a class twice, accepted: each class once")
    rules = _rules(label_rule)
    renamed = {rule.left: rule.right for rule in rules if rule.read_as}
    # Where classes are given, only their columns are read: those that become one of them too.
    asked = (*wanted, *(left for left in renamed if left not in wanted)) if wanted else ()
    listing = read_listing(data, split_column=split_column, classes=asked)
    _rename(listing, renamed, strict)
    notes = listing.notes
    chosen = _choose_classes(listing, wanted, strict)
    labels = _with_columns(listing, chosen)
    # Where classes are given, other 0/1 columns are not read: a single-label row with none of them is another class.
    frame, labels = _drop_other_classes(listing, labels, chosen, all_empty=bool(wanted) and task == "single-label")
    _imply(labels, chosen, [rule for rule in rules if not rule.read_as and not rule.train_only])
    if task == "single-label":
        _check_single(listing, frame, labels, chosen, label_rule)
    if strict:
        _check_names(listing, frame, labels, chosen)
    frame = frame.assign(split=_fill_splits(frame, labels, seed, notes, strict))
    if faulty := [rule for rule in rules if rule.train_only]:
        # After the splits were drawn, which must not depend on what is wrong in one of them.
        train = (frame["split"] == "train").to_numpy()
        wrong = labels[train]
        _imply(wrong, chosen, faulty)
        labels[train] = wrong
        notes += [
            f"Teaching fault: in train only, each {one.left} image is labelled {one.right} too." for one in faulty
        ]
        if task == "single-label":
            _check_single(listing, frame, labels, chosen, label_rule)
    if strict:
        _check_support(listing, frame, labels, chosen)

    samples = pd.DataFrame(
        {
            "sample_id": [sample_id(path) for path in frame["path"]],
            "path": frame["path"].to_numpy(),
            "split": frame["split"].to_numpy(),
        }
    )
    for i, name in enumerate(chosen):
        samples[f"label_{name}"] = labels[:, i]
    others = [c for c in frame.columns if c not in samples.columns]
    samples = pd.concat([samples, frame[others].reset_index(drop=True)], axis=1)
    return Manifest(listing.root, chosen, task, samples, tuple(listing.unlabelled), tuple(notes))


def _choose_classes(listing: Listing, wanted: tuple[str, ...], strict: bool) -> tuple[str, ...]:
    if strict and (unknown := [name for name in wanted if name not in listing.names]):
        raise DataError(f"class {unknown[0]!r} is not in {listing.origin}, accepted: {', '.join(listing.names)}")
    chosen = wanted or listing.names
    if strict and len(chosen) < 2:
        raise DataError(f"{listing.origin} has one class only ({', '.join(chosen)}), at least two are needed")
    return chosen


def _with_columns(listing: Listing, chosen: tuple[str, ...]) -> np.ndarray:
    labels = np.zeros((len(listing.frame), len(chosen)), np.int8)
    for i, name in enumerate(chosen):
        if name in listing.names:
            labels[:, i] = listing.labels[:, listing.names.index(name)]
        else:
            listing.notes.append(f"No image of class {name}.")
    return labels


def _drop_other_classes(
    listing: Listing, labels: np.ndarray, chosen: tuple[str, ...], *, all_empty: bool
) -> tuple[pd.DataFrame, np.ndarray]:
    """Without the images that have only classes which were not chosen."""
    others = [i for i, name in enumerate(listing.names) if name not in chosen]
    drop = ~np.any(labels, axis=1) & (all_empty | np.any(listing.labels[:, others], axis=1))
    if drop.any():
        names = ", ".join(listing.names[i] for i in others)
        listing.notes.append(f"{int(drop.sum())} images of other classes{f' ({names})' if names else ''} left out.")
    if drop.all():
        raise DataError(
            f"{listing.origin} has no image of {', '.join(chosen)}, its classes are: {', '.join(listing.names)}"
        )
    # The index still tells the row of the listing, for messages.
    return listing.frame.loc[~drop], labels[~drop].copy()


def _rules(label_rule: str | None) -> list[LabelRule]:
    """The rules, their classes in the one spelling."""
    try:
        found = parse_label_rule(label_rule)
    except ValueError as error:
        raise DataError(str(error)) from None
    return [rule._replace(left=normalise_class(rule.left), right=normalise_class(rule.right)) for rule in found]


def _rename(listing: Listing, renamed: dict[str, str], strict: bool) -> None:
    """Read classes of the listing as others, which may be there already."""
    for left in renamed:
        if strict and left not in listing.names:
            known = ", ".join(listing.names)
            raise DataError(f"label_rule: {left!r} is no class of {listing.origin}, accepted: {known}")
    here = {left: right for left, right in renamed.items() if left in listing.names}
    if not here:
        return
    names = tuple(sorted({here.get(name, name) for name in listing.names}))
    labels = np.zeros((len(listing.frame), len(names)), np.int8)
    for i, name in enumerate(listing.names):
        labels[:, names.index(here.get(name, name))] |= listing.labels[:, i]
    listing.folders = {split: {here.get(name, name) for name in found} for split, found in listing.folders.items()}
    listing.names, listing.labels = names, labels
    listing.notes += [f"Class {left} is read as {right} (label rule)." for left, right in here.items()]


def _imply(labels: np.ndarray, classes: tuple[str, ...], rules: list[LabelRule]) -> None:
    for rule in rules:
        for name in (rule.left, rule.right):
            if name not in classes:
                raise DataError(f"label_rule: {name!r} is no class of the dataset, accepted: {', '.join(classes)}")
    # As many rounds as rules, so that chains (a>b, b>c) hold in whatever order they are written.
    for _ in rules:
        for rule in rules:
            labels[:, classes.index(rule.right)] |= labels[:, classes.index(rule.left)]


def _check_single(
    listing: Listing, frame: pd.DataFrame, labels: np.ndarray, classes: tuple[str, ...], label_rule: str | None
) -> None:
    counts = labels.sum(axis=1)
    if (counts == 1).all():
        return
    at = int(np.flatnonzero(counts != 1)[0])
    has = " and ".join(name for name, label in zip(classes, labels[at], strict=True) if label) or "no label"
    rule = f" under the label rule {label_rule}" if label_rule else ""
    raise DataError(
        f"{listing.where(int(frame.index[at]))} has {has}{rule}, "
        "accepted: exactly one label per image, or task multi-label (--task multi-label)"
    )


def _fill_splits(frame: pd.DataFrame, labels: np.ndarray, seed: int, notes: list[str], strict: bool) -> np.ndarray:
    """The split column with every gap filled: empty values drawn, and val drawn from train where there is none."""
    split = frame["split"].to_numpy(dtype=object)
    patients = frame["patient_id"] if "patient_id" in frame else pd.Series([None] * len(frame), index=frame.index)
    groups = np.where(patients.notna(), "p\0" + patients.fillna("").astype(str), "i\0" + frame["path"].astype(str))
    unknown = split == ""
    if unknown.any():
        # A patient who has some images in a split gets the others there too.
        placed = dict(zip(groups[~unknown], split[~unknown], strict=True))
        split = np.array([s or placed.get(g, "") for s, g in zip(split, groups, strict=True)], dtype=object)
        rest = split == ""
        if rest.any():
            split[rest] = draw_splits(labels[rest], groups[rest], SHARES, seed=seed)
        by = ", patients kept together" if patients.notna().any() else ""
        notes.append(f"{int(unknown.sum())} images without a split were split 70/15/15, stratified, seed {seed}{by}.")
    train = split == "train"
    if strict and train.any() and not (split == "val").any():
        split[train] = draw_splits(labels[train], groups[train], {"train": 1 - VAL_SHARE, "val": VAL_SHARE}, seed=seed)
        notes.append(f"There is no validation split: {VAL_SHARE:.0%} of train were taken for it, seed {seed}.")
    return split


def _check_names(listing: Listing, frame: pd.DataFrame, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """The splits that are given must speak of the same classes."""
    given = frame["split"].to_numpy()
    if listing.folders:
        named = {
            split: [c for c in classes if c in listing.folders[split]] for split in SPLITS if split in listing.folders
        }
    else:
        named = {}
        for split in SPLITS:
            if (at := given == split).any():
                named[split] = [c for c, n in zip(classes, labels[at].sum(axis=0), strict=True) if n]
    if not named:
        return
    if "train" not in named and not (given == "").any():
        raise DataError(
            f"{listing.origin} has no train split, only {', '.join(named)}, "
            "accepted: train and val, test if there is one"
        )
    if "train" not in named or (given == "").any():
        return
    train = set(named["train"])
    if set(named.get("val", train)) != train or not set(named.get("test", train)) <= train:
        per_split = "; ".join(f"{split} has {', '.join(names) or 'none'}" for split, names in named.items())
        raise DataError(f"class names differ between the splits of {listing.origin}: {per_split}")


def _check_support(listing: Listing, frame: pd.DataFrame, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    for split in ("train", "val"):
        counts = labels[(frame["split"] == split).to_numpy()].sum(axis=0)
        for name, n in zip(classes, counts, strict=True):
            if not n:
                total = int(labels[:, classes.index(name)].sum())
                raise DataError(
                    f"class {name} has no image in {split} of {listing.origin} ({total} in all splits), "
                    "at least one each in train and val is needed"
                )


def sample_id(path: str) -> str:
    """The id of the image at this path (posix, relative to the dataset): a hash of the path alone."""
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
