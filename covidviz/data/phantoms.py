"""Phantoms: datasets of drawn chest X-rays, with the truth about every image, that need no download."""

from __future__ import annotations

import csv
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from covidviz.data.anatomy import SIDE, Picture, draw
from covidviz.data.layouts import normalise_class
from covidviz.errors import DataError

__all__ = ["CLASSES", "ENCODINGS", "SIZES", "PhantomOptions", "make_phantoms"]

CLASSES = ("covid19", "normal", "pneumonia")
ENCODINGS = ("implied", "train-only")
SOURCES = ("hospital-a", "hospital-b")

# Images per split and class. `full` has the supports of the course's part 2; `small` is balanced enough to learn from.
SIZES: dict[str, dict[str, dict[str, int]]] = {
    "tiny": {split: dict.fromkeys(CLASSES, n) for split, n in (("train", 12), ("val", 4), ("test", 4))},
    "small": {split: {"covid19": 168, "normal": 240, "pneumonia": 220} for split in ("train", "val")},
    "full": {
        "train": {"covid19": 200, "normal": 4000, "pneumonia": 2000},
        "val": {"covid19": 28, "normal": 400, "pneumonia": 200},
    },
}
_IMAGES_PER_PATIENT = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4)


@dataclass(frozen=True)
class PhantomOptions:
    """What to make, and which defects to plant in it.

    size: tiny (60 images: train 36, val 12, test 12), small (628 train, 628 val) or full (6,200 train, 628 val).
    seed: the same seed gives the same files, byte for byte.
    duplicates: so many validation images are replaced by copies of training images of the same class; every second
        one is cropped a little and exposed differently, the others are the same file.
    shared_patients: so many patients of train have their images in validation too.
    marker_class: every image of this class carries the same text in a corner.
    label_noise: share of all images whose label is wrong, 0 to 0.5.
    encoding: the course's two label encodings (multi-label): `implied` writes covid19 images as pneumonia too, in
        every split; `train-only` writes pneumonia images as covid19 too, in train only.
    """

    size: str = "small"
    seed: int = 0
    duplicates: int = 0
    shared_patients: int = 0
    marker_class: str | None = None
    label_noise: float = 0.0
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise DataError(f"size {self.size!r} given, accepted: {', '.join(SIZES)}")
        if self.seed < 0:
            raise DataError(f"seed {self.seed} given, accepted: 0 or more")
        most = sum(SIZES[self.size]["val"].values())
        for name in ("duplicates", "shared_patients"):
            if not 0 <= getattr(self, name) <= most // 3:
                raise DataError(f"{name} {getattr(self, name)} given, accepted for size {self.size}: 0 to {most // 3}")
        if self.marker_class is not None and normalise_class(self.marker_class) not in CLASSES:
            raise DataError(f"marker_class {self.marker_class!r} given, accepted: {', '.join(CLASSES)}")
        if not 0 <= self.label_noise <= 0.5:
            raise DataError(f"label_noise {self.label_noise} given, accepted: 0 to 0.5")
        if self.encoding is not None and self.encoding not in ENCODINGS:
            raise DataError(f"encoding {self.encoding!r} given, accepted: {', '.join(ENCODINGS)}")


@dataclass(frozen=True)
class _Shot:
    """One image to make."""

    truth: str
    label: str
    patient: int
    number: int
    split: str
    source: str
    view: str
    marked: bool = False
    copy_of: _Shot | None = None
    changed: bool = False
    planted: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        return f"p{self.patient:04d}-{self.number}.png"


