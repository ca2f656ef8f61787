from __future__ import annotations

import numpy as np
import pytest
import torch

from covidviz.training.position import Position


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_position_is_found_again(epochs: int) -> None:
    prob, loss = torch.rand(10, 3), torch.rand(10)
    history = [np.full((4, 3), k, np.float16) for k in range(epochs)]
    at = Position(prob, loss, epoch=epochs + 1, batch=2, seconds=1.5, best_epoch=epochs, best=0.5, history=history)
    state = at.state(done=6)
    assert state["prob"].untyped_storage().nbytes() == 6 * 3 * 4  # and nothing of what is not done
    prob_before = prob[:6].clone()
    prob.zero_()
    found = Position(torch.zeros(10, 3), torch.zeros(10))
    found.take(state)
    assert (found.epoch, found.batch, found.seconds) == (at.epoch, at.batch, at.seconds)
    assert (found.best_epoch, found.best) == (at.best_epoch, at.best)
    assert np.array_equal(found.history, history)
    assert torch.equal(found.prob[:6], prob_before)
    assert not found.prob[6:].any()
    assert torch.equal(found.loss[:6], loss[:6])
