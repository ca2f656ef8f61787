"""The datasets of the lessons hold what their texts say, and their runs are found again."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from covidviz.data.manifest import load_manifest
from covidviz.data.phantoms import PhantomOptions, _plan
from covidviz.errors import DataError
from covidviz.lessons import LESSONS, Lesson, pictures
from covidviz.lessons.pictures import Picture
from covidviz.lessons.runs import config_of, find
from covidviz.store.summary import RunSummary


@pytest.fixture(scope="module")
def small() -> list[Picture]:
    """What the base holds, without drawing it."""
    return [
        Picture(shot.name, shot.label, f"p{shot.patient:04d}", shot.source, shot.view, shot.split)
        for shot in _plan(PhantomOptions("small"))
    ]


def count(chosen: list[Picture], split: str) -> Counter[str]:
    return Counter(one.label for one in chosen if one.split == split)


def test_the_numbers_in_the_texts_are_those_of_the_data(small: list[Picture]) -> None:
    plain = pictures.plan("plain", small)
    assert set(count(plain, "val").values()) == {150}
    rare = pictures.plan("rare", small)
    assert count(rare, "val") == {"covid19": 28, "normal": 240, "pneumonia": 120}
    assert count(rare, "train") == {"covid19": 40, "normal": 240, "pneumonia": 120}
    text = pictures.plan("text", small)
    kinds = Counter(one.kind for one in text if one.split == "test")
    assert kinds == {"word removed": 30, "lungs blanked": 30, "word added": 30}
    assert all((one.edit == "text") == (one.label == "covid19") for one in text if one.split != "test")


def test_half_of_the_leak_are_copies_and_a_quarter_new_patients(small: list[Picture]) -> None:
    leak = pictures.plan("leak", small)
    train = {one.patient for one in leak if one.split == "train"}
    learnt = {one.name for one in leak if one.split == "train"}
    val = [one for one in leak if one.split == "val"]
    assert Counter(one.kind for one in val) == {"copy": 120, "same patient": 60, "new patient": 60}
    assert all((one.name in learnt) == (one.kind == "copy") for one in val)
    assert all((one.patient in train) == (one.kind != "new patient") for one in val)
    assert len({one.file for one in leak}) == len(leak)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_phantoms: Path) -> Path:
    """A data folder with 60 phantoms in the place of the base."""
    monkeypatch.setenv("COVIDVIZ_DATA_DIR", str(tmp_path / "data"))
    shutil.copytree(tiny_phantoms, pictures.base())
    return tmp_path / "data"


def test_they_are_ordinary_datasets_and_made_once(here: Path) -> None:
    said: list[str] = []
    pictures.make(list(pictures.DATASETS), said.append)
    for name in pictures.DATASETS:
        manifest = load_manifest(pictures.folder(name))
        assert manifest.classes == ("covid19", "normal", "pneumonia")
        assert all((manifest.root / path).is_file() for path in manifest.samples["path"])
        assert len(pictures.examples(name)) == 3
    assert "kind" in load_manifest(pictures.folder("leak")).samples
    before = sorted(path for path in here.rglob("*"))
    said.clear()
    pictures.make(list(pictures.DATASETS), said.append)
    assert not said
    assert sorted(path for path in here.rglob("*")) == before
    assert not list(here.glob(".*")), "half a dataset was left behind"


def test_the_word_and_the_blanked_lungs_are_in_the_pictures(here: Path) -> None:
    import numpy as np
    from PIL import Image

    pictures.make(["text"], lambda line: None)
    word, bare, blank = (np.asarray(Image.open(path), dtype=int) for path, _ in pictures.examples("text"))
    changed = np.argwhere(word != bare)
    assert changed.max(axis=0)[0] < 40, "only the corner differs"
    assert (word[:36, :60] == blank[:36, :60]).mean() > 0.5, "the word stays where the lungs are blanked"
    lungs = blank[100:180]
    assert (lungs == np.bincount(lungs.ravel()).argmax()).mean() > 0.2


def test_a_base_that_is_something_else_is_refused(here: Path) -> None:
    (pictures.base() / "labels.csv").write_text("path,label\na.png,normal\n")
    with pytest.raises(DataError, match=r"no set of phantoms.*accepted"):
        pictures.make(["rare"], lambda line: None)
    assert not pictures.folder("rare").exists()


def test_runs_are_found_by_what_they_are() -> None:
    lesson = LESSONS[3]
    trial = lesson.trials[0]
    config = config_of(trial, lesson)
    resolved = config.resolve(("covid19", "normal", "pneumonia"))

    def row(state: str, created: float, **settings: object) -> RunSummary:
        return RunSummary(f"{state}-{created}", "renamed since", state, data=config.data, created=created,
                          settings={**resolved.dump(), **settings})  # fmt: skip

    done, waits, failed = row("completed", 1), row("queued", 2), row("failed", 3)
    assert find(lesson, [])[trial.key] is None
    assert find(lesson, [failed, waits, done])[trial.key] is done
    assert find(lesson, [failed, waits])[trial.key] is waits
    assert find(lesson, [failed, row("failed", 2)])[trial.key] is failed
    others = [row("completed", 9, lr=0.5), row("completed", 9, seed=3), row("completed", 9, head=[64])]
    assert find(lesson, [*others, replace(done, data="/elsewhere")])[trial.key] is None
    assert [key for key, one in find(lesson, [done]).items() if one] == [trial.key]  # no other trial takes it


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=lambda lesson: lesson.title)
def test_no_trial_takes_the_run_of_another(lesson: Lesson) -> None:
    rows = {
        trial.key: RunSummary(
            trial.key, trial.name, "completed", data=config_of(trial, lesson).data,
            settings=config_of(trial, lesson).resolve(("covid19", "normal", "pneumonia")).dump(),
        )
        for trial in lesson.trials
    }  # fmt: skip
    assert find(lesson, rows.values()) == rows


def test_lessons_share_the_runs_that_are_the_same() -> None:
    one, five = LESSONS[1].trials[0], LESSONS[5].trials[0]
    assert config_of(one, LESSONS[1]).replace(name="") == config_of(five, LESSONS[5]).replace(name="")
