"""The checks `label-encoding` and `support`."""

from __future__ import annotations

from math import comb

import numpy as np

from covidviz.data.doctor.dataset import Dataset, plural
from covidviz.data.doctor.report import LISTED, Check
from covidviz.data.layouts import SPLITS
from covidviz.evaluation.metrics import classification_metrics

__all__ = ["label_encoding", "support"]

SURE = 0.01  # a difference this unlikely by chance is told
FEW = 20  # images of a class in a split that judges: fewer say little
RATIO = 10  # largest class to smallest


def label_encoding(data: Dataset) -> Check:
    """Does a class mean the same in every split? One that always implies another in one split only does not."""
    labels = data.labels.astype(bool)
    present = [i for i in range(len(SPLITS)) if (data.splits == i).any()]
    rates: list[dict[str, object]] = []
    odd, consistent, concerned = [], [], np.zeros(data.n, bool)
    for i, left in enumerate(data.classes):
        for j, right in enumerate(data.classes):
            if i == j:
                continue
            counts = {}
            for split in present:
                has = labels[data.splits == split, i]
                both = int((has & labels[data.splits == split, j]).sum())
                if has.any():
                    counts[split] = (both, int(has.sum()))
            if not any(both for both, _ in counts.values()):
                continue
            rates.append(
                {"class": left, "implies": right, "splits": {SPLITS[s]: [b, n] for s, (b, n) in counts.items()}}
            )
            if all(both == n for both, n in counts.values()):
                consistent.append(f"{left} always comes with {right}")
            for one, (both, n) in counts.items():
                for other, (both2, n2) in counts.items():
                    if both == n and both2 <= 0.5 * n2 and _fisher(both, n, both2, n2) < SURE:
                        said = f"in {SPLITS[one]} every {left} image is also {right}"
                        odd.append(f"{said}, in {SPLITS[other]} {both2:,} of {n2:,}")
                        concerned |= labels[:, i] & (data.splits == one) & labels[:, j]
    missing = []
    for k, name in enumerate(data.classes):
        empty = [SPLITS[split] for split in present if not labels[data.splits == split, k].any()]
        if empty and len(empty) < len(present) and labels[:, k].sum() >= 5 * len(present):
            missing.append(f"{name} has no image in {' and '.join(empty)}")
    details = {
        "task": "single-label" if data.single else "multi-label",
        "implications": rates[:LISTED],
        "labels_per_image": {
            SPLITS[split]: round(float(labels[data.splits == split].sum(1).mean()), 4) for split in present
        },
    }
    rows = np.flatnonzero(concerned)
    if odd:
        return Check(
            "label-encoding", "bad",
            f"The splits write labels differently: {'; '.join(odd[:3])}.",
            "The same kind of image has other labels in training than where it is judged: the model learns one rule "
            "and is marked by another.",
            "Write the labels alike in every split, or set a label rule such as covid19>pneumonia, which is applied "
            "to all splits.", len(rows), [data.paths[row] for row in rows[:LISTED]], details,
        )  # fmt: skip
    if missing:
        return Check(
            "label-encoding", "bad", f"The splits do not have the same classes: {'; '.join(missing[:3])}.",
            "What was never learned can't be judged, and what is never judged says nothing.",
            "Check how classes are named, and give every split images of every class.", len(missing), [], details,
        )  # fmt: skip
    if consistent:
        return Check(
            "label-encoding", "note", f"In every split {' and '.join(consistent[:3])}.",
            "That is consistent: every split follows the same rule. A score that counts each label counts the implied "
            "one twice.", "Nothing has to be done. Compare with other datasets only if they follow the rule too.",
            len(consistent), [], details,
        )  # fmt: skip
    said = "Each image has one label" if data.single else "Labels go together alike"
    return Check("label-encoding", "ok", f"{said} in every split.", details=details)


def _fisher(a: int, n: int, b: int, m: int) -> float:
    """How likely is at least `a` of `n` beside `b` of `m` by chance (one-sided; R. A. Fisher 1922)."""
    hits, total = a + b, comb(n + m, n)
    return sum(comb(hits, k) * comb(n + m - hits, n - k) for k in range(a, min(n, hits) + 1)) / total


def support(data: Dataset) -> Check:
    """Images per class and split, and what a model gets that always says the same."""
    labels = data.labels
    splits, few, none = {}, [], []
    for i, split in enumerate(SPLITS):
        at = data.splits == i
        if not at.any():
            continue
        counts = labels[at].sum(0, dtype=int)
        for name, n in zip(data.classes, counts.tolist(), strict=True):
            if not n:
                none.append(f"{name} in {split}")
            elif n < FEW:
                few.append(f"{n} {name} in {split}")
        splits[split] = {
            "n": int(at.sum()),
            "per_class": dict(zip(data.classes, counts.tolist(), strict=True)),
            "patients": len(np.unique(data.patients[at])) if data.column("patient_id") else None,
            "constant": _constant(data, at),
        }
    total = labels.sum(0, dtype=int)
    unreadable = data.looks.files["error"][lambda errors: errors != ""]
    missing = [split for split in ("train", "val") if split not in splits]
    details = {
        "splits": splits,
        "unlabelled": len(data.manifest.unlabelled),
        "unreadable": unreadable.tolist()[:LISTED],
        "notes": list(data.manifest.notes),
    }
    said = "; ".join(f"{split} {part['n']:,}" for split, part in splits.items())
    facts, severity = [f"{plural(data.n, 'image')} ({said})."], "ok"
    if few:
        severity = "note"
        facts.append(f"Few images: {', '.join(few[:4])}{', ...' if len(few) > 4 else ''}.")
    if len(total) > 1 and total.max() > RATIO * max(total.min(), 1):
        severity = "note"
        high, low = data.classes[int(total.argmax())], data.classes[int(total.argmin())]
        facts.append(f"{high} has {total.max() / max(total.min(), 1):.0f} times as many images as {low}.")
    if len(unreadable):
        severity = "warn" if len(unreadable) > 0.01 * data.n else "note"
        facts.append(f"{plural(len(unreadable), 'file')} can't be read.")
    if len(data.classes) < 2 or none or missing:
        severity = "warn"
        facts += [f"No image of {', '.join(none[:4])}."] if none else []
        facts += [f"There is no {' and no '.join(missing)} split."] if missing else []
        facts += ["There is one class only."] if len(data.classes) < 2 else []
    paths = [data.paths[row] for row in np.flatnonzero(~data.looks.readable)[:LISTED]]
    return Check(
        "support", severity, " ".join(facts),
        "A model that always says the same gets the scores told with each split: a real one has to be better. With "
        "20 images of a class, a recall of .8 can be anything from .58 to .92.",
        "Collect more images of the small classes, or read their scores with the interval." if few or none else "",
        data.n, paths, details,
    )  # fmt: skip


def _constant(data: Dataset, at: np.ndarray) -> dict[str, float]:
    """The scores of the constant answer that fits the training images best (all images where there are none)."""
    train = data.splits == 0
    known = data.labels[train] if train.any() else data.labels
    if data.single:
        answer = np.eye(len(data.classes))[known.sum(0).argmax()]
    else:
        kinds, counts = np.unique(known, axis=0, return_counts=True)
        answer = kinds[counts.argmax()].astype(float)
    truth = data.labels[at]
    task = "single-label" if data.single else "multi-label"
    scores = classification_metrics(np.tile(answer, (len(truth), 1)), truth, data.classes, task)
    names = ("accuracy", "label_accuracy", "exact_match", "macro_f1", "micro_f1")
    return {name: round(scores[name], 4) for name in names if name in scores}
