"""All checks, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from covidviz.data.doctor.dataset import Dataset, joined
from covidviz.data.doctor.keep import content_key, files_key, keep, key_of, load
from covidviz.data.doctor.report import CHECKS, Check, Report
from covidviz.errors import DataError

__all__ = ["Tell", "diagnose"]

Tell = Callable[[float, str], None]

# Shares of the whole at which a stage ends; measured on 1,622 images of 512 px.
_LOOKED, _TWINS, _LABELS, _DONE = 0.35, 0.65, 0.8, 1.0


def diagnose(data: str | Path, split_column: str = "split", *, tell: Tell | None = None) -> Report:
    """Look at every image of a dataset, do all checks, and remember the report (see `known`).

    Seconds for a thousand images, minutes for a hundred thousand; scikit-learn is loaded. For a process of its own.

    Args:
        data: as `load_manifest`; classes, splits and labels are taken as they are.
        tell: called with how much is done (0 to 1) and what is being done; what it raises stops the work.

    Raises:
        DataError: the dataset can't be understood, or none of its images can be read.
    """
    say = tell or (lambda share, what: None)  # noqa: ARG005
    began = time.monotonic()
    manifest = load(data, split_column)
    if not len(manifest.samples):
        raise DataError(f"{data} has no labelled image")
    # Only here: they load scikit-learn and scipy.
    from covidviz.data.doctor import duplicates, groups, labels, odd, patients, shortcuts, suspects, twins
    from covidviz.data.doctor.looks import look_at

    key = key_of(manifest, split_column)
    what = "looking at images"
    say(0, what)
    looks = look_at(
        manifest.root, [str(path) for path in manifest.samples["path"]], files_key(manifest),
        on_progress=lambda done, n: say(_LOOKED * done / n, what) if done % 16 == 0 or done == n else None,
    )  # fmt: skip
    one = Dataset(manifest, looks)
    same = duplicates.exact_pairs(one)
    near = twins.near_twins(
        looks.thumbs, manifest.root, one.paths, leave=[copy for _, copy in same],
        tell=lambda share: say(_LOOKED + (_TWINS - _LOOKED) * share, "comparing images"),
    )  # fmt: skip
    pairs = [*same, *((twin.a, twin.b) for twin in near)]
    together = joined(one.n, pairs, one.patients)
    checks = [
        _done("exact-duplicates", lambda: duplicates.exact_duplicates(one, same)),
        _done("near-duplicates", lambda: duplicates.near_duplicates(one, near)),
        _done("patient-overlap", lambda: patients.patient_overlap(one)),
        _done("label-encoding", lambda: labels.label_encoding(one)),
        _done("label-suspects", lambda: suspects.label_suspects(
            one, together, lambda share: say(_TWINS + (_LABELS - _TWINS) * share, "questioning labels")
        )),
    ]  # fmt: skip
    steps = {
        "file-traits": shortcuts.file_traits, "source-shortcut": shortcuts.source_shortcut,
        "thumbnail-shortcut": shortcuts.thumbnail_shortcut, "lungs-blanked": shortcuts.lungs_blanked,
    }  # fmt: skip
    for i, (id, step) in enumerate(steps.items()):
        say(_LABELS + (_DONE - _LABELS) * i / (len(steps) + 1), "looking for shortcuts")
        checks.append(_done(id, partial(step, one, together)))
    say(_DONE - 0.04, "looking for odd images")
    checks += [
        _done("odd-images", lambda: odd.odd_images(one)),
        _done("support", lambda: labels.support(one)),
        _done("subgroups", lambda: groups.subgroups(one)),
    ]
    order = list(CHECKS)
    report = Report(
        key, str(data), split_column, time.time(), round(time.monotonic() - began, 2), one.n, list(one.classes),
        "single-label" if one.single else "multi-label", one.split_counts(),
        tuple(sorted(checks, key=lambda check: order.index(check.id))),
        _leaks(one, same, [(twin.a, twin.b) for twin in near]), _groups(one, pairs),
    )  # fmt: skip
    if content_key(data, split_column) == key:  # not changed meanwhile
        keep(report)
    say(1.0, "done")
    return report


def _done(id: str, check: Callable[[], Check]) -> Check:
    """The check; or that it could not be done, where its numbers fail it: the other eleven are worth having."""
    try:
        return check()
    except (ArithmeticError, LookupError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        return Check(id, "note", f"This check could not be done ({why}).", details={"error": why})


def _leaks(data: Dataset, same: list[tuple[int, int]], near: list[tuple[int, int]]) -> dict[str, list[str]]:
    """Every row of val and test that an earlier split knows, and by which checks."""
    from covidviz.data.doctor.duplicates import leaked
    from covidviz.data.doctor.patients import leaked_by_patient

    found: dict[str, list[str]] = {}
    by_patient = leaked_by_patient(data) if data.column("patient_id") else []
    for id, rows in (
        ("exact-duplicates", leaked(data, same)),
        ("near-duplicates", leaked(data, near)),
        ("patient-overlap", by_patient),
    ):
        for row in rows:
            found.setdefault(data.paths[row], []).append(id)
    return found


def _groups(data: Dataset, pairs: list[tuple[int, int]]) -> list[list[str]]:
    """The paths of the images that show the same radiograph, for each one that is there more than once."""
    found: dict[int, list[str]] = {}
    number = joined(data.n, pairs, np.arange(data.n)).tolist()
    for row in sorted({row for pair in pairs for row in pair}):
        found.setdefault(number[row], []).append(data.paths[row])
    return list(found.values())
