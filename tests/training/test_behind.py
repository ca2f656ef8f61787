"""What is written while training goes on."""

from __future__ import annotations

import io
import threading

import pytest
import torch

from covidviz.errors import StoreError
from covidviz.training import checkpoint
from covidviz.training.behind import Behind


def test_one_thing_after_the_other_and_all_done_at_the_end() -> None:
    done: list[int] = []
    may = threading.Event()

    def first() -> None:
        may.wait(10)
        done.append(0)

    with Behind() as behind:
        behind.do(first)
        assert done == []  # the caller goes on meanwhile
        may.set()
        for k in range(1, 20):
            behind.do(lambda k=k: done.append(k))
            assert len(done) >= k  # never more than one behind
    assert done == list(range(20))


def test_what_went_wrong_is_raised_once_and_stops_what_comes_next() -> None:
    done: list[str] = []

    def fail() -> None:
        raise StoreError("disk full")

    with Behind() as behind:
        behind.do(fail)
        with pytest.raises(StoreError, match="disk full"):
            behind.do(lambda: done.append("too late"))
        behind.wait()
    assert done == []
    with pytest.raises(StoreError, match="disk full"), Behind() as behind:
        behind.do(fail)


def test_what_came_first_is_told() -> None:
    def fail() -> None:
        raise StoreError("disk full")

    def stopped() -> None:
        with Behind() as behind:
            behind.do(fail)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_a_state_is_packed_as_it_was(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """However large it is, and whatever training does to it before it is written."""
    monkeypatch.setattr(checkpoint, "COPIED", limit)
    flat = torch.arange(12.0)
    group = {"lr": 0.1}
    state = {"model": {"a": flat[:6].view(2, 3)}, "optimizer": {"param_groups": [group]}, "epoch": 3, "best": None}
    packed = checkpoint.later(checkpoint.pack_last, state)
    flat.zero_()
    group["lr"] = 9.0
    found = torch.load(io.BytesIO(packed()), weights_only=True)
    assert found["model"]["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["optimizer"]["param_groups"] == [{"lr": 0.1}]
    assert (found["epoch"], found["best"]) == (3, None)
