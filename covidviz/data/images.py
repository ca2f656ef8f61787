"""Reading images: any supported file becomes one 8-bit grey image, and many become one array."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from covidviz.data.layouts import SPLITS
from covidviz.data.manifest import load_manifest
from covidviz.errors import DataError

__all__ = ["MAX_PIXELS", "MAX_UNREADABLE", "check_readable", "decode", "inspect", "read_image"]

MAX_PIXELS = 100_000_000
MAX_UNREADABLE = 0.01
MAX_UNPACKED = 4 * MAX_PIXELS  # bytes of a deflated DICOM
PACKED = 64 << 10  # bytes of it that are unpacked at a time
PART = 4 << 20  # pixels that are scaled, and bytes that are unpacked, at a time

# What Pillow may open, by content. Formats that run an interpreter or fetch other files (EPS, WMF) stay out.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def read_image(path: str | Path) -> Image.Image:
    """Any supported file as an 8-bit grey image (mode L).

    Colour becomes luminance (a radiograph has one channel, colour on it is annotation), transparency is put on black,
    more than 8 bits are scaled linearly from the darkest to the brightest pixel, EXIF orientation is applied. DICOM
    gets its modality and VOI transformations, and MONOCHROME1 is inverted. The content decides, not the extension.

    Raises:
        DataError: names the file: missing, empty, cut off, no image, or larger than 100 million pixels.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(132)
        if not head:
            raise DataError(f"{path} is empty (0 bytes)")
        if head[128:] == b"DICM" or path.suffix.casefold() in (".dcm", ".dicom"):
            return _read_dicom(path)
        return _read_pillow(path)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path) from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is no image that can be read, accepted: PNG, JPEG, WebP, BMP, TIFF, DICOM") from None
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except Exception as error:  # decoders raise whatever they meet in a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} can't be decoded: {reason}") from error


def decode(
    root: str | Path, paths: Sequence[str], size: int, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Read many images, each squashed whole to a square (bilinear, antialiased), on all cores.

    Args:
        root: folder that `paths` are relative to.
        size: side of the square in pixels.
        on_progress: called with (done, all) from the calling thread; what it raises stops the work.

    Returns:
        uint8 [N, size, size], and (index, error) of each file that can't be read; its image is black.
    """
    images = np.zeros((len(paths), size, size), np.uint8)

    def one(index: int) -> str | None:
        try:
            grey = read_image(Path(root) / paths[index])
            images[index] = np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR))
        except DataError as error:
            return str(error)
        return None

    errors = _parallel(one, len(paths), on_progress)
    return images, [(i, error) for i, error in enumerate(errors) if error is not None]


def check_readable(n: int, unreadable: Sequence[tuple[str, str]]) -> None:
    """Stop when too much is broken.

    Args:
        n: number of all images.
        unreadable: (path, error) of those that can't be read.

    Raises:
        DataError: none can be read, or more than 1 % can't; names the first files.
    """
    bad = len(unreadable)
    if bad < n and bad <= MAX_UNREADABLE * n:
        return
    first = "; ".join(error if path in error else f"{path}: {error}" for path, error in unreadable[:3])
    which = (
        f"none of the {n} images can be read"
        if bad >= n
        else f"{bad} of {n} images can't be read, accepted: at most 1 %"
    )
    raise DataError(f"{which} ({first}{'; ...' if bad > 3 else ''})")


def inspect(
    data: str | Path, *, split_column: str = "split", on_progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Open every image of a dataset and count. The document of `data inspect`.

    Returns:
        `classes`; `task` that fits the labels; `splits` {split: {`n`, `per_class`, `patients`}} of readable images;
        `patients` (None where unknown); `columns`; `unreadable` [{`path`, `error`}]; `unlabelled` paths; `notes`.

    Raises:
        DataError: the dataset can't be understood.
    """
    manifest = load_manifest(data, split_column=split_column, task="multi-label")
    samples = manifest.samples
    paths: list[str] = samples["path"].tolist()

    def one(index: int) -> str | None:
        try:
            read_image(manifest.root / paths[index])
        except DataError as error:
            return str(error)
        return None

    errors = _parallel(one, len(samples), on_progress)
    readable = np.array([error is None for error in errors], bool)
    labels = manifest.labels()
    splits = {}
    for split in SPLITS:
        chosen = (samples["split"] == split).to_numpy()
        if not chosen.any():
            continue
        part = samples[chosen & readable]
        splits[split] = {
            "n": len(part),
            "per_class": dict(
                zip(manifest.classes, labels[chosen & readable].sum(axis=0, dtype=int).tolist(), strict=True)
            ),
            "patients": int(part["patient_id"].nunique()) if "patient_id" in part else None,
        }
    return {
        "data": str(data),
        "classes": list(manifest.classes),
        "task": "single-label" if (labels.sum(axis=1) == 1).all() else "multi-label",
        "splits": splits,
        "patients": int(samples["patient_id"].nunique()) if "patient_id" in samples else None,
        "columns": [c for c in samples.columns if c != "sample_id"],
        "unreadable": [
            {"path": path, "error": error} for path, error in zip(paths, errors, strict=True) if error is not None
        ],
        "unlabelled": list(manifest.unlabelled),
        "notes": list(manifest.notes),
    }


def _parallel(
    one: Callable[[int], str | None], n: int, on_progress: Callable[[int, int], None] | None
) -> list[str | None]:
    """`one(i)` for each i in threads (Pillow lets go of the interpreter lock while it decodes)."""
    results: list[str | None] = []
    pool = ThreadPoolExecutor(max_workers=min(32, os.cpu_count() or 1))
    try:
        for result in pool.map(one, range(n)):
            results.append(result)
            if on_progress is not None:
                on_progress(len(results), n)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def _read_pillow(path: Path) -> Image.Image:
    with Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path)
        image.load()
        return ImageOps.exif_transpose(_to_grey(image)) if _turned(image) else _to_grey(image)


