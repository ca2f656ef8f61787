"""What lies on disk: labels.csv, else split folders, else class folders (the data contract). Nothing is decoded."""

from __future__ import annotations

import csv
import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from covidviz.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "SPLITS", "Listing", "normalise_class", "read_listing", "split_name"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".dcm", ".dicom"})
SPLITS = ("train", "val", "test")
DESCRIPTIVE = ("patient_id", "source", "view")

_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test",
}  # fmt: skip
_CLASS_ALIASES = {"covid": "covid19"}
_CLUTTER = frozenset({"desktop.ini", "thumbs.db", "__macosx"})
_BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def normalise_class(name: str) -> str:
    """The one spelling of a class name: without case, `-`, `_` and spaces; `covid` is `covid19`."""
    plain = re.sub(r"[-_\s]+", "", unicodedata.normalize("NFC", name).casefold())
    plain = unicodedata.normalize("NFC", plain)
    return _CLASS_ALIASES.get(plain, plain)


def split_name(text: str) -> str | None:
    """`train`, `val` or `test` for any accepted spelling of it, else None."""
    return _SPLIT_NAMES.get(re.sub(r"[-_\s]+", "", text.casefold()))


@dataclass
class Listing:
    """The images of a dataset as found, before classes are chosen and missing splits are drawn.

    frame: `path` (posix, relative to root), `split` ("" where unknown), the other columns as text, None where empty.
    names: every class found, canonical, sorted.
    labels: int8 [N, len(names)], 0 or 1.
    lines: line of each row in labels.csv; empty for folders.
    folders: for split folders, the class folders of each split, empty ones too.
    """

    root: Path
    origin: str
    frame: pd.DataFrame
    names: tuple[str, ...]
    labels: np.ndarray
    lines: tuple[int, ...] = ()
    folders: dict[str, set[str]] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def where(self, index: int) -> str:
        """How to name image `index` in a sentence."""
        path = self.frame["path"].iloc[index]
        return f"{self.origin} line {self.lines[index]} ({path})" if self.lines else str(path)


def read_listing(data: str | Path, *, split_column: str = "split", classes: Sequence[str] = ()) -> Listing:
    """Read a dataset folder, or a CSV file given by path.

    Args:
        classes: canonical names, used only to tell class columns of labels.csv from other 0/1 columns.

    Raises:
        DataError: the folder or labels.csv can't be understood.
    """
    given = Path(data).expanduser()
    try:
        if given.is_file():
            if given.suffix.casefold() != ".csv":
                raise DataError(f"{given} is a file, accepted: a dataset folder or a labels.csv")
            return _read_csv(given, split_column, classes)
        if not given.is_dir():
            raise DataError(f"dataset folder {given} does not exist")
        if (given / "labels.csv").is_file():
            return _read_csv(given / "labels.csv", split_column, classes)
        if split_column != "split":
            raise DataError(f"split column {split_column!r} given, but {given} has no labels.csv")
        return _read_folders(given)
    except OSError as error:
        raise DataError(f"{error.filename or given} can't be read: {error.strerror or error}") from error


# ---- labels.csv


def _read_csv(file: Path, split_column: str, classes: Sequence[str]) -> Listing:
    root = file.parent.resolve()
    table, lines = _parse_csv(file)
    name = file.name
    if "path" not in table:
        raise DataError(f"{name} has no column path, its columns are: {', '.join(table)}")
    if split_column != "split" and split_column not in table:
        raise DataError(f"{name} has no column {split_column!r} to split by, its columns are: {', '.join(table)}")
    notes: list[str] = []
    if "label" in table:
        names, labels = _label_column(table["label"], name, notes)
        used = {"label"}
    else:
        names, labels, used = _class_columns(table, split_column, classes, lines, name, notes)
    splits = _split_values(table.get(split_column, [""] * len(lines)), split_column, lines, name)
    paths = _check_paths(root, table["path"], lines, name)

    frame = pd.DataFrame({"path": paths, "split": splits})
    own = {"path", "split", "sample_id", split_column} | used | {f"label_{c}" for c in names}
    for column, values in table.items():
        # A second split column (naive_split beside split) is kept under its own name, the one in use is `split`.
        if column not in own and any(values):
            frame[column] = pd.Series([v or None for v in values], dtype="str")
    listing = Listing(root, name, frame, names, labels, tuple(lines), notes=notes)
    return _without_unlabelled(listing) if "label" in table else listing


def _parse_csv(file: Path) -> tuple[dict[str, list[str]], list[int]]:
    """Columns of a CSV file (cells stripped), and the line each row ends on."""
    rows, lines = [], []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"{file.name} line {reader.line_num} has {len(row)} fields, the header has {len(header)}"
                    )
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not UTF-8 text (byte {error.start}), accepted: CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{file.name} line {reader.line_num} is no CSV: {error}") from None
    if not any(header):
        raise DataError(f"{file.name} is empty, accepted: columns path and label, one row per image")
    if twice := [column for column, n in Counter(header).items() if n > 1]:
        raise DataError(f"{file.name} has the column {twice[0]!r} twice")
    if not rows:
        raise DataError(f"{file.name} has a header but no rows")
    columns = {
        column: [cell.strip() for cell in cells] for column, cells in zip(header, zip(*rows, strict=True), strict=True)
    }
    columns.pop("", None)
    return columns, lines


