"""Images on their way to the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from covidviz.catalog import AUGMENTATIONS
from covidviz.errors import DataError
from covidviz.training.batches import Images, augment, epoch_order, slices, to_input

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 64, 64), dtype=np.uint8)


def test_input_is_torchvisions_bit_for_bit() -> None:
    theirs = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    every_value = np.arange(64 * 64, dtype=np.uint16).astype(np.uint8).reshape(64, 64)
    expected = torch.stack([theirs(Image.fromarray(x).convert("RGB")) for x in (*PICTURES, every_value)])
    ours = to_input(np.stack([*PICTURES, every_value]))
    assert torch.equal(ours, expected)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert to_input(torch.from_numpy(PICTURES), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_input_made_in_inference_mode_can_be_trained_on_later() -> None:
    with torch.inference_mode():
        to_input(PICTURES)
    weight = torch.ones(1, 3, 1, 1, requires_grad=True)
    torch.nn.functional.conv2d(to_input(PICTURES), weight).sum().backward()
    assert weight.grad is not None


def _augmented(
    how: str, images: np.ndarray = PICTURES, *, seed: int = 0, epoch: int = 1, number: int = 0
) -> np.ndarray:
    return augment(torch.from_numpy(images), how, seed=seed, epoch=epoch, number=number).numpy()


@pytest.mark.parametrize("how", AUGMENTATIONS)
def test_augmentation_depends_on_seed_epoch_and_batch_only(how: str) -> None:
    before = PICTURES.copy()
    first = _augmented(how)
    assert first.dtype == np.uint8
    assert first.shape == PICTURES.shape
    np.testing.assert_array_equal(first, _augmented(how))
    np.testing.assert_array_equal(PICTURES, before)
    for other in ({"seed": 1}, {"epoch": 2}, {"number": 1}):
        assert np.array_equal(first, _augmented(how, **other)) == (how == "none")


def test_flip_mirrors_some() -> None:
    flipped = _augmented("flip", np.repeat(PICTURES[:1], 100, axis=0))
    same = (flipped == PICTURES[0]).all(axis=(1, 2))
    mirrored = (flipped == PICTURES[0, :, ::-1]).all(axis=(1, 2))
    assert (same ^ mirrored).all()
    assert 30 < mirrored.sum() < 70


@pytest.mark.parametrize(("how", "degrees", "least", "most"), [("light", 7, 0.81, 1.21), ("course", 10, 1.0, 1.27)])
def test_range_of_the_warps(how: str, degrees: float, least: float, most: float) -> None:
    """A bar across the image tells angle and zoom: its direction and its thickness."""
    bar = np.zeros((1, 128, 128), np.uint8)
    bar[:, 60:68] = 200
    warped = _augmented(how, np.repeat(bar, 200, axis=0)).astype(float)
    y, x = np.mgrid[-63.5:64, -63.5:64]
    angles, areas = [], []
    for image in warped:
        weight = image * (np.abs(x) < 40)
        slope = np.polyfit(x.ravel(), y.ravel(), 1, w=np.sqrt(weight.ravel()))[0]
        angles.append(np.degrees(np.arctan(slope)))
        areas.append(weight.sum() / (np.cos(np.arctan(slope)) ** -1) / (8 * 80 * 200))
    assert degrees * 0.8 < np.abs(angles).max() < degrees * 1.1
    assert min(angles) < 0 < max(angles)
    assert least < min(areas)
    assert max(areas) < most
    assert max(areas) - min(areas) > 0.08


def test_course_shows_nothing_from_outside_but_the_corners() -> None:
    warped = _augmented("course", np.full((100, 64, 64), 255, np.uint8))
    assert warped[:, 16:48, 16:48].min() == 255


def test_order_is_a_permutation_of_its_own_per_epoch() -> None:
    first, second = epoch_order(50, 0, 1), epoch_order(50, 0, 2)
    assert sorted(first) == list(range(50))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, epoch_order(50, 1, 1))
    np.testing.assert_array_equal(first, epoch_order(50, 0, 1))


def test_slices() -> None:
    assert slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert slices(0, 3) == []


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for i, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    return [f"{i}.png" for i in range(len(PICTURES))]


@pytest.mark.parametrize("kept", [True, False])
def test_batches_are_the_asked_rows(tmp_path: Path, files: list[str], kept: bool) -> None:
    images = Images(tmp_path, files, 64, decoded=PICTURES.copy() if kept else None)
    rows = [np.array([4, 0]), np.array([1, 1, 5]), np.array([2])]
    batches = list(images.batches(rows))
    for chosen, batch in zip(rows, batches, strict=True):
        np.testing.assert_array_equal(batch.numpy(), PICTURES[chosen])
    np.testing.assert_array_equal(images[:], PICTURES)
    assert list(images.batches([])) == []
    assert len(images) == 6


def test_an_image_that_vanished(tmp_path: Path, files: list[str]) -> None:
    images = Images(tmp_path, files, 64, decoded=None)
    (tmp_path / "3.png").unlink()
    with pytest.raises(DataError, match=r"can't be read any more: .*3\.png"):
        list(images.batches([np.array([0]), np.array([3])]))
