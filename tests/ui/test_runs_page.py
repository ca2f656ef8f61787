"""The Runs page, full, empty, live and broken."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.store import layout
from covidviz.store import runs as run_store
from covidviz.store.files import read_json
from covidviz.store.status import read_status
from covidviz.ui import demo_start, nav, queries, runs_page, runs_table, tasks
from covidviz.ui.text import md, shorten

MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "![](http://evil.test/x.png)",
    "**bold** `code` $x$ :red[r]",
    "w" * 200,
    "שלום 😷",
]


@pytest.fixture(autouse=True)
def schedulers(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs folders for which a scheduler was wanted; none is started."""
    wanted: list[Path] = []
    for module in ("covidviz.jobs.submit", "covidviz.ui.server"):
        monkeypatch.setattr(f"{module}.ensure_scheduler", wanted.append)
    return wanted


def page() -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60).run()
    assert not at.exception
    return at


def names(at: AppTest) -> list[str]:
    return list(at.dataframe[0].value["Name"]) if at.dataframe else []


def select(at: AppTest, *run_dirs: Path) -> AppTest:
    at.session_state[runs_table.SELECTED] = [run_dir.name for run_dir in run_dirs]
    return at.run()


def chosen(at: AppTest) -> str:
    """What the line above the table says is selected."""
    return next(found[1] for part in at.markdown if (found := re.match(r"\*\*(.*)\*\*", part.value)))


def click(at: AppTest, key: str) -> AppTest:
    at.button(key).click().run()
    assert not at.exception
    return at


def enabled(at: AppTest) -> set[str]:
    keys = ("open", "stop", "resume", "clone", "archive", "delete")
    return {key for key in keys if not at.button(f"runs_do_{key}").disabled}


def test_all_runs_newest_first(runs: Path) -> None:
    for i in range(3):
        write_synthetic_run(runs, i)
    at = page()
    assert names(at) == ["synthetic 2", "synthetic 1", "synthetic 0"]
    row = at.dataframe[0].value.iloc[0]
    assert list(row["Status"]) == ["✓ completed"]
    assert (row["Network"], row["Learns"], row["Loss"], row["lr"]) == ("ResNet-18", "head", "Cross-entropy", 1e-3)
    assert 0.5 < row["Best"] < 1
    assert row["Metric"] == "macro F1"
    assert [c.value for c in at.sidebar.caption] == ["For learning and research, never for clinical use."]


@pytest.mark.parametrize("state", ["queued", "running", "failed", "stopped", "lost"])
def test_every_state_has_its_word(runs: Path, state: str) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    at = page()
    assert state in at.dataframe[0].value["Status"][0][0]
    select(at, run_dir)
    if state in ("failed", "lost"):
        assert at.dataframe[0].value["Problem"][0] == read_status(run_dir).error


def test_a_broken_directory_is_a_row_with_its_reason(runs: Path) -> None:
    write_synthetic_run(runs, 1)
    for name, text in (("half", '{"state": "compl'), ("wrong", '{"state": "dancing"}'), ("list", "[]")):
        broken = runs / f"20260101-000000-{name}-dead"
        broken.mkdir()
        (broken / layout.STATUS).write_text(text)
    (runs / "20260101-000000-empty-dead").mkdir()
    (runs / "no run at all").mkdir()
    frame = page().dataframe[0].value
    states = [status[0] for status in frame["Status"]]
    assert states == ["✓ completed", *["! broken"] * 4]
    assert all(frame["Problem"][1:])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(runs: Path, name: str) -> None:
    run_dir = write_synthetic_run(runs, 1, name=name)
    at = select(page(), run_dir)
    assert names(at) == [name]
    assert any(f"**{md(shorten(name, 40))}**" in part.value for part in at.markdown)


def test_one_run_with_nothing_measured(runs: Path) -> None:
    write_synthetic_run(runs, 1, "queued")
    at = page()
    assert at.dataframe[0].value["Best"].isna().all()