def _turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(0x0112, 1) in range(2, 9)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return False


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "L" and "transparency" not in image.info:
        return image.copy()
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _scaled(np.asarray(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    if image.mode == "LAB":
        return image.getchannel("L")
    return image.convert("L") if image.mode in ("1", "RGB", "RGBA") else image.convert("RGB").convert("L")


def _scaled(pixels: np.ndarray) -> Image.Image:
    """Darkest to brightest pixel onto 0..255."""
    # Some rows at a time: as float64 the largest image would take 0.8 GB, and several times.
    rows = max(1, PART // max(1, pixels[:1].size))
    parts = [slice(start, start + rows) for start in range(0, len(pixels), rows)]
    ends = [(values.min(), values.max()) for part in parts if (values := pixels[part][np.isfinite(pixels[part])]).size]
    low, high = (float(min(low for low, _ in ends)), float(max(high for _, high in ends))) if ends else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    out = np.empty(pixels.shape, np.uint8)
    for part in parts:
        values = np.nan_to_num(pixels[part].astype(np.float64), nan=low, posinf=high, neginf=low)
        out[part] = np.rint((values - low) * scale)
    return Image.fromarray(out)


def _read_dicom(path: Path) -> Image.Image:
    import pydicom
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    _check_unpacked(path)
    data = pydicom.dcmread(path, force=True)
    if "PixelData" not in data or "Rows" not in data or "Columns" not in data:
        raise DataError(f"{path} is no DICOM image (it has no pixel data)")
    if int(data.Rows) * int(data.Columns) > MAX_PIXELS:
        raise _too_large(path)
    # A chest film has one frame; of a series the first is shown.
    pixels = pixel_array(data, index=0)
    kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, data)
    if pixels.ndim == 3:
        wide = pixels.dtype != np.uint8
        return Image.fromarray((pixels >> 8).astype(np.uint8) if wide else pixels).convert("L")
    shown = apply_voi_lut(apply_modality_lut(pixels, data), data)
    plain = pixels.dtype == np.uint8 and np.array_equal(shown, pixels)
    grey = Image.fromarray(np.ascontiguousarray(pixels)) if plain else _scaled(shown)
    return ImageOps.invert(grey) if kind == "MONOCHROME1" else grey


def _check_unpacked(path: Path) -> None:
    """A data set that is packed as a whole (deflated) may be small and fill the memory when it is read."""
    # As `dcmread` finds where the packed part begins: what the head says of its own length may be wrong.
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    unpack, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        read_preamble(file, force=True)
        if _read_file_meta_info(file).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        while size <= MAX_UNPACKED and not unpack.eof and (packed := file.read(PACKED)):
            while packed and size <= MAX_UNPACKED:
                size += len(unpack.decompress(packed, PART))
                packed = unpack.unconsumed_tail
    if size > MAX_UNPACKED:
        raise DataError(f"{path} holds more than {MAX_UNPACKED // 1_000_000} MB when it is unpacked, accepted: less")


def _too_large(path: Path) -> DataError:
    return DataError(f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels, accepted: smaller images")
