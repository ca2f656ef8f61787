"""Starting weights: ImageNet through torchvision's cache, or a file. Pickled code is never run."""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import get_model, get_model_weights

from covidviz.catalog import MODELS
from covidviz.errors import WeightsError
from covidviz.weights_cache import imagenet_file

__all__ = ["StartingWeights", "load_weights"]

Progress = Callable[[int, int], None]

_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class StartingWeights:
    """What a backbone starts from.

    tensors: float32 by name, without the head.
    notes: what in the file was not used, in plain sentences.
    """

    tensors: dict[str, Tensor]
    file: Path
    sha256: str
    notes: tuple[str, ...] = ()


def load_weights(model: str, weights: str, *, on_progress: Progress | None = None) -> StartingWeights:
    """Read the starting weights of catalog model `model`.

    Only the backbone is taken; the head is always new. State dicts under `state_dict` or `model`, and names that
    begin with `module.` are understood.

    Args:
        weights: `imagenet` (downloaded into torchvision's cache if it is not there), or the path of a `.pth`, `.pt`
            or `.safetensors` file.
        on_progress: called with (bytes so far, bytes in all) while downloading.

    Raises:
        WeightsError: no such file, no network, not a weights file, a damaged one, or one of another network.
    """
    file = _imagenet(model, on_progress) if weights == "imagenet" else Path(weights).expanduser()
    if not file.is_file():
        accepted = "imagenet, none, or an existing .pth, .pt or .safetensors file"
        raise WeightsError(f"weights: {weights!r} given, accepted: {accepted}")
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    tensors, notes = _fit(model, file, _read(file))
    return StartingWeights(tensors, file, sha256, notes)


def _imagenet(model: str, on_progress: Progress | None) -> Path:
    file = imagenet_file(model)
    if file.is_file():
        return file
    url = get_model_weights(model).IMAGENET1K_V1.url
    try:
        _download(url, file, on_progress)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"the ImageNet weights of {model} ({file.name}) are not in {file.parent} and could not be downloaded "
            f"from {url} ({reason}); put the file there, or use --weights none or --weights PATH"
        ) from None
    return file


def _download(url: str, file: Path, on_progress: Progress | None) -> None:
    """Fetch beside the target and rename, so that half a download never looks like weights."""
    file.parent.mkdir(parents=True, exist_ok=True)
    digest, done = hashlib.sha256(), 0
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream, urllib.request.urlopen(url, timeout=20) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while block := answer.read(1 << 20):
                stream.write(block)
                digest.update(block)
                done += len(block)
                if on_progress is not None:
                    on_progress(done, total)
        # torchvision's file names end in the first eight digits of the file's sha256
        if not digest.hexdigest().startswith(file.stem.rpartition("-")[2]):
            raise OSError(f"only {done:,} bytes or other bytes than expected arrived")
        Path(part).replace(file)
    finally:
        Path(part).unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, or one sentence on why there are none."""
    with file.open("rb") as stream:
        start = stream.read(len(_LFS))
    if start == _LFS:
        raise WeightsError(f"{file} is a Git LFS pointer, not the weights themselves; fetch it with git lfs pull")
    if not start:
        raise WeightsError(f"{file} is empty")
    try:
        if file.suffix.lower() == ".safetensors":
            content: Any = load_file(file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the protocol of what turns out to be no weights
                content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{file} can't be read: {error.strerror or error}") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(_why(file, start, error)) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{file} holds a {type(content).__name__}, accepted: tensors by name (a state_dict)")
    tensors = {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{file} holds no tensors, accepted: tensors by name (a state_dict)")
    return tensors


def _why(file: Path, start: bytes, error: Exception) -> str:
    text = str(error)
    # "Trying to load unsupported GLOBAL", "Unsupported global"; a bare pickle begins with the byte 0x80
    if "unsupported global" in text.lower() or (isinstance(error, pickle.UnpicklingError) and start[0] == 0x80):
        return f"{file} holds pickled Python objects, which are never run; save model.state_dict() instead of the model"
    if "legacy .tar format" in text:
        return f"{file} is in the tar format of the first torch versions, which can't be read safely, or cut off"
    if isinstance(error, SafetensorError):
        cut_off = "large" not in text.lower()  # in any other file the first bytes give an absurd header length
    else:
        cut_off = isinstance(error, EOFError) or "central directory" in text or "unexpected EOF" in text
    if cut_off:
        return f"{file} is cut off or damaged ({file.stat().st_size:,} bytes); fetch it again"
    return f"{file} is no weights file, accepted: .pth, .pt or .safetensors with tensors by name (a state_dict)"


def _fit(model: str, file: Path, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The backbone's tensors in float32, when all of them are there and no other network's."""
    with torch.device("meta"):
        expected = get_model(model).state_dict()
    head = f"{MODELS[model].head}."
    backbone = {name: tensor for name, tensor in expected.items() if not name.startswith(head)}
    # Files from before torch 0.4 don't count batches; nothing here reads the count.
    needed = [name for name in backbone if not name.endswith("num_batches_tracked")]
    missing = [name for name in needed if name not in tensors]
    if missing:
        share = f"{len(missing)} of {len(needed)} backbone tensors are missing, such as {missing[0]}"
        raise WeightsError(f"{file} does not fit {model}: {share}")
    for name in needed:
        if tensors[name].shape != backbone[name].shape:
            given, wanted = list(tensors[name].shape), list(backbone[name].shape)
            raise WeightsError(f"{file} does not fit {model}: {name} is {given}, expected {wanted}")
        if not tensors[name].isfinite().all():
            raise WeightsError(f"{file}: {name} holds NaN or infinite values")
    tops = {name.partition(".")[0] for name in backbone}
    others = [name for name in tensors if name not in expected and not name.startswith(head)]
    if foreign := [name for name in others if name.partition(".")[0] in tops]:
        extra = f"{len(foreign)} of its tensors belong to another network, such as {foreign[0]}"
        raise WeightsError(f"{file} does not fit {model}: {extra}")
    zero = torch.zeros((), dtype=torch.int64)
    found = {name: tensors.get(name, zero) for name in backbone}
    notes = (f"{file.name}: {len(others)} tensors not used, such as {others[0]}",) if others else ()
    return {name: t.float() if t.is_floating_point() else t for name, t in found.items()}, notes