def test_search_and_states_filter(runs: Path) -> None:
    for i, state in enumerate(["completed", "failed", "completed", "stopped"]):
        write_synthetic_run(runs, i, state)
    at = page()
    at.text_input("runs_text").set_value("vgg 3").run()
    assert names(at) == ["synthetic 3"]
    at.text_input("runs_text").set_value("").run()
    at.session_state["runs_states"] = ["failed", "stopped"]
    at.run()
    assert names(at) == ["synthetic 3", "synthetic 1"]
    at.text_input("runs_text").set_value("nothing like it").run()
    assert not at.dataframe
    assert any("No run matches" in caption.value for caption in at.caption)


def test_archived_runs_are_away_until_asked_for(runs: Path) -> None:
    away = write_synthetic_run(runs, 0)
    write_synthetic_run(runs, 1)
    run_store.edit_notes(away, archived=True)
    at = page()
    assert names(at) == ["synthetic 1"]
    at.session_state["runs_states"] = [runs_page.ARCHIVED]
    at.run()
    assert names(at) == ["synthetic 0"]
    select(at, away)
    assert at.button("runs_do_archive").label == "Unarchive"
    click(at, "runs_do_archive")
    assert not read_json(away / layout.NOTES)["archived"]  # type: ignore[index]


def test_selection_follows_the_run_not_the_row(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i) for i in range(4)]
    at = select(page(), dirs[1])
    assert chosen(at) == "synthetic 1"
    at.text_input("runs_text").set_value("resnet").run()
    assert "synthetic 1" not in names(at)
    assert chosen(at) == "synthetic 1"
    write_synthetic_run(runs, 9)
    at.text_input("runs_text").set_value("").run()
    assert at.session_state[runs_table.SELECTED] == [dirs[1].name]


@pytest.mark.parametrize(
    ("state", "can"),
    [("completed", {"open", "clone", "archive", "delete"}), ("queued", {"open", "stop", "clone", "archive"}),
     ("failed", {"open", "resume", "clone", "archive", "delete"})],
)  # fmt: skip
def test_what_can_be_done_depends_on_the_state(runs: Path, state: str, can: set[str]) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    at = page()
    assert enabled(at) == set()
    assert enabled(select(at, run_dir)) == can


def test_several_at_once(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i) for i in range(3)]
    at = select(page(), *dirs[:2])
    assert enabled(at) == {"archive", "delete"}
    assert "2 runs selected" in at.markdown[0].value


def test_delete_and_undo(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i) for i in range(2)]
    at = click(select(page(), dirs[0]), "runs_do_delete")
    assert names(at) == ["synthetic 1"]
    assert not dirs[0].exists()
    click(at, "runs_undo")
    assert names(at) == ["synthetic 1", "synthetic 0"]
    assert "runs_undo" not in {button.key for button in at.button}


def test_deleting_the_only_run_still_offers_undo(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    at = click(select(page(), run_dir), "runs_do_delete")
    click(at, "runs_undo")
    assert names(at) == ["synthetic 0"]


def test_a_run_that_vanished_is_said(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i) for i in range(2)]
    at = select(page(), dirs[0])
    run_store.delete_run(dirs[0])
    click(at, "runs_do_archive")
    assert "gone" in at.toast[0].value
    assert names(at) == ["synthetic 1"]


def test_stop_and_resume(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0, "queued")
    at = click(select(page(), run_dir), "runs_do_stop")
    assert read_status(run_dir).state == "stopped"
    click(select(at, run_dir), "runs_do_resume")
    assert read_status(run_dir).state == "queued"


def test_queued_runs_get_their_scheduler_back(runs: Path, schedulers: list[Path]) -> None:
    write_synthetic_run(runs, 0)
    page()
    assert schedulers == [runs]  # once, when the server meets this folder
    write_synthetic_run(runs, 1, "queued")
    page()
    page()
    assert schedulers == [runs, runs]  # again, because a queued run is watched; not at every refresh


