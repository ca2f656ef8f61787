"""Thumbnails of datasets that no run has used yet. No streamlit.

A page offers single images of a dataset that it may read, and gets the word under which the browser finds them:
`/dataset/{word}/{sample_id}.webp`, larger as `.f.webp`. What was not offered is not served, nor what lies outside the
dataset folder.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from PIL import Image
from starlette.requests import Request

from covidviz.data.images import read_image

__all__ = ["ADDRESS", "draw", "offer"]

ADDRESS = "/dataset/"
SIDE, LARGE = 160, 1024  # longest, pixels
MOST = 32  # datasets remembered
NAME = re.compile(r"([A-Za-z0-9_-]{1,64})(\.f)?\.webp")

_SECRET = secrets.token_bytes(16)  # nobody can work out the word of a folder
_offered: OrderedDict[str, tuple[Path, dict[str, str]]] = OrderedDict()
_lock = threading.Lock()


def offer(root: Path, paths: Mapping[str, str], version: object) -> str:
    """Allow the pictures of these samples to be shown.

    Args:
        root: the dataset folder, resolved.
        paths: path below `root` of each sample id.
        version: another one whenever the folder changed, since browsers keep the pictures.

    Returns:
        The word, the same for the same folder and version until the server is started again.
    """
    name = f"{root}\0{version}"
    word = hashlib.blake2s(os.fsencode(name), key=_SECRET, digest_size=12).hexdigest()
    with _lock:
        _, before = _offered.pop(word, (root, {}))
        _offered[word] = (root, {**before, **paths} if len(before) < 4096 else dict(paths))
        while len(_offered) > MOST:
            _offered.popitem(last=False)
    return word


def draw(request: Request) -> bytes | None:
    """An offered image as grey WebP, small or large; None for anything else.

    Raises:
        DataError: the file is no readable image.
    """
    name = NAME.fullmatch(request.path_params["name"])
    with _lock:
        root, paths = _offered.get(request.path_params["word"], (None, {}))
    path = paths.get(name[1]) if name else None
    if root is None or path is None:
        return None
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            return None
        stat = file.stat()
    except (OSError, ValueError):
        return None
    return _drawn(file, LARGE) if name and name[2] else _thumbnail(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=512)  # about 4 KB each
def _thumbnail(file: Path, size: int, mtime: int) -> bytes:  # noqa: ARG001  part of the cache key
    return _drawn(file, SIDE)


def _drawn(file: Path, side: int) -> bytes:
    image = read_image(file)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()
