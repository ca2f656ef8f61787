"""What is kept of a training: `best.safetensors` to use it, `last.pt` to go on with it.

Neither holds what the starting weights hold already: only entries that training may change are stored. A network from
scratch is stored whole, since another torch version might draw other numbers.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.serialization import get_crc32_options, set_crc32_options

from covidviz.config import TrainConfig
from covidviz.errors import StoreError
from covidviz.store.files import replacing
from covidviz.training.models import build, changing_names
from covidviz.training.weights import StartingWeights, load_weights

__all__ = [
    "best_of", "later", "load_best", "load_last", "load_state", "pack_best", "pack_last", "rebuild", "save_best",
    "save_last", "stored_state",
]  # fmt: skip

T = TypeVar("T")
COPIED = 64 << 20  # bytes


def stored_state(model: nn.Module, config: TrainConfig) -> dict[str, Tensor]:
    """The entries of `model.state_dict()` that a checkpoint keeps: the tensors that training changes in place."""
    state = model.state_dict()
    return state if config.weights == "none" else {name: state[name] for name in changing_names(model)}


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put stored entries back into a network of the same config.

    Raises:
        StoreError: an entry is missing, unknown or of another shape.
    """
    own = model.state_dict()
    for name, tensor in state.items():
        if name not in own or own[name].shape != tensor.shape:
            raise StoreError(f"the checkpoint does not fit its config: {name} is {list(tensor.shape)} there")
        own[name].copy_(tensor)


def pack_best(
    stored: Mapping[str, Tensor], config: TrainConfig, *, epoch: int, value: float, start: StartingWeights | None
) -> bytes:
    """The content of best.safetensors: `stored` of `stored_state`.

    Its metadata: `config` (JSON), `epoch`, `monitor`, `value`, `seed`, `start_file`, `start_sha256` (of the starting
    weights, empty from scratch) and `stored` (`all` or `changed`).
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in stored.items()}
    metadata = {
        "format": "pt",
        "config": json.dumps(config.dump()),
        "epoch": str(epoch),
        "monitor": config.monitor,
        "value": repr(value),
        "seed": str(config.seed),
        "start_file": start.file.name if start else "",
        "start_sha256": start.sha256 if start else "",
        "stored": "all" if config.weights == "none" else "changed",
    }
    return save(tensors, metadata)


def save_best(path: Path, packed: bytes) -> None:
    """Write best.safetensors: what `pack_best` gave.

    Raises:
        StoreError: the disk is full or the run directory is gone.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(packed)


def load_best(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (on the CPU) and metadata of a best.safetensors.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: the run has no best epoch yet") from None
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path} can't be read: {error}") from None


def best_of(path: Path) -> tuple[int, float] | None:
    """Epoch and monitored value of a best.safetensors, or None where there is none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return int(metadata["epoch"]), float(metadata["value"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def rebuild(path: Path, config: TrainConfig, n_classes: int) -> nn.Module:
    """The network of the best epoch, on the CPU in evaluation mode.

    Raises:
        StoreError: best.safetensors is missing, damaged, or the starting weights are no longer the same file.
        WeightsError: the starting weights are gone.
    """
    tensors, metadata = load_best(path)
    start = None
    if metadata.get("stored") != "all":
        start = load_weights(config.model, config.weights)
        check_start(start, metadata.get("start_sha256", ""))
    model = build(config, n_classes, pretrained=start is not None, start=start)
    load_state(model, tensors)
    return model.eval()


def check_start(start: StartingWeights | None, sha256: str) -> None:
    """The rest of a checkpoint is in the starting weights, so they must be the very same.

    Raises:
        StoreError: they are not.
    """
    if start is not None and start.sha256 != sha256:
        raise StoreError(f"{start.file} is not the file this run started from (its sha256 was {sha256[:16]}...)")


def pack_last(state: Mapping[str, Any]) -> bytes:
    """The content of last.pt: tensors, numbers, text, and lists and dicts of them."""
    buffer = io.BytesIO()  # torch would report a full disk as an error of its zip writer
    checksums = get_crc32_options()
    set_crc32_options(False)  # half of the time; the file is put in its place when it is whole
    try:
        torch.save(dict(state), buffer)
    finally:
        set_crc32_options(checksums)
    return buffer.getvalue()


def save_last(path: Path, packed: bytes) -> None:
    """Write last.pt: what `pack_last` gave.

    Raises:
        StoreError: the disk is full or the run directory is gone.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(packed)


def later(pack: Callable[[T], bytes], state: T) -> Callable[[], bytes]:
    """`pack` of the state as it is now, for a thread that comes to it while training goes on.

    A small state is copied, which takes a twentieth of the time; of one that fills memory there is no second copy.

    Args:
        state: tensors, and dicts and lists of them with what else there is.
    """
    if _bytes(state) > COPIED:
        packed = pack(state)
        return lambda: packed
    kept = _copy(state)
    return lambda: pack(kept)


def _bytes(state: Any) -> int:
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    if isinstance(state, list):
        return sum(map(_bytes, state))
    return state.nbytes if isinstance(state, Tensor) else 0


def _copy(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copy(value) for value in state]
    return state.clone() if isinstance(state, Tensor) else state


def load_last(path: Path) -> dict[str, Any] | None:
    """The content of last.pt, or None where there is none. Never runs pickled code.

    Raises:
        StoreError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{path} can't be read ({reason}); delete it to train from the start") from None
