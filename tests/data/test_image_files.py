from __future__ import annotations

from pathlib import Path

from covidviz.data.image_files import image_files


def test_files_stay_as_given_and_folders_are_searched_in_order(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "b/a/0.dcm", "b/notes.txt", "b/.hidden.png", "b/.git/x.png", "b/scan", "b/text"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0" * 128 + (b"DICM" if name == "b/scan" else b"text"))
    (tmp_path / "none").mkdir()
    (tmp_path / "b" / "again").symlink_to(tmp_path / "b")
    given = [tmp_path / "missing.png", tmp_path / "b", tmp_path / "none", "b.txt"]
    paths, empty = image_files(given)
    below = [str(tmp_path / "b" / name) for name in ("1.jpg", "2.PNG", "scan", "a/0.dcm")]
    assert paths == [str(tmp_path / "missing.png"), *below, "b.txt"]
    assert empty == [str(tmp_path / "none")]
