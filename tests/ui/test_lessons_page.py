"""The Lessons page: guess before result, runs in every state, two learners on one server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.jobs.queue import enqueue
from covidviz.lessons import LESSONS, pictures
from covidviz.store import layout
from covidviz.store.runs import delete_run
from covidviz.ui import nav, server, tasks
from covidviz.ui.lessons import links, progress

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"
LEAK = LESSONS[6]  # one run


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with queued runs would start a real one."""
    monkeypatch.setattr(server, "ensure_scheduler", lambda runs_dir: False)
    server.keep_queue.clear()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was asked to be made."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda *words: asked.append(words))
    return asked


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, tiny_phantoms: Path) -> Path:
    """A data folder with the leaky dataset, from 60 phantoms."""
    folder = tmp_path_factory.mktemp("lesson") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_DATA_DIR", str(folder))
        shutil.copytree(tiny_phantoms, pictures.base())
        pictures.make(["leak"], lambda line: None)
    return folder


@pytest.fixture(autouse=True)
def data_dir(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDVIZ_DATA_DIR", str(data))


def make_run(runs: Path, state: str, i: int = 1) -> Path:
    trial = LEAK.trials[0]
    settings = {name: value for name, value in trial.settings.items() if name != "epochs"}
    return write_synthetic_run(
        runs, i, state, trial.settings["epochs"], artefacts=state == "completed", data=pictures.folder(trial.dataset),
        **{"loss": None, "focal_gamma": 2.0, **settings, "tags": ("lesson",)},
    )  # fmt: skip


def page(lesson: object = None, step: object = None, session: AppTest | None = None) -> AppTest:
    at = session or AppTest.from_file(str(MAIN), default_timeout=60)
    for key, value in (("lesson", lesson), ("step", step)):
        if value is not None:
            at.query_params[key] = str(value)
    at.switch_page(nav.LESSONS).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    parts = [*at.title, *at.subheader, *at.markdown, *at.info, *at.error, *at.success, *at.caption]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def press(at: AppTest, key: str) -> AppTest:
    at.button(key).click().run()
    assert not at.exception
    return at


def keys(at: AppTest) -> set[str]:
    return {button.key for button in at.button if button.key}


def guess(at: AppTest, number: int) -> AppTest:
    at.slider(f"lesson_guess_{LEAK.number}").set_value(number).run()
    return press(at, "lesson_commit")


def test_all_lessons_are_offered_and_a_wrong_link_is_answered(runs: Path) -> None:
    at = page()
    assert {f"lesson_open_{number}" for number in LESSONS} <= keys(at)
    for number in ("9", "0", "-1", "²", "<b>x</b>", "1" * 500):
        assert "There is no lesson" in texts(page(number))
    assert "There is no step" in texts(page(2, "nonsense"))


def test_every_step_can_be_linked_to(runs: Path) -> None:
    at = page()
    for number, step in [*((number, "question") for number in LESSONS), *((6, step) for step in links.STEPS)]:
        shown = texts(page(number, step, at))
        assert LESSONS[number].question in shown
        assert ("First your guess" in shown) == (step in ("run", "reveal", "try"))


def test_a_guess_is_asked_for_before_anything_is_run(runs: Path, started: list[tuple[str, ...]]) -> None:
    at = page(LEAK.number, "reveal")
    assert not {"lesson_start", "lesson_see"} & keys(at)
    guess(at, 30)
    assert at.query_params["step"] in ("run", ["run"])
    assert "not run yet" in texts(at)
    press(at, "lesson_start")
    assert [(name, *rest[:2]) for name, *rest in started] == [("lesson-6", "lesson", "6")]
    # Nothing was seen: the guess may be taken back.
    press(page(LEAK.number, "predict", at), "lesson_anew")
    assert "lesson_commit" in keys(at)


def test_a_teacher_may_go_on_without(runs: Path) -> None:
    make_run(runs, "completed")
    at = press(page(LEAK.number, "reveal"), "lesson_skip")
    assert "Your guess:" not in texts(at)
    assert "It was" in texts(at)


@pytest.mark.parametrize(
    ("state", "says", "button"),
    [("queued", "1 run before it", None), ("running", "epoch 75 of 150", None),
     ("failed", "not-a-number", "Run it again"), ("stopped", "stopped", "Run it again")],
)  # fmt: skip
def test_a_run_in_any_state_is_no_dead_end(
    runs: Path, started: list[tuple[str, ...]], state: str, says: str, button: str | None
) -> None:
    run_dir = make_run(runs, state)
    if state == "queued":
        first = write_synthetic_run(runs, 0, "queued")
        enqueue(first, since=1)
        enqueue(run_dir, since=2)
    for step in ("run", "reveal"):
        at = page(LEAK.number, step)
        at = guess(at, 10) if "lesson_commit" in keys(at) else at
        at = page(LEAK.number, step, at)
        assert says in texts(at)
        assert ("lesson_start" in keys(at)) == (button is not None)
        assert not {"lesson_see", "lesson_to_try"} & keys(at)
    if button is not None:
        assert at.button("lesson_start").label == button
        press(at, "lesson_start")
        assert started


def test_pictures_that_can_not_be_made_are_told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"lesson-6": tasks.Task(True, "drawing phantoms: 40 %", None)}
    monkeypatch.setattr(tasks, "look", states.get)
    at = guess(page(LEAK.number, "predict"), 1)
    assert "lesson_start" not in keys(at), "one is at it already"
    states["lesson-6"] = tasks.Task(False, "no space left", "/data can't be written: *no* space left")
    at = page(LEAK.number, "run", at)
    assert "can't be written: *no* space left" in texts(at)
    assert at.button("lesson_start").label == "Run it"


