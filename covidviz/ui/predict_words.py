"""What is said about how usual a new image is, from fixed rules. No streamlit.

The rules are about one number, the mean distance to the nearest training images, compared with that of the validation
images. If the new image came from where those came from, it would be the farthest of all with probability 1 / (n + 1);
so `rare` = (validation images at least as far + 1) / (n + 1) is how often an image of the same kind would seem so far
away (a conformal p-value; Vovk, Gammerman and Shafer 2005). 5 % and 1 % are where the words change, so 1 of 100 images
of the same kind is called unlike anything in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Hint", "hint", "twin"]

FEW = 19  # validation images, below which none could be called unusual at 5 %
UNUSUAL, UNLIKE = 0.05, 0.01
ALIEN = 1.5  # times as far as the farthest validation image
TWIN = 0.15  # of the validation images' median distance; of 647 real images of other patients none is below .39


@dataclass(frozen=True)
class Hint:
    """A `level` (`usual`, `unusual`, `unlike`, `alien`, `unknown`) and its sentences, plain text."""

    level: str
    text: str


def hint(nearer: int, of: int, beyond: float) -> Hint:
    """How usual an image is.

    Args:
        nearer: how many of the `of` validation images are nearer to training.
        beyond: its distance as a multiple of that of the farthest of them; NaN where unknown.
    """
    if of < FEW:
        return Hint("unknown", f"Too few validation images ({of}) to say how usual this image is.")
    rare = (of - nearer + 1) / (of + 1)
    if nearer == of and beyond >= ALIEN:
        return Hint(
            "alien",
            f"Nothing like the training images: {beyond:.1f} times as far from them as the farthest of the {of:,} "
            "validation images. Probably no chest X-ray of that kind; the probabilities mean nothing.",
        )
    further = f"further from it than {_share(nearer, of)} of the validation images"
    if rare <= UNLIKE:
        return Hint(
            "unlike",
            f"Unlike anything in training: {further}. Perhaps no frontal chest X-ray, or one that is turned, inverted "
            "or of another kind; do not rely on the probabilities.",
        )
    if rare <= UNUSUAL:
        return Hint("unusual", f"Unusual for training: {further}.")
    return Hint("usual", f"As near to training as validation images are: {_share(of - nearer, of)} of them are as far.")


def twin(value: float) -> str:
    """What is said of an image that training had already: `value` is the distance to the nearest training image as a
    multiple of the validation images' median distance; empty where it is another image."""
    if not (math.isfinite(value) and value <= TWIN):
        return ""
    return "Training had this picture, or nearly the same one: what is said here is no test of the network."


def _share(part: int, of: int) -> str:
    """`98 %`, never rounded up to all or down to none."""
    if part == of:
        return f"all {of:,}"
    return f"{min(99, max(1, math.floor(100 * part / of)))} %" if part else "none"
