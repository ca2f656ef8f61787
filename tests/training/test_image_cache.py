from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covidviz.data.images import decode
from covidviz.errors import StoreError
from covidviz.store import cache
from covidviz.training import image_cache
from covidviz.training.image_cache import content_key, decoded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    root.mkdir()
    for i, mode in enumerate(("L", "RGB", "L", "RGBA", "L")):
        bands = len(Image.new(mode, (1, 1)).getbands())
        pixels = rng.integers(0, 256, (40 + i, 50, bands), dtype=np.uint8)
        Image.fromarray(pixels.squeeze()).save(root / f"{i}.png")
    return root


PATHS = [f"{i}.png" for i in range(5)]


def test_bit_identical_and_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_cache, "PART", 2)
    done: list[tuple[int, int]] = []
    pixels, bad, new = decoded(folder, PATHS, 32, on_progress=lambda *at: done.append(at))
    assert new
    assert not bad
    assert done[-1] == (5, 5)
    assert done == sorted(done)
    np.testing.assert_array_equal(pixels.all(), decode(folder, PATHS, 32)[0])
    monkeypatch.setattr(
        image_cache, "decode", lambda root, paths, size: (None, []) if not paths else pytest.fail("again")
    )
    again, _, new = decoded(folder, PATHS, 32)
    assert not new
    np.testing.assert_array_equal(again.take(np.array([4, 0])), pixels.all()[[4, 0]])


def test_a_changed_file_is_seen(folder: Path) -> None:
    before, _, _ = decoded(folder, PATHS, 32)
    Image.fromarray(np.full((40, 50), 200, np.uint8)).save(folder / "2.png")
    after, _, new = decoded(folder, PATHS, 32)
    assert new
    assert (after.all()[2] == 200).all()
    np.testing.assert_array_equal(after.all()[[0, 1, 3, 4]], before.all()[[0, 1, 3, 4]])


def test_named_by_content(folder: Path, tmp_path: Path) -> None:
    key = content_key(folder, PATHS, 32)
    moved = folder.rename(tmp_path / "elsewhere")
    assert content_key(moved, PATHS, 32) == key
    assert content_key(moved, PATHS, 33) != key
    assert content_key(moved, PATHS[::-1], 32) != key


def test_unreadable_files_are_named_each_time(folder: Path) -> None:
    (folder / "3.png").write_bytes(b"no image")
    for new in (True, False):
        pixels, bad, built = decoded(folder, PATHS, 32)
        assert built == new
        assert [row for row, _ in bad] == [3]
        assert "3.png" in bad[0][1]
        assert not pixels.all()[3].any()


def test_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDVIZ_CACHE_GB", "1e-6")
    with pytest.raises(StoreError, match="more than the cache may take"):
        decoded(folder, PATHS, 32)
    assert cache.entries() == []


def test_stopped_while_decoding(folder: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded(folder, PATHS, 32, on_progress=stop)
    assert decoded(folder, PATHS, 32)[2]
