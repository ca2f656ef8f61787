"""The mistakes that the sandbox shows are the mistakes that were made."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from covidviz.evaluation.mistakes import softmax_twice, softmax_twice_bounds, wrong_index
from covidviz.training import losses


def test_places_in_the_filtered_list_show_other_images() -> None:
    frame = pd.DataFrame({"name": list("abcdef"), "loss": [0.1, 0.2, 3.0, 0.3, 2.0, 4.0]})
    mixed = wrong_index(frame, frame["loss"] > 1, 2)  # c, e and f are wrong; f is the worst, then c
    assert mixed.meant["name"].tolist() == ["f", "c"]
    assert mixed.shown["name"].tolist() == ["c", "a"]  # places 2 and 0 of all
    everything = wrong_index(frame, np.ones(6), 6)
    assert everything.meant.equals(everything.shown)  # without a filter it is no mistake
    assert not len(wrong_index(frame, np.zeros(6), 3).shown)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_softmax_twice_is_the_one_of_the_training(classes: int) -> None:
    p = np.array([0.001, 0.2, 0.5, 0.9, 0.999])
    rest = ((1 - p) / (classes - 1))[:, None].repeat(classes - 1, axis=1)
    logits = torch.from_numpy(np.log(np.concatenate([p[:, None], rest], axis=1))).requires_grad_()
    truth = torch.eye(classes, dtype=torch.float64)[[0] * len(p)]
    value = losses.softmax_twice(logits, truth)
    (slope,) = torch.autograd.grad(value.sum(), logits)
    found, pull = softmax_twice(p, classes)
    np.testing.assert_allclose(found, value.detach(), rtol=1e-9)
    np.testing.assert_allclose(pull, -slope[:, 0], rtol=1e-9)
    low, high = softmax_twice_bounds(classes)
    assert low == pytest.approx(float(softmax_twice(1.0, classes)[0]))
    assert float(softmax_twice(0.0, classes)[0]) <= high  # one other class has it all: worse than all of them a part
    assert low > 0
    assert (pull < 0.5).all()
    assert low == pytest.approx(math.log1p((classes - 1) / math.e))