def _check_paths(root: Path, given: list[str], lines: list[int], name: str) -> list[str]:
    """Paths in their one spelling, each a file inside `root`."""
    paths: list[str] = []
    first: dict[str, int] = {}
    for text, line in zip(given, lines, strict=True):
        path = posixpath.normpath(text.replace("\\", "/")) if text else ""
        if path in ("", "."):
            raise DataError(f"{name} line {line} has no path")
        if path.startswith(("/", "../")) or path == ".." or re.match(r"[A-Za-z]:", path) or "\0" in path:
            raise DataError(
                f"{name} line {line}: path {text!r} lies outside the dataset folder, accepted: relative paths below it"
            )
        if path in first:
            raise DataError(f"{name} lists {path} twice (lines {first[path]} and {line})")
        first[path] = line
        paths.append(path)

    missing = []
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(posixpath.dirname(path), []).append(path)
    for folder, members in by_folder.items():
        # One directory listing instead of one file-system call per image: 100,000 rows in a second.
        if not (root / folder).is_dir():
            missing += members
            continue
        if not _inside(root, root / folder):
            raise DataError(
                f"{name} line {first[members[0]]}: path {members[0]!r} lies outside the dataset folder (through a link)"
            )
        with os.scandir(root / folder) as entries:
            kinds = {entry.name: (entry.is_file(), entry.is_symlink()) for entry in entries}
        for path in members:
            is_file, is_link = kinds.get(posixpath.basename(path), (False, False))
            if not is_file:
                missing.append(path)
            elif is_link and not _inside(root, root / path):
                raise DataError(
                    f"{name} line {first[path]}: path {path!r} lies outside the dataset folder (through a link)"
                )
    if missing:
        worst = min(missing, key=lambda path: first[path])
        raise DataError(
            f"{len(missing)} of {len(paths)} images listed in {name} do not exist, "
            f"the first is {worst} (line {first[worst]})"
        )
    return paths


