"""What the compute worker says about new images with a finished run: the kinds `predict` and `near`.

The networks and training features of the runs asked about last are kept. Images are read one at a time, whoever asks:
one of 100 million pixels takes most of a gigabyte while it is read.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from covidviz.data.images import read_image
from covidviz.errors import CovidvizError, DataError, InputError
from covidviz.explain.overlay import common_scale
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.training.batches import to_input
from covidviz.training.beside import beside
from covidviz.training.inference import Predictor
from covidviz.training.nearest import Neighbours, channels_of, pooled
from covidviz.training.scoring import probabilities
from covidviz.training.shelf import all_cores, progress

__all__ = ["PICTURE", "Predicting"]

Event = dict[str, Any]
Emit = Callable[[Event | None], None]
Kept = TypeVar("Kept")

PICTURE = 768  # longest side of the picture for the browser, pixels
MOST = 2  # runs kept
MOST_VECTORS = 256  # asked about at a time


@dataclass(frozen=True)
class _Ready:
    """A run's network; how many channels its vectors have; the raw heat that gets full colour, None where unknown."""

    predictor: Predictor
    channels: int
    full: float | None

    @classmethod
    def of(cls, run_dir: Path) -> _Ready:
        predictor, run = Predictor.of(run_dir), Run(run_dir)
        channels = channels_of(predictor.parts, predictor.config.image_size, predictor.device.device)
        logged = [cams.scale for split in layout.SPLITS if (cams := run.cams(split)) is not None]
        return cls(predictor, channels, common_scale(*logged) if logged else None)


class Predicting:
    """Answers one question after the other; used by the worker's main thread, computing in threads of its own."""

    def __init__(self) -> None:
        self._networks: OrderedDict[Any, _Ready] = OrderedDict()
        self._neighbours: OrderedDict[Any, Neighbours] = OrderedDict()
        # Not one lock: an image need not wait until another run's training images are compared.
        self._loading, self._reading, self._comparing = threading.Lock(), threading.Lock(), threading.Lock()

    def events(self, message: Event) -> Generator[Event | None, None, None]:
        """The events of one question, the last one `done`.

        Raises:
            StoreError, WeightsError: the run can't be used.
            DataError: (predict) the image can't be read, or (near) the dataset can't.
            InputError: the question is wrong.
        """
        work = {"predict": self._predict, "near": self._near}[message["kind"]]
        yield (yield from beside(lambda emit: work(message, emit)))

    def _predict(self, message: Event, emit: Emit) -> Event:
        """`path` of an image file, `run_dir`: probabilities, heat maps, picture, and the vector for `near`."""
        all_cores()
        try:
            ready = self._ready(Path(message["run_dir"]), emit)
        except CovidvizError as error:
            return {"event": "error", "message": str(error), "about": "run"}
        predictor = ready.predictor
        path = Path(message["path"])
        with self._reading:
            try:
                image = read_image(path)
            except DataError as error:  # the name of the upload on this machine tells nobody anything
                raise DataError(str(error).replace(str(path), "the file", 1)) from None
            remarks = _remarks(path, image)
            side = predictor.config.image_size
            grey = np.array(image.resize((side, side), Image.Resampling.BILINEAR))[None]  # torch wants to own it
            size, picture = image.size, _picture(image)
            del image
        parts, device = predictor.parts, predictor.device
        with torch.inference_mode(), device.autocast():
            before = parts.before(to_input(grey, device.device))
            prob = probabilities(parts.forward(before), predictor.config.task).cpu().numpy()[0]
        vector = pooled(before, ready.channels)[0].cpu().numpy().astype("<f4")
        return {
            "event": "done",
            "prob": prob,
            "size": size,
            "picture": picture,
            "remarks": remarks,
            "heat": _heat(predictor.maps(grey)[0], ready.full),
            "vector": base64.b64encode(vector.tobytes()).decode(),
        }

    def _near(self, message: Event, emit: Emit) -> Event:
        """`vectors` of `predict`, `run_dir`: for each the nearest training images and how usual it is."""
        all_cores()
        run_dir = Path(message["run_dir"])
        vectors = _vectors(message.get("vectors"))
        try:
            predictor = self._ready(run_dir, emit).predictor
            tell = progress(emit)
            with self._comparing:  # held from turn to turn: who wants the same waits for it and finds it done
                found = _obtain(self._neighbours, _key(run_dir), lambda: Neighbours.of(run_dir, predictor, tell))
        except CovidvizError as error:
            return {"event": "error", "message": str(error), "about": "run"}
        try:
            answers = found.ask(vectors)
        except ValueError as error:
            raise InputError(f"vectors: {error}") from None
        return {"event": "done", "of": len(found.reference), "answers": [asdict(answer) for answer in answers]}

    def _ready(self, run_dir: Path, emit: Emit) -> _Ready:
        key = _key(run_dir)
        if key not in self._networks:
            emit({"event": "progress", "what": "loading the network", "done": 0, "total": 0})
        with self._loading:
            return _obtain(self._networks, key, lambda: _Ready.of(run_dir))


