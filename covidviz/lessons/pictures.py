"""The datasets of the lessons: chosen phantoms, with defects planted where a lesson is about them.

All are made from the `small` phantoms, which are drawn once on a server (the demo uses the same); a dataset of a
lesson is then copied together in a second. It is an ordinary dataset, which every page can open.
"""

from __future__ import annotations

import csv
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from covidviz.data.phantoms import CLASSES, PhantomOptions, make_phantoms
from covidviz.errors import DataError
from covidviz.paths import cache_dir, data_dir
from covidviz.store.locks import Lock

__all__ = ["DATASETS", "Picture", "base", "examples", "folder", "make", "plan"]

Edit = Literal["", "near", "text", "blank"]
TEXT, TEXT_SIZE = "PORTABLE", 22  # pixels high, of 256
# Bump a number when the pictures of a dataset change: what was made before is left alone.
DATASETS = {"plain": 1, "rare": 1, "leak": 1, "text": 1}


@dataclass(frozen=True)
class Picture:
    """One image to put into a dataset: a phantom of the base, where it goes, and what is done to it.

    kind: told in the column `kind` of labels.csv, so that a lesson can score kinds apart; empty where it does not.
    """

    name: str
    label: str
    patient: str
    source: str
    view: str
    split: str
    edit: Edit = ""
    kind: str = ""
    copy: str = ""

    @property
    def file(self) -> str:
        return f"{Path(self.name).stem}{self.copy}.png"


def base() -> Path:
    """The phantoms that all lessons choose from."""
    return data_dir() / "phantoms-small"


def folder(name: str) -> Path:
    """Where a lesson's dataset is, or will be."""
    version = DATASETS[name]
    return data_dir() / (f"lesson-{name}" if version == 1 else f"lesson-{name}-{version}")


def make(names: Sequence[str], tell: Callable[[str], None]) -> None:
    """Draw the phantoms and copy the datasets together, unless they are there. One process at a time.

    Raises:
        DataError: a folder can't be written, or the base is no set of phantoms.
        StoreError: the lock can't be had.
    """
    if all((folder(name) / "labels.csv").is_file() for name in names):
        return
    lock_file = cache_dir() / "lessons.lock"
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock.take(lock_file)
    while lock is None:
        tell("waiting for another lesson's pictures")
        lock = Lock.take(lock_file, wait=3600)
    with lock:
        _draw(tell)
        for name in names:
            if not (folder(name) / "labels.csv").is_file():
                tell("choosing pictures")
                _write(folder(name), plan(name, _read_base()))


def _draw(tell: Callable[[str], None]) -> None:
    if (base() / "labels.csv").is_file():
        return

    def count(done: int, n: int) -> None:
        if done == n or done % 20 == 0:
            tell(f"drawing phantoms, once on this machine: {100 * done // n} %")

    base().parent.mkdir(parents=True, exist_ok=True)
    make_phantoms(base(), PhantomOptions(size="small"), on_progress=count)


def _read_base() -> list[Picture]:
    file = base() / "labels.csv"
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [
            Picture(Path(row["path"]).name, row["label"], row["patient_id"], row["source"], row["view"], row["split"])
            for row in rows
        ]
    except (OSError, KeyError) as error:
        raise DataError(f"{file} is no set of phantoms ({error}), accepted: what `data phantoms` made") from None


