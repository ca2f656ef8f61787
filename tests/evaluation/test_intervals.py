"""Intervals of proportions, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from covidviz.evaluation.intervals import wilson


@given(st.integers(0, 3000), st.integers(1, 3000), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_that_of_statsmodels(hits: int, n: int, level: float) -> None:
    hits = min(hits, n)
    assert wilson(hits, n, level) == pytest.approx(proportion_confint(hits, n, 1 - level, "wilson"), abs=1e-9)


def test_wilson_of_many_at_once() -> None:
    hits, n = np.array([[0, 3], [4, 10]]), np.array([5, 10])
    low, high = wilson(hits, n)
    assert low.shape == high.shape == (2, 2)
    for at in np.ndindex(2, 2):
        assert (low[at], high[at]) == wilson(hits[at], n[at[1]])


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(("hits", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (0, -1, 0.95), (1, 2, 1), (1, 2, 0)])
def test_wilson_refuses_what_is_no_proportion(hits: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="accepted"):
        wilson(hits, n, level)
