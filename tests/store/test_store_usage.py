"""Counting the disk and giving it back, without leaving the given folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from synthetic import write_synthetic_run

from covidviz.errors import StoreError
from covidviz.store import layout, usage
from covidviz.store.locks import Lock
from covidviz.store.runs import delete_run, restore_run
from covidviz.store.usage import drop_last, empty_picture_cache, empty_trash, folder_bytes, measure, run_usage


def _fill(path: Path, n: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n)
    return path


def _with_checkpoints(runs: Path, i: int, state: str = "completed") -> Path:
    run_dir = write_synthetic_run(runs, i, state)
    _fill(run_dir / layout.LAST, 3000)
    _fill(run_dir / layout.BEST, 1000)
    _fill(run_dir / "cams" / "val.npz", 500)
    _fill(run_dir / "events.out.tfevents.1", 70)
    return run_dir


def test_a_run_by_its_parts(runs: Path) -> None:
    found = run_usage(_with_checkpoints(runs, 1))
    assert (found.last, found.best, found.cams, found.events) == (3000, 1000, 500, 70)
    assert found.total == sum(path.stat().st_size for path in runs.rglob("*") if path.is_file())


def test_links_are_neither_counted_nor_followed(runs: Path, tmp_path: Path) -> None:
    outside = _fill(tmp_path / "outside" / "big.bin", 10_000)
    run_dir = _with_checkpoints(runs, 1)
    before = run_usage(run_dir).total
    (run_dir / "link").symlink_to(outside)
    (run_dir / "folder").symlink_to(outside.parent)
    assert run_usage(run_dir).total == before
    (tmp_path / "to_outside").symlink_to(outside.parent)
    assert folder_bytes(tmp_path / "to_outside") == 0
    assert folder_bytes(tmp_path / "missing") == 0


def test_everything_at_once(runs: Path, tmp_path: Path) -> None:
    _with_checkpoints(runs, 1)
    delete_run(_with_checkpoints(runs, 2))
    _fill(tmp_path / "cache" / "pictures" / "ab" / f"{'0' * 32}.webp", 40)
    _fill(tmp_path / "cache" / "features" / "ab" / "features.bin", 60)
    _fill(tmp_path / "cache" / "images" / "cd" / "pixels.u8", 5)
    _fill(tmp_path / "cache" / "other", 999)
    _fill(tmp_path / "data" / "x.png", 7)
    found = measure(runs, tmp_path / "cache", tmp_path / "data")
    assert [row.run_id for row in found.runs] == [path.name for path in runs.glob("2*")]
    assert found.total == found.runs[0].total > 4570
    assert (found.trashed, found.cache, found.training, found.data) == (1, 40, 65, 7)
    assert found.trash > 4570
    assert 0 < found.free <= found.capacity
    nothing = measure(tmp_path / "no", tmp_path / "no", tmp_path / "no")
    assert (nothing.runs, nothing.trash, nothing.cache, nothing.data) == ((), 0, 0, 0)
    assert nothing.capacity > 0


def test_the_trash_is_emptied_and_nothing_else(runs: Path, tmp_path: Path) -> None:
    kept = _with_checkpoints(runs, 1)
    gone = delete_run(_with_checkpoints(runs, 2))
    outside = _fill(tmp_path / "outside" / "big.bin", 10_000)
    (gone / "folder").symlink_to(outside.parent)
    (runs / layout.TRASH / "not a run").mkdir()
    (runs / layout.TRASH / "20260101-000000-link-0000").symlink_to(outside.parent)
    size = folder_bytes(gone)
    assert empty_trash(runs) == size
    assert not gone.exists()
    assert kept.is_dir()
    assert outside.exists()
    assert sorted(path.name for path in (runs / layout.TRASH).iterdir()) == ["20260101-000000-link-0000", "not a run"]
    assert empty_trash(runs) == 0


def test_what_an_interrupted_clean_up_left_goes_too(runs: Path) -> None:
    gone = delete_run(_with_checkpoints(runs, 2))
    left = gone.rename(gone.with_name(f".{gone.name}.0123abcd"))
    empty_trash(runs)
    assert not left.exists()


def test_a_run_restored_meanwhile_stays(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = _with_checkpoints(runs, 2)
    delete_run(run_dir)
    count = usage.folder_bytes

    def restored_while_counting(folder: Path) -> int:
        restore_run(runs, run_dir.name)
        return count(folder)

    monkeypatch.setattr(usage, "folder_bytes", restored_while_counting)
    assert empty_trash(runs) == 0
    assert (run_dir / layout.LAST).exists()


def test_a_trash_that_is_a_link_is_left_alone(runs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_synthetic_run(elsewhere, 1)
    (runs / layout.TRASH).symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a link"):
        empty_trash(runs)
    assert len(list(elsewhere.iterdir())) == 1


def test_only_completed_runs_lose_what_they_need_no_more(runs: Path) -> None:
    dirs = {state: _with_checkpoints(runs, i, state) for i, state in enumerate(layout.STATES)}
    dirs["lost"] = _with_checkpoints(runs, 20, "lost")
    freed = drop_last(runs, [path.name for path in dirs.values()] + ["../x", "20260101-000000-gone-0000"])
    assert freed == 3000
    assert [state for state, path in dirs.items() if not (path / layout.LAST).exists()] == ["completed"]
    assert all((path / layout.BEST).exists() for path in dirs.values())
    assert drop_last(runs, [dirs["completed"].name]) == 0


def test_a_checkpoint_in_use_or_behind_a_link_stays(runs: Path, tmp_path: Path) -> None:
    busy, linked = _with_checkpoints(runs, 1), write_synthetic_run(runs, 2)
    outside = _fill(tmp_path / "outside" / "last.pt", 5000)
    (linked / layout.CHECKPOINTS).symlink_to(outside.parent)
    file = write_synthetic_run(runs, 3)
    (file / layout.CHECKPOINTS).mkdir()
    (file / layout.LAST).symlink_to(outside)
    lock = Lock.take(busy / layout.LOCK)
    assert lock is not None
    with lock:
        assert drop_last(runs, [busy.name, linked.name, file.name]) == 0
    assert (busy / layout.LAST).exists()
    assert outside.exists()
    assert os.path.lexists(file / layout.LAST)


def test_only_our_own_pictures_are_deleted(tmp_path: Path) -> None:
    """Somebody may have named a folder that holds other things, such as a home with a `pictures` of its own."""
    cache = tmp_path / "cache"
    ours = [_fill(cache / "pictures" / "0f" / f"{'ab' * 16}.webp", 40), _fill(cache / "pictures/0f/tmpab_12x.part", 2)]
    others = [
        _fill(cache / "pictures" / name, 9) for name in ("holiday.webp", "0f/holiday.webp", f"2019/{'ab' * 16}.webp")
    ]
    others.append(_fill(cache / f"{'ab' * 16}.webp", 9))
    outside = _fill(tmp_path / "outside" / f"{'cd' * 16}.webp", 9)
    (cache / "pictures" / "aa").symlink_to(outside.parent)
    assert empty_picture_cache(cache) == 42
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in [*others, outside])
    assert empty_picture_cache(tmp_path / "missing") == 0
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "pictures").symlink_to(cache / "pictures")
    assert empty_picture_cache(tmp_path / "linked") == 0