def test_edit_name_tags_and_note(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    at = select(page(), run_dir)
    at.text_input(f"runs_edit_name_{run_dir.name}").set_value("another name")
    at.text_input(f"runs_edit_tags_{run_dir.name}").set_value("one, two ,")
    at.text_area(f"runs_edit_note_{run_dir.name}").set_value("a note")
    click(at, f"runs_save_{run_dir.name}")
    notes = read_json(run_dir / layout.NOTES)
    assert notes == {"name": "another name", "tags": ["one", "two"], "note": "a note", "archived": False}
    assert names(at) == ["another name"]
    assert list(at.dataframe[0].value["Tags"][0]) == ["one", "two"]


def test_clone_and_open_lead_to_their_pages(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    at = click(select(page(), run_dir), "runs_do_clone")
    assert at.query_params["clone"] == [run_dir.name] or at.query_params["clone"] == run_dir.name
    at = click(select(page(), run_dir), "runs_do_open")
    assert run_dir.name in at.query_params["run"]


def test_it_refreshes_itself_only_while_something_runs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every: list[Any] = []
    real = runs_page.st.fragment
    monkeypatch.setattr(runs_page.st, "fragment", lambda f, run_every: every.append(run_every) or real(f))
    run_dir = write_synthetic_run(runs, 0, "running")
    at = page()
    status = json.loads((run_dir / layout.STATUS).read_text())
    (run_dir / layout.STATUS).write_text(json.dumps({**status, "state": "completed"}))
    at.run()
    assert every == [runs_page.REFRESH_S, None]


def test_a_thousand_runs_fast(runs: Path) -> None:
    for i in range(1000):
        write_synthetic_run(runs, i, ("completed", "failed", "stopped")[i % 3], epochs=1)
    start = time.process_time()
    at = page()
    assert len(names(at)) == 1000
    whole = time.process_time() - start
    index = queries.index()
    runs_page_time, unchanged = [], []
    for _ in range(5):
        start = time.process_time()
        at.run()
        runs_page_time.append(time.process_time() - start)
        start = time.process_time()
        index.refresh()
        unchanged.append(time.process_time() - start)
    # Time of this process, so that a busy machine does not count; AppTest's own work is in it.
    assert whole < 3
    assert min(runs_page_time) < 0.3
    assert min(unchanged) < 0.05


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Decide what is known of the ImageNet weights."""

    def decide(*, cached: bool = False, reachable: bool = False) -> None:
        future: Future[bool] = Future()
        future.set_result(cached or reachable)
        monkeypatch.setattr(demo_start, "is_cached", lambda model: cached)
        monkeypatch.setattr(demo_start, "_weights", lambda: future)

    return decide


@pytest.mark.parametrize(
    ("known", "said"),
    [({"cached": True}, "are on this machine"), ({"reachable": True}, "downloaded first"), ({}, "from scratch")],
)
def test_empty_says_what_the_demo_starts_from(runs: Path, weights: Any, known: dict[str, bool], said: str) -> None:
    weights(**known)
    at = page()
    assert at.subheader[0].value == "No runs yet"
    assert any(said in caption.value for caption in at.caption)
    assert not at.dataframe


def test_no_runs_folder_at_all(folders: Path, weights: Any) -> None:
    weights()
    assert page().subheader[0].value == "No runs yet"


def test_the_demo_is_made_beside_the_page(runs: Path, weights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights()
    task = tasks.Task(alive=True, line="drawing phantoms: 40 %", failed=None)
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda *a: started.append(a))
    monkeypatch.setattr(tasks, "look", lambda name: task if started else None)
    at = click(page(), "demo_make")
    assert started == [("demo", "demo", str(runs))]
    assert "demo_make" not in {button.key for button in at.button}
    write_synthetic_run(runs, 1, "queued")
    at.run()
    assert names(at) == ["synthetic 1"]
    assert any("40 %" in info.value.replace("\\", "") for info in at.info)


def test_a_failed_demo_says_why(runs: Path, weights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights()
    monkeypatch.setattr(tasks, "look", lambda name: tasks.Task(False, "disk full: /x", "disk full: /x"))
    at = page()
    assert "disk full" in at.error[0].value
    assert not at.button("demo_make").disabled
