"""What mistakes in evaluating look like in numbers, for teaching. numpy and pandas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = ["Mixed", "softmax_twice", "softmax_twice_bounds", "wrong_index"]


@dataclass(frozen=True)
class Mixed:
    """Images that were meant and images that were shown, both as rows of the frame, in the order to show them."""

    meant: pd.DataFrame
    shown: pd.DataFrame


def wrong_index(frame: pd.DataFrame, chosen: ArrayLike, most: int) -> Mixed:
    """The mistake of course reports: places in a filtered array are used as places in the full one.

    Args:
        frame: one row per image, with its `loss`, in the order in which a program went through them.
        chosen: bool, [N]: the filter, such as wrongly classified, or of one class.
        most: how many images; those of the highest loss.
    """
    rows = np.flatnonzero(np.asarray(chosen, bool))
    order = np.argsort(-frame["loss"].to_numpy(np.float64)[rows], kind="stable")[:most]
    return Mixed(frame.iloc[rows[order]], frame.iloc[order])


def softmax_twice(p: ArrayLike, classes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cross-entropy given probabilities instead of logits (`covidviz.training.losses.softmax_twice`).

    The sandbox draws it; the browser computes the same (`ui/components/sandbox.js`, tested against this).

    Args:
        p: probability of the truth, 0..1; the others share the rest equally.
        classes: how many there are, >= 2.

    Returns:
        The loss, and the size of its derivative by the logit of the truth; cross-entropy has -log p and 1 - p.
    """
    p = np.asarray(p, np.float64)
    rest = (1 - p) / (classes - 1)
    outer = 1 / (1 + (classes - 1) * np.exp(rest - p))  # the softmax of the probabilities, for the truth
    return -np.log(outer), p * (1 - p) * (1 - outer) * classes / (classes - 1)


def softmax_twice_bounds(classes: int) -> tuple[float, float]:
    """The lowest and the highest it can be: the truth has probability 1, or one of the others has."""
    return float(np.log1p((classes - 1) / np.e)), float(np.log(classes - 1 + np.e))