def examples(name: str) -> list[tuple[Path, str]]:
    """A few images of a lesson's dataset to show, and what they are; none before it was made."""
    try:
        with (folder(name) / "labels.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError:
        return []
    paths = [row["path"] for row in rows]
    if name in ("plain", "rare"):
        first = {row["label"]: row["path"] for row in reversed(rows) if row["split"] == "val"}
        return [(folder(name) / first[label], label) for label in CLASSES if label in first]
    found = []
    for path in paths:
        stem = path.removesuffix(".png")
        shown = {
            "leak": {path: "to learn from", f"{stem}-copy.png": "to validate on", f"{stem}-near.png": "this too"},
            "text": {path: "covid-19", f"{stem}-bare.png": "word removed", f"{stem}-blank.png": "lungs blanked"},
        }[name]
        found = [(folder(name) / one, words) for one, words in shown.items() if one in paths]
        if len(found) == len(shown):
            break
    return found


# --- what is chosen; pure ---


def plan(name: str, rows: Sequence[Picture]) -> list[Picture]:
    """The images of a lesson's dataset, from those of the base. A smaller base gives a smaller dataset."""
    chosen = {"plain": _plain, "rare": _rare, "leak": _leak, "text": _text}[name](rows)
    return sorted(chosen, key=lambda one: (("train", "val", "test").index(one.split), one.file))


def _of(rows: Sequence[Picture], split: str, label: str, n: int | None = None) -> list[Picture]:
    found = [row for row in rows if row.split == split and row.label == label]
    return found[:n]


def _plain(rows: Sequence[Picture]) -> list[Picture]:
    """As many of each class, few enough for a run of seconds."""
    return [
        one for label in CLASSES for split, n in (("train", 168), ("val", 150)) for one in _of(rows, split, label, n)
    ]


def _rare(rows: Sequence[Picture]) -> list[Picture]:
    """Covid-19 as rare as in the course: 28 of 388 to validate on, and few to learn from."""
    many = {"covid19": (RARE, 28), "normal": (240, 240), "pneumonia": (120, 120)}
    return [
        one for label, n in many.items() for split, k in zip(("train", "val"), n, strict=True)
        for one in _of(rows, split, label, k)
    ]  # fmt: skip


RARE = 40


def _leak(rows: Sequence[Picture]) -> list[Picture]:
    """Few to learn from; of the images to validate on half are copies of them, a quarter show the same patients."""
    chosen: list[Picture] = []
    for label in CLASSES:
        own: dict[str, list[Picture]] = {}
        for one in _of(rows, "train", label):
            own.setdefault(one.patient, []).append(one)
        several = [images for images in own.values() if len(images) > 1][:LEAK]
        for one, other, *_ in several:
            chosen += [
                one,
                replace(one, split="val", kind="copy", copy="-copy"),
                replace(one, split="val", edit="near", kind="copy", copy="-near"),
                replace(other, split="val", kind="same patient"),
            ]
        chosen += [replace(one, kind="new patient") for one in _of(rows, "val", label, len(several))]
    return chosen


LEAK = 20


def _text(rows: Sequence[Picture]) -> list[Picture]:
    """A word in the corner of every covid-19 image; to test on, the same without the word or the lungs, and healthy
    ones with the word."""
    chosen: list[Picture] = []
    for label in CLASSES:
        edit: Edit = "text" if label == "covid19" else ""
        for split, n in (("train", TEXTED), ("val", 30)):
            chosen += [replace(one, edit=edit) for one in _of(rows, split, label, n)]
    for one in _of(rows, "val", "covid19", 30):
        chosen += [
            replace(one, split="test", kind="word removed", copy="-bare"),
            replace(one, split="test", edit="blank", kind="lungs blanked", copy="-blank"),
        ]
    for one in _of(rows, "val", "normal", 30):
        chosen.append(replace(one, split="test", edit="text", kind="word added", copy="-word"))
    return chosen


TEXTED = 60


# --- files ---


def _write(out: Path, pictures: Sequence[Picture]) -> None:
    building = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        (building / "images").mkdir(parents=True)
        (building / "masks/lungs").mkdir(parents=True)
        for one in pictures:
            _place(one, building)
        _write_labels(pictures, building / "labels.csv")
        building.replace(out)
    except OSError as error:
        raise DataError(f"{out} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _place(one: Picture, building: Path) -> None:
    image, mask = base() / "images" / one.name, base() / "masks/lungs" / one.name
    _copy(mask, building / "masks/lungs" / one.file)
    if one.edit:
        _edited(image, mask, one.edit).save(building / "images" / one.file, compress_level=3)
    else:
        _copy(image, building / "images" / one.file)


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # takes no space
    except OSError:
        shutil.copyfile(source, target)


def _edited(image: Path, mask: Path, edit: Edit) -> Image.Image:
    with Image.open(image) as opened:
        picture = opened.convert("L")
    if edit == "blank":  # the word stays
        with Image.open(mask) as opened:
            lungs = np.asarray(opened.convert("L").resize(picture.size).filter(ImageFilter.MaxFilter(9))) > 127
        pixels = np.array(picture)
        pixels[lungs] = round(float(pixels[~lungs].mean())) if not lungs.all() else 0
        picture = Image.fromarray(pixels)
    if edit in ("text", "blank"):
        ImageDraw.Draw(picture).text((8, 6), TEXT, fill=245, font=ImageFont.load_default(TEXT_SIZE))
        return picture
    # The same radiograph a little cropped and brighter.
    edge = round(0.03 * picture.width)
    box = (edge, edge, picture.width - edge, picture.height - edge)
    bright = np.asarray(picture.resize(picture.size, Image.Resampling.BILINEAR, box=box), dtype=np.float32)
    return Image.fromarray(np.clip(1.08 * bright + 6, 0, 255).astype(np.uint8))


def _write_labels(pictures: Sequence[Picture], file: Path) -> None:
    kinds = any(one.kind for one in pictures)
    columns = ["path", "label", "patient_id", "source", "view", "split", "lung_mask"]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*columns, "kind"] if kinds else columns)
        for one in pictures:
            row = [f"images/{one.file}", one.label, one.patient, one.source, one.view, one.split,
                   f"masks/lungs/{one.file}"]  # fmt: skip
            writer.writerow([*row, one.kind] if kinds else row)
