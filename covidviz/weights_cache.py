"""Whether ImageNet weights are at hand, without importing torch: pages and the demo ask before they offer them."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from covidviz.catalog import MODELS

__all__ = ["cache_folder", "can_fetch", "imagenet_file", "imagenet_url", "is_cached"]

_ADDRESS = "https://download.pytorch.org/models/"


def cache_folder() -> Path:
    """Where torch.hub keeps downloaded weights: below `TORCH_HOME`, else `XDG_CACHE_HOME`, else ~/.cache."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def imagenet_file(model: str) -> Path:
    """Where the ImageNet weights of catalog model `model` lie once they were downloaded."""
    return cache_folder() / MODELS[model].weights_file


def imagenet_url(model: str) -> str:
    """Where they are downloaded from."""
    return _ADDRESS + MODELS[model].weights_file


def is_cached(model: str) -> bool:
    """Whether the ImageNet weights of `model` need no network."""
    return imagenet_file(model).is_file()


def can_fetch(model: str, timeout: float = 3) -> bool:
    """Whether the download would start now: asks the server for the file's head. Takes up to `timeout` seconds."""
    request = urllib.request.Request(imagenet_url(model), method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
