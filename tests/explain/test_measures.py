"""Shares of heat against an enlarged map, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from covidviz.explain.measures import MEASURES, area, border_mask, corner_mask, enlarged, mean_of, measure

G = 80


def large(heat: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(heat.astype(np.float32))[None, None]
    return F.interpolate(x, (G, G), mode="bilinear", align_corners=False)[0, 0].numpy()


def test_enlarging_is_bilinear_as_torch_has_it():
    rng = np.random.default_rng(0)
    for shape in ((7, 7), (14, 14), (2, 5), (1, 1), (80, 80), (100, 90)):
        heat = rng.random(shape)
        assert enlarged(heat, G) == pytest.approx(large(heat), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    arrays(
        np.float16, st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 9)] * 2), elements=st.floats(0, 1, width=16)
    ),
    st.integers(0, 2**32 - 1),
)
def test_shares_are_those_of_the_enlarged_map(maps: np.ndarray, seed: int):
    rng = np.random.default_rng(seed)
    n, c = maps.shape[:2]
    lungs, lesions = (rng.random((2, n, G, G)) < rng.random((2, n, 1, 1)) ** 2).astype(bool)
    got = measure(maps, lungs, lesions)
    masks = {"border": np.repeat(border_mask(G)[None], n, 0), "corners": np.repeat(corner_mask(G)[None], n, 0)}
    for name, mask in {**masks, "lungs": lungs, "lesion": lesions}.items():
        for i, k in np.ndindex(n, c):
            heat = large(maps[i, k])
            if heat.sum() < 1e-3:
                continue
            expected = heat[mask[i]].sum() / heat.sum() if mask[i].any() else np.nan
            assert got.of(name)[i, k] == pytest.approx(expected, abs=2e-3, nan_ok=True)
            chance = mask[i].mean() if mask[i].any() else np.nan
            assert got.chance[name][i] == pytest.approx(chance, nan_ok=True)


def test_even_heat_is_at_chance_and_a_point_is_where_it_is():
    lungs = np.zeros((2, G, G), bool)
    lungs[:, 20:60, 10:70] = True
    lesions = np.zeros((2, G, G), bool)
    lesions[0, 34:38, 34:38] = True
    maps = np.ones((2, 2, 10, 10), np.float16)
    maps[0, 1] = 0
    maps[0, 1, 0, 0] = 1  # heat in the corner alone
    got = measure(maps, lungs, lesions)
    for name in ("lungs", "border", "corners"):
        assert got.of(name)[1] == pytest.approx([got.chance[name][1]] * 2, abs=1e-5)
    assert got.chance["border"][0] == pytest.approx(0.36)
    assert got.chance["corners"][0] == pytest.approx(0.16)
    assert (got.corners[0, 1], got.border[0, 1], got.lungs[0, 1]) == pytest.approx((1, 1 - (3 / 64), 0), abs=0.06)
    assert got.pointing[0, 1] == 0
    assert np.isnan(got.lesion[1]).all()
    assert np.isnan(got.pointing[1]).all()
    maps[0, 1, 0, 0], maps[0, 1, 4, 4] = 0, 1
    assert measure(maps, lungs, lesions).pointing[0, 1] == 1


def test_what_is_no_number_counts_as_no_heat():
    maps = np.ones((3, 1, 4, 4), np.float16)
    maps[0] = np.nan
    maps[1, 0, 0] = np.inf
    maps[2] = 0
    lungs = np.ones((3, G, G), bool)
    got = measure(maps, lungs, None)
    assert np.isnan([got.lungs[0, 0], got.border[0, 0], got.corners[2, 0]]).all()
    assert got.lungs[1, 0] == pytest.approx(1)
    assert np.isnan(got.lesion).all()
    assert np.isnan(got.pointing).all()
    mean = mean_of(got.lungs[:, 0])
    assert mean is not None
    assert (mean.value, mean.low, mean.n) == (pytest.approx(1), None, 1)
    assert mean_of(got.lungs[:1, 0]) is None


def test_the_interval_of_a_mean_is_the_cluster_robust_one_of_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(3)
    for n, patients in ((60, rng.integers(0, 25, 60)), (40, np.arange(40))):
        values = rng.uniform(0.2, 0.8, n) + 0.1 * (patients % 2)
        values[5] = np.nan
        good = np.isfinite(values)
        fit = sm.OLS(values[good], np.ones(good.sum())).fit(cov_type="cluster", cov_kwds={"groups": patients[good]})
        got = mean_of(values, patients)
        assert got is not None
        assert (got.value, got.low, got.high) == pytest.approx((fit.params[0], *fit.conf_int()[0]), abs=1e-6)
        assert got.n == n - 1
    alone = mean_of(values)
    assert alone is not None
    assert alone.low == pytest.approx(got.low)
    few = mean_of([0.1, 0.5, 0.9], ["a", "b", "c"])
    assert few is not None
    assert (few.low, few.high, few.n) == (None, None, 3)


def test_no_masks_and_no_images():
    got = measure(np.ones((2, 1, 4, 4)), None, None)
    assert np.isnan(got.lungs).all()
    assert np.isfinite(got.border).all()
    nothing = measure(np.zeros((0, 3, 7, 7)), np.zeros((0, G, G), bool), None)
    assert all(nothing.of(name).shape == (0, 3) for name in MEASURES)
    assert area(np.ones((1, G, G), bool)).tolist() == [1]


@pytest.mark.parametrize("masks", [np.zeros((2, G, G), bool), np.zeros((1, 8, 8), bool)])
def test_masks_of_another_shape_are_named(masks: np.ndarray):
    with pytest.raises(ValueError, match="lungs: shape"):
        measure(np.ones((1, 1, 4, 4)), masks, None)
    with pytest.raises(ValueError, match="maps: shape"):
        measure(np.ones((1, 4, 4)), None, None)