def _label_column(cells: list[str], name: str, notes: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    codes, patterns = pd.factorize(np.asarray(cells, dtype=object))
    spelled = [[part.strip() for part in pattern.split("|") if part.strip()] for pattern in patterns]
    names = tuple(sorted({_class_name(part, name) for parts in spelled for part in parts}))
    if not names:
        raise DataError(f"{name}: the column label is empty in every row, accepted: a class name in each row")
    hot = np.zeros((len(patterns), len(names)), np.int8)
    for i, parts in enumerate(spelled):
        hot[i, [names.index(normalise_class(part)) for part in parts]] = 1
    found = sorted({part for parts in spelled for part in parts})
    notes += [f"Label {part!r} is read as class {normalise_class(part)}." for part in found if part not in names]
    return names, hot[codes]


def _class_columns(
    table: dict[str, list[str]],
    split_column: str,
    classes: Sequence[str],
    lines: list[int],
    name: str,
    notes: list[str],
) -> tuple[tuple[str, ...], np.ndarray, set[str]]:
    """One 0/1 column per class; returns also the columns that were used."""
    found: dict[str, list[str]] = {}
    for column, cells in table.items():
        if column in ("path", "split", "sample_id", split_column, *DESCRIPTIVE):
            continue
        if classes and normalise_class(column) not in classes:
            continue
        bits = [cell in _BITS for cell in cells]
        share = sum(bits) / len(bits)
        if share < 1 and (classes or share >= 0.9):
            at = bits.index(False)
            hint = "" if classes else " (name the class columns in classes if this is none)"
            raise DataError(f"{name} line {lines[at]}: column {column!r} holds {cells[at]!r}, accepted: 0 or 1{hint}")
        if share == 1:
            found.setdefault(_class_name(column, name), []).append(column)
    for columns in found.values():
        if len(columns) > 1:
            raise DataError(f"{name}: the columns {' and '.join(columns)} are the same class")
    if not found:
        accepted = f"; of the classes given ({', '.join(classes)}) none is a column" if classes else ""
        raise DataError(
            f"{name} has neither a column label nor one 0/1 column per class{accepted}, "
            f"its columns are: {', '.join(table)}"
        )
    names = tuple(sorted(found))
    labels = np.array([[_BITS[cell] for cell in table[found[c][0]]] for c in names], np.int8).T
    notes.append(f"The 0/1 columns {', '.join(found[c][0] for c in names)} are read as classes.")
    return names, np.ascontiguousarray(labels), {columns[0] for columns in found.values()}


def _class_name(text: str, name: str) -> str:
    canonical = normalise_class(text)
    if not canonical:
        raise DataError(f"{name}: {text!r} is no class name, accepted: names with letters or digits")
    return canonical


def _split_values(cells: list[str], column: str, lines: list[int], name: str) -> list[str]:
    known = {cell: split_name(cell) if cell else "" for cell in set(cells)}
    for cell, split in known.items():
        if split is None:
            line = lines[cells.index(cell)]
            raise DataError(f"{name} line {line}: {column} is {cell!r}, accepted: {', '.join(_SPLIT_NAMES)}, or empty")
    return [known[cell] or "" for cell in cells]


def _without_unlabelled(listing: Listing) -> Listing:
    has: np.ndarray = np.asarray(listing.labels.any(axis=1))
    if not has.all():
        listing.unlabelled = listing.frame.loc[~has, "path"].tolist()
        listing.notes.append(f"{_images(len(listing.unlabelled))} without a label left out.")
        listing.frame = listing.frame.loc[has].reset_index(drop=True)
        listing.labels = listing.labels[has]
        listing.lines = tuple(line for line, ok in zip(listing.lines, has, strict=True) if ok)
    return listing


# ---- folders


def _read_folders(given: Path) -> Listing:
    root = given.resolve()
    ignored: Counter[str] = Counter()
    folders, loose = _entries(root, root, ignored)
    splits = {folder: split for folder in folders if (split := split_name(folder))}
    notes: list[str] = []
    rows: list[tuple[str, str, str]] = []  # path, split, class
    unlabelled = list(loose)
    declared: dict[str, set[str]] = {}
    if splits:
        if other := [folder for folder in folders if folder not in splits]:
            notes.append(f"{', '.join(other)} beside the split folders ignored.")
        for folder, split in splits.items():
            class_folders, flat = _entries(root, root / folder, ignored)
            unlabelled += flat
            if class_folders:
                declared.setdefault(split, set())
            for class_folder in class_folders:
                canonical = _class_name(class_folder, folder)
                declared[split].add(canonical)
                rows += [
                    (path, split, canonical) for path in _images_below(root, root / folder / class_folder, ignored)
                ]
                if class_folder != canonical:
                    notes.append(f"{folder}/{class_folder} is read as class {canonical}.")
    else:
        for class_folder in folders:
            canonical = _class_name(class_folder, "folder")
            found = _images_below(root, root / class_folder, ignored)
            rows += [(path, "", canonical) for path in found]
            if not found:
                ignored["empty folders"] += 1
            elif class_folder != canonical:
                notes.append(f"{class_folder} is read as class {canonical}.")
    if not rows and not unlabelled:
        raise DataError(f"{given} holds no images, accepted: {', '.join(sorted(s[1:] for s in IMAGE_SUFFIXES))}")
    if not rows:
        raise DataError(
            f"{given} holds images but no labels, accepted: a labels.csv, "
            "train and val folders with one folder per class, or one folder per class"
        )
    if unlabelled:
        notes.append(f"{_images(len(unlabelled))} without a label left out, the first is {unlabelled[0]}.")
    if ignored:
        notes.append("Ignored: " + ", ".join(f"{n} {kind}" for kind, n in sorted(ignored.items())) + ".")
    names = tuple(sorted({name for _, _, name in rows} | {name for names in declared.values() for name in names}))
    labels = np.zeros((len(rows), len(names)), np.int8)
    labels[np.arange(len(rows)), [names.index(name) for _, _, name in rows]] = 1
    frame = pd.DataFrame({"path": [path for path, _, _ in rows], "split": [split for _, split, _ in rows]})
    return Listing(root, str(given), frame, names, labels, folders=declared, unlabelled=unlabelled, notes=notes)


def _entries(root: Path, folder: Path, ignored: Counter[str]) -> tuple[list[str], list[str]]:
    """Names of the sub-folders, and the image paths relative to `root`, directly in `folder`; both sorted."""
    folders, images = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name.casefold() in _CLUTTER:
                continue
            path = Path(entry.path)
            if entry.is_symlink() and not _inside(root, path):
                raise DataError(
                    f"{path.relative_to(root)} links to a place outside the dataset folder, accepted: files inside it"
                )
            if entry.is_dir():
                if entry.is_symlink():
                    # Its target is read where it is; reading it here too would count images twice.
                    ignored["linked folders"] += 1
                else:
                    folders.append(entry.name)
            elif path.suffix.casefold() in IMAGE_SUFFIXES:
                images.append(path.relative_to(root).as_posix())
            else:
                ignored[f"{path.suffix or 'other'} files"] += 1
    return folders, images


def _images_below(root: Path, folder: Path, ignored: Counter[str]) -> list[str]:
    folders, images = _entries(root, folder, ignored)
    for name in folders:
        images += _images_below(root, folder / name, ignored)
    return images


def _inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root)


def _images(n: int) -> str:
    return f"{n} image" if n == 1 else f"{n} images"