def make_phantoms(
    out: str | Path, options: PhantomOptions | None = None, *, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw a dataset: `labels.csv`, `images/`, and `masks/lungs/`, `masks/lesions/` with the truth.

    labels.csv has `path`, `label`, `patient_id`, `source`, `view`, `split`, `lung_mask`, `lesion_mask`, and where
    defects are planted `planted`, which names them. Patients stay within one split and source unless planted
    otherwise. The folder appears when it is complete.

    Args:
        out: the folder to make; it must not exist or be empty.
        on_progress: called with (done, all); what it raises stops the work and leaves nothing behind.

    Raises:
        DataError: `out` is not empty or can't be written.
    """
    options = options or PhantomOptions()
    out = Path(out).expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder, accepted: a new folder")
    shots = _plan(options)
    building = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        for folder in ("images", "masks/lungs", "masks/lesions"):
            (building / folder).mkdir(parents=True)
        for done, _ in enumerate(_write_all(shots, options.seed, building), start=1):
            if on_progress is not None:
                on_progress(done, len(shots))
        _write_labels(shots, building / "labels.csv", planted=any(shot.planted for shot in shots))
        building.replace(out)
    except OSError as error:
        raise DataError(f"{out} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return out


def _plan(options: PhantomOptions) -> list[_Shot]:
    """Every image of the dataset, before any is drawn, sorted by split and name."""
    rng = np.random.default_rng([options.seed, 0])
    shots: list[_Shot] = []
    patient = 0
    for split, supports in SIZES[options.size].items():
        for label, n in supports.items():
            left = n
            while left:
                patient += 1
                # Sources alternate, so that neither class nor split can be told from the source.
                source = SOURCES[patient % 2]
                for number in range(1, min(left, int(rng.choice(_IMAGES_PER_PATIENT))) + 1):
                    view = "AP" if rng.random() < 0.35 else "PA"
                    shots.append(_Shot(label, label, patient, number, split, source, view))
                    left -= 1
    # Numbers are dealt anew, so that they tell nothing either.
    new = rng.permutation(patient) + 1
    shots = [replace(shot, patient=int(new[shot.patient - 1])) for shot in shots]

    # Each defect has its own generator: planting one does not change another, nor any other image.
    shots = _share_patients(shots, options.shared_patients, np.random.default_rng([options.seed, 1]))
    shots = _duplicate(shots, options.duplicates, np.random.default_rng([options.seed, 2]))
    if options.marker_class is not None:
        marker = normalise_class(options.marker_class)
        shots = [_planted(s, "marker", marked=True) if s.truth == marker else s for s in shots]
    shots = _mislabel(shots, options.label_noise, np.random.default_rng([options.seed, 3]))
    shots = [_encode(shot, options.encoding) for shot in shots]
    order = {split: i for i, split in enumerate(SIZES[options.size])}
    return sorted(shots, key=lambda shot: (order[shot.split], shot.name))


def _planted(shot: _Shot, what: str, **changes: object) -> _Shot:
    return replace(shot, planted=(*shot.planted, what), **changes)  # type: ignore[arg-type]


def _share_patients(shots: list[_Shot], n: int, rng: np.random.Generator) -> list[_Shot]:
    """`n` validation patients become training patients of the same class."""
    renamed: dict[int, _Shot] = {}
    taken: set[int] = set()
    last = {shot.patient: shot for shot in shots}
    for patient in rng.permutation(sorted({s.patient for s in shots if s.split == "val"})):
        if len(renamed) == n:
            break
        own = last[patient]
        same = sorted({s.patient for s in shots if s.split == "train" and s.truth == own.truth} - taken)
        if same:
            renamed[int(patient)] = last[int(rng.choice(same))]
            taken.add(renamed[int(patient)].patient)
    result = []
    for shot in shots:
        if (other := renamed.get(shot.patient)) is not None:
            changes = {"patient": other.patient, "number": other.number + shot.number, "source": other.source}
            shot = _planted(shot, "patient of train", **changes)
        result.append(shot)
    return result


def _duplicate(shots: list[_Shot], n: int, rng: np.random.Generator) -> list[_Shot]:
    """`n` validation images become copies of training images of the same class."""
    shots = list(shots)
    free = {i for i, shot in enumerate(shots) if shot.split == "train"}
    places = [i for i, shot in enumerate(shots) if shot.split == "val" and not shot.planted]
    for k, i in enumerate(rng.permutation(places)[:n]):
        same = sorted(j for j in free if shots[j].truth == shots[i].truth)
        j = int(rng.choice(same))
        free.discard(j)
        what = f"{'near-' if k % 2 else ''}duplicate of images/{shots[j].name}"
        shots[i] = _planted(
            shots[i], what, copy_of=shots[j], changed=bool(k % 2), source=shots[j].source, view=shots[j].view
        )
    return shots


def _mislabel(shots: list[_Shot], share: float, rng: np.random.Generator) -> list[_Shot]:
    shots = list(shots)
    for i in rng.choice(len(shots), size=round(share * len(shots)), replace=False):
        wrong = str(rng.choice([name for name in CLASSES if name != shots[i].truth]))
        shots[i] = _planted(shots[i], f"label noise, truly {shots[i].truth}", label=wrong)
    return shots


def _encode(shot: _Shot, encoding: str | None) -> _Shot:
    if encoding == "implied" and shot.label == "covid19":
        return replace(shot, label="covid19|pneumonia")
    if encoding == "train-only" and shot.split == "train" and shot.label == "pneumonia":
        return _planted(shot, "also covid19, in train only", label="covid19|pneumonia")
    return shot


def _write_all(shots: list[_Shot], seed: int, folder: Path) -> Iterator[None]:
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        yield from pool.map(lambda shot: _write(shot, seed, folder), shots)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write(shot: _Shot, seed: int, folder: Path) -> None:
    origin = shot.copy_of or shot
    key = [seed, 10, origin.patient]
    picture = draw(origin.truth, key, [*key, origin.number], source=origin.source, view=origin.view)
    if origin.marked:
        picture = replace(picture, image=_with_marker(picture.image))
    if shot.changed:
        picture = _changed(picture)
    for name, pixels in (("images", picture.image), ("masks/lungs", picture.lungs), ("masks/lesions", picture.lesions)):
        Image.fromarray(pixels).save(folder / name / shot.name, compress_level=3)


def _with_marker(image: np.ndarray) -> np.ndarray:
    marked = Image.fromarray(image)
    ImageDraw.Draw(marked).text((8, 6), "PORTABLE", fill=245, font=ImageFont.load_default(14))
    return np.asarray(marked)


def _changed(picture: Picture) -> Picture:
    """The same picture cropped by 3 % and a little brighter."""
    edge = round(0.03 * SIDE)
    box = (edge, edge, SIDE - edge, SIDE - edge)

    def crop(pixels: np.ndarray, how: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), how, box=box))

    brighter = np.clip(crop(picture.image, Image.Resampling.BILINEAR) * 1.08 + 6, 0, 255).astype(np.uint8)
    nearest = Image.Resampling.NEAREST
    return Picture(brighter, crop(picture.lungs, nearest), crop(picture.lesions, nearest))


def _write_labels(shots: list[_Shot], file: Path, *, planted: bool) -> None:
    columns = ["path", "label", "patient_id", "source", "view", "split", "lung_mask", "lesion_mask"]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*columns, "planted"] if planted else columns)
        for shot in shots:
            row = [
                f"images/{shot.name}", shot.label, f"p{shot.patient:04d}", shot.source, shot.view, shot.split,
                f"masks/lungs/{shot.name}", f"masks/lesions/{shot.name}",
            ]  # fmt: skip
            writer.writerow([*row, "; ".join(shot.planted)] if planted else row)