def test_the_guess_stands_beside_the_result_and_stays(runs: Path) -> None:
    make_run(runs, "failed", 1)
    done = make_run(runs, "completed", 0)  # older than the failed one, and still what counts
    at = guess(page(LEAK.number, "predict"), 42)
    press(at, "lesson_see")
    shown = texts(at)
    assert "42 points" in shown
    assert "Your guess: " in shown
    assert "It was" in shown
    assert [done.name] == [path.name for path in runs.iterdir() if (path / layout.PREDICTIONS).exists()]
    at = page(LEAK.number, "predict", at)
    assert "It stands" in texts(at)
    assert not {"lesson_commit", "lesson_anew"} & keys(at)
    kept = at.session_state["lessons_progress"]
    document = json.loads(progress.as_json(kept))["lessons"][0]
    assert (document["guess"], document["without_guess"]) == ("42 points", False)
    assert len(document["figures"]) == 4
    assert "## 6 Leakage" in progress.as_markdown(kept)
    assert "42 points" in progress.as_markdown(kept)
    # The run is deleted: said so, and it can be run again.
    delete_run(done)
    at = page(LEAK.number, "reveal", at)
    assert "deleted since" in texts(at)
    assert "lesson_start" in keys(at)


def test_two_learners_share_the_run_but_not_the_guess(runs: Path) -> None:
    one, two = guess(page(LEAK.number, "predict"), 5), guess(page(LEAK.number, "predict"), 50)
    make_run(runs, "completed")  # one of them ran it
    for at, mine, other in ((one, "5 points", "50 points"), (two, "50 points", "5 points")):
        shown = texts(page(LEAK.number, "reveal", at)).splitlines()
        assert mine in shown
        assert other not in shown


@pytest.mark.parametrize("number", LESSONS)
def test_what_to_try_leads_to_a_page_with_these_settings(runs: Path, number: int) -> None:
    lesson = LESSONS[number]
    rows = dict.fromkeys((trial.key for trial in lesson.trials), None)
    to = links.target(lesson, rows)
    if lesson.tries.page in ("run", "compare"):
        assert to is None  # its runs are not there
        return
    assert to is not None
    target, params = to
    assert Path(target).is_file()
    if "s" in params:
        from covidviz.ui import form, lab_settings

        values, notes = (form if lesson.tries.page == "new_run" else lab_settings).decode(params["s"])
        assert not notes
        assert values["data"] == str(pictures.folder(lesson.trials[0].dataset))