def _key(run_dir: Path) -> tuple[str, tuple[int, int]]:
    return str(run_dir), Run(run_dir).version(layout.BEST)


def _obtain(kept: OrderedDict[Any, Kept], key: object, make: Callable[[], Kept]) -> Kept:
    if key not in kept:
        kept[key] = make()
        while len(kept) > MOST:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def _vectors(given: object) -> torch.Tensor:
    """What `predict` gave as `vector`, float32 [Q, D]."""
    wrong = InputError(f"vectors: accepted: 1 to {MOST_VECTORS} of those given with predictions")
    if not isinstance(given, list) or not 0 < len(given) <= MOST_VECTORS:
        raise wrong
    try:
        rows = [np.frombuffer(base64.b64decode(text, validate=True), "<f4") for text in given]
        values = np.stack(rows)
    except (binascii.Error, ValueError, TypeError):
        raise wrong from None
    if not np.isfinite(values).all():
        raise InputError("the network gives no numbers for this image (NaN or infinite)")
    return torch.from_numpy(values.copy())


def _picture(image: Image.Image) -> str:
    """What a browser can show of it, WebP in base64."""
    shown, buffer = image.copy(), io.BytesIO()
    shown.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    shown.convert("RGB").save(buffer, "WEBP", quality=90, method=2)
    return base64.b64encode(buffer.getvalue()).decode()


def _heat(raw: NDArray[np.float32], full: float | None) -> Event:
    """Maps of every class [C, h, w] as `covidviz.ui.pictures.heat_maps` gives them: bytes, and the share of the run's
    full colour that 255 stands for."""
    raw = np.nan_to_num(raw, nan=0.0, posinf=0.0, neginf=0.0)
    top = raw.max(axis=(1, 2))
    values = (raw / np.where(top > 0, top, 1)[:, None, None] * 255).round().astype(np.uint8)
    return {
        "h": raw.shape[1], "w": raw.shape[2], "scale": top / (full or float(top.max()) or 1.0),
        "values": base64.b64encode(values.tobytes()).decode(),
    }  # fmt: skip


def _remarks(path: Path, image: Image.Image) -> list[str]:
    """What a person should know about how the file was understood."""
    remarks = []
    if _several(path):
        remarks.append("The file holds several pictures; only the first one was looked at.")
    low, high = image.getextrema()
    if low == high:
        remarks.append("The picture is blank: every pixel has the same grey.")
    if min(image.size) < 64:
        remarks.append(f"The picture is very small ({image.width} x {image.height} pixels).")
    return remarks


def _several(path: Path) -> bool:
    try:
        with Image.open(path, formats=("GIF", "TIFF", "WEBP", "PNG")) as file:
            file.seek(1)
    except Exception:  # one picture only, or DICOM
        return False
    return True
