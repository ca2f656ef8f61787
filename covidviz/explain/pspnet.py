"""torchxrayvision's lung segmenter, where somebody has installed it and fetched its weights. Nothing is downloaded.

Optional, and not tested here: neither package nor weights are part of covidviz.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["name", "segment"]

WEIGHTS = Path("~/.torchxrayvision/models_data/pspnet_chestxray_best_model_4.pth")  # where the package puts them


@lru_cache(maxsize=1)
def name() -> str:
    """What the segmenter is called; empty where it can't be used."""
    there = importlib.util.find_spec("torchxrayvision") is not None and WEIGHTS.expanduser().is_file()
    return "pspnet" if there else ""


def segment(images: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """Both lungs of each image.

    Args:
        images: uint8 [N, S, S] grey.

    Returns:
        One bool [512, 512] per image.
    """
    import torch  # noqa: TID251  only where the optional package is
    import torchxrayvision as xrv  # type: ignore[import-not-found,unused-ignore]

    model = xrv.baseline_models.chestx_det.PSPNet().eval()
    wanted = [model.targets.index(target) for target in ("Left Lung", "Right Lung")]
    found = []
    for image in images:
        x = torch.from_numpy(xrv.datasets.normalize(image.astype(np.float32), 255))[None, None]
        with torch.inference_mode():
            logits = model(x)[0, wanted]
        found.append(np.asarray(logits.sigmoid().amax(0) > 0.5))
    return found
