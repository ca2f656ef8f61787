from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from covidviz.explain.overlay import PALETTES, cam_image, colourise, common_scale, overlay


def rgba(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGBA")).astype(int)


def test_cold_is_transparent_and_alpha_grows_with_the_value():
    ramp = np.linspace(0, 1, 256)[None, :]
    alpha = rgba(colourise(ramp, (256, 1)))[0, :, 3]
    assert alpha[0] == 0
    assert alpha[-1] == 255
    assert (np.diff(alpha) >= 0).all()


def test_no_colour_can_be_taken_for_the_grey_of_the_x_ray():
    colours = rgba(colourise(np.linspace(0, 1, 256)[None, :], (256, 1)))[0, :, :3]
    assert (colours.max(axis=1) - colours.min(axis=1)).min() > 100


def test_brightness_grows_with_the_value():
    colours = rgba(colourise(np.linspace(0, 1, 256)[None, :], (256, 1)))[0, :, :3]
    luma = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma[::16]) > 0).all()


def test_the_colour_table_is_plasma():
    plasma = pytest.importorskip("matplotlib").colormaps["plasma"](np.linspace(0, 1, 256))[:, :3] * 255
    colours = rgba(colourise(np.linspace(0, 1, 256)[None, :], (256, 1)))[0, :, :3]
    assert np.abs(colours - plasma).max() < 6


def test_size_is_width_and_height_and_the_hot_spot_stays_in_place():
    heat = np.zeros((7, 7))
    heat[1, 5] = 1
    picture = colourise(heat, (140, 70))
    assert picture.size == (140, 70)
    row, column = np.unravel_index(rgba(picture)[:, :, 3].argmax(), (70, 140))
    assert abs(row - 15) <= 2
    assert abs(column - 110) <= 3


def test_values_outside_the_range_and_not_finite_values_are_harmless():
    alpha = rgba(colourise(np.array([[-1.0, 2.0, np.nan, np.inf]]), (4, 1)))[0, :, 3]
    assert alpha.max() <= 255
    assert rgba(colourise(np.array([[np.nan]]), (1, 1)))[0, 0, 3] == 0
    assert rgba(colourise(np.array([[5.0]]), (1, 1)))[0, 0, 3] == 255


def test_one_scale_per_run_keeps_a_faint_map_faint_and_per_image_stretches_it():
    maps = np.zeros((2, 1, 4, 4), dtype=np.float16)
    maps[:, :, 1, 1] = 1
    scale = np.array([[8.0], [0.08]], dtype=np.float32)
    run_scale = 8.0

    def hottest(index: int, *, per_image: bool) -> int:
        picture = cam_image(maps, scale, index, 0, (4, 4), per_image=per_image, run_scale=run_scale)
        return int(rgba(picture)[:, :, 3].max())

    assert hottest(0, per_image=False) == 255
    assert hottest(1, per_image=False) <= 3
    assert hottest(1, per_image=True) == 255


def test_the_default_scale_is_that_of_the_split():
    maps = np.ones((2, 2, 1, 1), dtype=np.float16)
    scale = np.array([[2.0, 1.0], [2.0, 2.0]], dtype=np.float32)
    assert rgba(cam_image(maps, scale, 0, 1, (1, 1)))[0, 0, 3] == 128


@pytest.mark.parametrize("per_image", [True, False])
def test_a_map_that_is_zero_everywhere_shows_nothing(per_image: bool):
    maps = np.zeros((1, 1, 7, 7), dtype=np.float16)
    picture = cam_image(maps, np.zeros((1, 1), dtype=np.float32), 0, 0, (20, 20), per_image=per_image)
    assert rgba(picture)[:, :, 3].max() == 0


def test_common_scale_ignores_one_freak_zeros_and_not_finite_values():
    usual = np.linspace(1, 2, 1000)
    assert common_scale(np.append(usual, 1e6)) < 2.1
    assert common_scale(np.array([0.0, np.nan, 3.0])) == 3.0
    assert common_scale(np.array([1.0]), np.array([1.0, 1.0])) == 1.0
    assert common_scale() == common_scale(np.zeros(4)) == 1.0


def test_overlay_shows_the_x_ray_where_it_is_cold_and_colour_where_it_is_hot():
    x_ray = Image.new("L", (40, 20), 90)
    heat = np.zeros((1, 2))
    heat[0, 1] = 1
    picture = np.asarray(overlay(x_ray, colourise(heat, (40, 20)), opacity=1.0)).astype(int)
    assert picture.shape == (20, 40, 3)
    assert (picture[:, 0] == 90).all()
    assert picture[10, 39].tolist() == [240, 249, 33]
    assert (np.asarray(overlay(x_ray, colourise(heat, (4, 2)), opacity=0.0)) == 90).all()


def test_a_map_is_enlarged_as_pillow_does_it():
    heat = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    expected = np.asarray(Image.fromarray(255 * heat).resize((140, 90), Image.Resampling.BICUBIC)).clip(0, 255)
    assert np.abs(np.asarray(colourise(heat, (140, 90))) - expected).max() <= 0.51


@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("colours", PALETTES)
def test_a_grey_x_ray_is_laid_under_as_one_in_colour(colours: str, opacity: float):
    draw = np.random.default_rng(1)
    x_ray = Image.fromarray(draw.integers(0, 256, (60, 80), dtype=np.uint8))
    heat = colourise(draw.random((7, 7)), (80, 60), colours)
    quick, plain = overlay(x_ray, heat, opacity), overlay(x_ray.convert("RGB"), heat, opacity)
    assert quick.mode == plain.mode == "RGB"
    assert np.abs(np.asarray(quick).astype(int) - np.asarray(plain)).max() <= 1


def test_needs_no_torch():
    code = "import sys, covidviz.explain.overlay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", PALETTES)
def test_every_palette_gets_lighter_all_the_way_and_more_opaque(name: str) -> None:
    drawn = rgba(colourise(np.linspace(0, 1, 256)[None], (256, 1), name))[0].astype(float)
    assert (np.diff(drawn[:, 3]) >= 0).all()
    linear = np.where(drawn[:, :3] <= 10, drawn[:, :3] / 3294.6, ((drawn[:, :3] / 255 + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light[::16]) > 0).all()
