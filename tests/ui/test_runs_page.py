"""The Runs page, full, empty, live and broken."""

from __future__ import annotations

import json
import re
import statistics
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.store import layout
from covidviz.store import runs as run_store
from covidviz.store.files import read_json
from covidviz.store.reader import Run
from covidviz.store.status import read_status
from covidviz.ui import announce, demo_start, nav, queries, runs_page, runs_table, tasks
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
    return list(at.dataframe[-1].value["name"]) if at.dataframe else []


def select(at: AppTest, *run_dirs: Path) -> AppTest:
    at.session_state[runs_table.SELECTED] = [run_dir.name for run_dir in run_dirs]
    return at.run()


def chosen(at: AppTest) -> str:
    """What the line above the table says is selected."""
    return next((found[1] for part in at.markdown if (found := re.match(r"\*\*(.*)\*\*", part.value))), "")


def click(at: AppTest, key: str) -> AppTest:
    at.button(key).click().run()
    assert not at.exception
    return at


def param(at: AppTest, key: str) -> list[str]:
    value = at.query_params[key]
    return [value] if isinstance(value, str) else list(value)


def enabled(at: AppTest) -> set[str]:
    """What the bar offers."""
    return {b.key.removeprefix("runs_do_") for b in at.button if (b.key or "").startswith("runs_do_")}


def open_popover(at: AppTest, key: str) -> AppTest:
    """AppTest can't open one; this is what the browser tells."""
    at.session_state[key] = True
    return at.run()


def test_all_runs_newest_first(runs: Path) -> None:
    for i in range(3):
        write_synthetic_run(runs, i)
    at = page()
    assert names(at) == ["synthetic 2", "synthetic 1", "synthetic 0"]
    row = at.dataframe[0].value.iloc[0]
    assert list(row["status"]) == ["✓ completed"]
    assert (row["network"], row["learns"], row["loss"], row["lr"]) == ("ResNet-18", "head", "Cross-entropy", 1e-3)
    assert 0.5 < row["best"] < 1
    assert row["curve"].max() == pytest.approx(row["best"], abs=1e-3)
    assert row["recall"].startswith("0.") and "–" in row["recall"]  # noqa: PT018
    assert [c.value for c in at.sidebar.caption] == ["For learning and research, never for clinical use."]


@pytest.mark.parametrize("state", ["queued", "running", "failed", "stopped", "lost"])
def test_every_state_has_its_word(runs: Path, state: str) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    at = page()
    assert state in at.dataframe[0].value["status"][0][0]
    select(at, run_dir)
    if state in ("failed", "lost"):
        assert at.dataframe[0].value["problem"][0] == read_status(run_dir).error


def test_a_broken_directory_is_a_row_with_its_reason(runs: Path) -> None:
    write_synthetic_run(runs, 1)
    for name, text in (("half", '{"state": "compl'), ("wrong", '{"state": "dancing"}'), ("list", "[]")):
        broken = runs / f"20260101-000000-{name}-dead"
        broken.mkdir()
        (broken / layout.STATUS).write_text(text)
    (runs / "20260101-000000-empty-dead").mkdir()
    (runs / "no run at all").mkdir()
    frame = page().dataframe[0].value
    states = [status[0] for status in frame["status"]]
    assert states == ["✓ completed", *["! broken"] * 4]
    assert all(frame["problem"][1:])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(runs: Path, name: str) -> None:
    run_dir = write_synthetic_run(runs, 1, name=name)
    at = select(page(), run_dir)
    assert names(at) == [name]
    assert any(f"**{md(shorten(name, 30))}**" in part.value for part in at.markdown)


def test_one_run_with_nothing_measured(runs: Path) -> None:
    write_synthetic_run(runs, 1, "queued")
    at = page()
    assert at.dataframe[0].value["best"].isna().all()


def test_search_and_states_filter(runs: Path) -> None:
    for i, state in enumerate(["completed", "failed", "completed", "stopped"]):
        write_synthetic_run(runs, i, state)
    at = page()
    at.text_input("runs_text").set_value("vgg 3").run()
    assert names(at) == ["synthetic 3"]
    at.text_input("runs_text").set_value("").run()
    at.button_group("runs_states").set_value(["failed", "stopped"]).run()
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
    at.button_group("runs_states").set_value([runs_table.ARCHIVED]).run()
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
     ("failed", {"open", "resume", "clone", "archive", "delete"}),
     ("running", {"open", "stop", "clone", "archive"}), ("lost", {"open", "resume", "clone", "archive", "delete"})],
)  # fmt: skip
def test_what_can_be_done_depends_on_the_state(runs: Path, state: str, can: set[str]) -> None:
    run_dir = write_synthetic_run(runs, 1, state)
    at = page()
    assert enabled(at) == set()
    assert enabled(select(at, run_dir)) == can


def test_several_at_once(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i) for i in range(3)]
    at = select(page(), *dirs[:2])
    assert enabled(at) == {"compare", "archive", "delete"}
    assert chosen(at) == "2 runs"
    click(at, "runs_do_compare")
    assert set(param(at, "runs")[0].split(",")) == {path.name for path in dirs[:2]}


def test_only_those_that_can_are_stopped_and_resumed(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i, state) for i, state in enumerate(("completed", "queued", "failed"))]
    at = select(page(), *dirs)
    assert at.button("runs_do_stop").label == "Stop 1"
    assert at.button("runs_do_resume").label == "Resume 1"
    click(at, "runs_do_stop")
    assert [read_status(path).state for path in dirs] == ["completed", "stopped", "failed"]


def test_tags_of_several_at_once(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i, tags=tags) for i, tags in enumerate((("a", "b"), ("b", "c"), ("d",)))]
    at = open_popover(select(page(), *dirs[:2]), "runs_do_tags")
    [field] = [field for field in at.multiselect if field.label.startswith("Tags of")]
    assert field.value == ["b"]
    assert set(field.options) == {"a", "b", "c", "d"}
    field.set_value(["d"])
    click(at, "runs_tags_save")
    assert [read_json(path / layout.NOTES)["tags"] for path in dirs] == [["a", "d"], ["c", "d"], ["d"]]  # type: ignore[index]


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
    queries.index().refresh()  # a page looks at the folder five times a second at most
    page()
    page()
    assert schedulers == [runs, runs]  # again, because a queued run is watched; not at every refresh


def edit(at: AppTest, run_dir: Path, **fields: str) -> AppTest:
    for field, text in fields.items():
        widget = at.text_area if field == "note" else at.text_input
        widget(f"runs_edit_{field}_{run_dir.name}").set_value(text)
    return click(at, f"runs_save_{run_dir.name}")


def test_edit_name_and_note(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0, tags=("kept",))
    at = open_popover(select(page(), run_dir), "runs_do_edit")
    edit(at, run_dir, name="another name", note="a note")
    notes = read_json(run_dir / layout.NOTES)
    assert notes == {"name": "another name", "tags": ["kept"], "note": "a note", "archived": False}
    assert names(at) == ["another name"]


def test_two_tabs_edit_the_same_note_and_neither_is_lost(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    one, two = (open_popover(select(page(), run_dir), "runs_do_edit") for _ in range(2))
    edit(one, run_dir, note="from the first")
    edit(two, run_dir, note="from the second")
    assert read_json(run_dir / layout.NOTES)["note"] == "from the first"  # type: ignore[index]
    assert "changed meanwhile" in two.warning[0].value
    assert "from the first" in [text.value for text in two.text]
    assert two.text_area(f"runs_edit_note_{run_dir.name}").value == "from the second"
    edit(two, run_dir)  # having seen it
    assert read_json(run_dir / layout.NOTES)["note"] == "from the second"  # type: ignore[index]
    assert not two.warning


def test_taking_what_the_other_tab_wrote(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    at = open_popover(select(page(), run_dir), "runs_do_edit")
    run_store.edit_notes(run_dir, note="theirs")
    edit(at, run_dir, name="renamed", note="mine")
    assert read_json(run_dir / layout.NOTES)["name"] == "synthetic 0"  # type: ignore[index]
    click(at, f"runs_edit_take_note_{run_dir.name}")
    assert at.text_area(f"runs_edit_note_{run_dir.name}").value == "theirs"
    edit(at, run_dir)
    notes = read_json(run_dir / layout.NOTES)
    assert notes is not None
    assert (notes["name"], notes["note"]) == ("renamed", "theirs")


def test_two_tabs_change_different_fields(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    one, two = (open_popover(select(page(), run_dir), "runs_do_edit") for _ in range(2))
    edit(one, run_dir, note="a note")
    edit(two, run_dir, name="a name")
    notes = read_json(run_dir / layout.NOTES)
    assert notes is not None
    assert (notes["name"], notes["note"]) == ("a name", "a note")


def test_clone_and_open_lead_to_their_pages(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    at = click(select(page(), run_dir), "runs_do_clone")
    assert at.query_params["clone"] == [run_dir.name] or at.query_params["clone"] == run_dir.name
    at = click(select(page(), run_dir), "runs_do_open")
    assert run_dir.name in at.query_params["run"]


def test_it_refreshes_itself_only_while_something_runs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every: dict[str, Any] = {}
    real = runs_page.st.fragment

    def fragment(f: Any, *, run_every: float | None = None) -> Any:
        every[f.__name__] = run_every
        return real(f, run_every=run_every)

    monkeypatch.setattr(runs_page.st, "fragment", fragment)
    run_dir = write_synthetic_run(runs, 0, "running")
    at = page()
    assert every == {"_board": None, "_rows": runs_page.REFRESH_S, "_tick": announce.EVERY_S}
    finish(run_dir)
    at.run()
    assert every == {"_board": None, "_rows": None, "_tick": None}


def finish(run_dir: Path, **status: Any) -> None:
    old = json.loads((run_dir / layout.STATUS).read_text())
    (run_dir / layout.STATUS).write_text(json.dumps({**old, "state": "completed", **status}))
    queries.index().refresh()


def test_an_ended_run_is_said_once(runs: Path) -> None:
    good, bad = (write_synthetic_run(runs, i, "running", name=f"run **{i}**") for i in range(2))
    at = page()
    assert not at.toast
    finish(good)
    at.run()
    assert [toast.value for toast in at.toast] == [md("run **0** is trained")]
    finish(bad, state="failed", error="disk full")
    at.run()
    assert [toast.value for toast in at.toast] == [md("run **1** failed: disk full")]
    assert not at.run().toast
    assert not page().toast  # another session, which never saw them run


def test_filters_offer_what_differs_and_live_in_the_link(runs: Path) -> None:
    for i, (loss, lr, gamma) in enumerate((("focal", 0.1, 1), ("focal", 0.01, 2), ("cross_entropy", 0.01, 3))):
        write_synthetic_run(runs, i, model="resnet18", loss=loss, lr=lr, focal_gamma=gamma, seed=0, tags=())
    at = page()
    offered = {group.label: list(group.options) for group in at.button_group}
    assert {"Loss", "Learning rate"} < set(offered)
    assert not {"Network", "Seed"} & set(offered)
    assert offered["Loss"] == [f"{md('Focal')} (2)", f"{md('Cross-entropy')} (1)"]
    assert len(offered["Focal gamma"]) == 2, "gamma of a run without focal loss means nothing"
    at.button_group("runs_is_loss").set_value(["Focal"]).run()
    at.button_group("runs_is_lr").set_value(["0.01"]).run()
    assert names(at) == ["synthetic 1"]
    assert set(param(at, "is")) == {"loss:Focal", "lr:0.01"}
    again = AppTest.from_file(str(MAIN), default_timeout=60)
    again.query_params["is"] = ["loss:Focal", "lr:0.01"]
    assert names(again.run()) == ["synthetic 1"]
    click(again, "runs_drop_lr")
    assert names(again) == ["synthetic 1", "synthetic 0"]
    click(again, "runs_clear")
    assert len(names(again)) == 3


@pytest.mark.parametrize(
    "link",
    [{"is": ["x:y", "loss", "<b>:c"], "metric": "../../x", "by": "<script>", "cols": "a,b"},
     {"state": ["humming"], "q": "![](http://evil.test/x)"}, {"by": "loss", "is": ["loss:nothing"]}],
)  # fmt: skip
def test_a_link_to_nothing_is_a_clear_page(runs: Path, link: dict[str, Any]) -> None:
    write_synthetic_run(runs, 0)
    write_synthetic_run(runs, 1)
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    for key, value in link.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    assert any("No run matches" in caption.value for caption in at.caption)
    click(at, "runs_clear")
    assert len(names(at)) == 2


def test_the_metric_can_be_chosen(runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 0)
    at = page()
    at.selectbox("runs_metric").set_value("loss").run()
    metrics = Run(run_dir).metrics()
    loss = metrics[metrics["split"] == "val"].set_index("epoch")["loss"]
    row = at.dataframe[0].value.iloc[0]
    assert (row["best"], row["epoch"]) == (loss.min(), loss.idxmin())
    assert param(at, "metric") == ["loss"]


def test_columns_are_chosen_and_remembered(runs: Path) -> None:
    write_synthetic_run(runs, 0, seed=7)
    at = page()
    assert "seed" not in at.dataframe[0].value
    at.button_group("runs_columns").set_value(["seed", "best"]).run()
    assert list(at.dataframe[0].value.columns) == ["status", "name", "best", "seed"]
    assert at.dataframe[0].value["seed"][0] == "7"
    assert param(at, "cols") == ["seed,best"]
    click(at, "runs_usual_columns")
    assert "curve" in at.dataframe[0].value


def test_groups_say_how_the_metric_is_spread_and_lead_to_their_runs(runs: Path) -> None:
    for i in range(6):
        write_synthetic_run(runs, i, model=("resnet18", "vgg16")[i % 2])
    write_synthetic_run(runs, 6, "queued", model="vgg16")
    at = page()
    best = dict(zip(names(at), at.dataframe[0].value["best"], strict=True))
    at.selectbox("runs_group").set_value("model").run()
    group = at.dataframe[0].value.set_index("value").loc["ResNet-18"]
    values = [best[f"synthetic {i}"] for i in (0, 2, 4)]
    assert group["runs"] == 3
    assert group["mean"] == pytest.approx(statistics.fmean(values))
    assert group["spread"] == f"± {statistics.stdev(values):.3f}"
    assert group["best"] == max(values)
    assert sum(group["where"]) == 3
    assert list(at.dataframe[0].value["runs"]) == [4, 3]
    at.button_group("runs_is_model").set_value(["VGG-16"]).run()
    assert len(names(at)) == 4
    assert list(at.dataframe[0].value["runs"]) == [4, 3], "one can go on to another group"


def test_what_was_asked_for_is_there_again_after_another_page(runs: Path) -> None:
    for i in range(3):
        write_synthetic_run(runs, i)
    at = page()
    at.text_input("runs_text").set_value("resnet").run()
    at.switch_page(nav.NEW_RUN).run()
    at.query_params.clear()
    at.switch_page(nav.RUNS).run()
    assert names(at) == ["synthetic 2", "synthetic 0"]
    assert param(at, "q") == ["resnet"]


def test_undo_survives_a_change_of_page_and_goes_back_step_by_step(runs: Path) -> None:
    dirs = [write_synthetic_run(runs, i) for i in range(4)]
    at = click(select(page(), dirs[0]), "runs_do_delete")
    click(select(at, *dirs[1:3]), "runs_do_delete")
    at.switch_page(nav.NEW_RUN).run()
    at.switch_page(nav.RUNS).run()
    assert any("Deleted 2 runs." in part.value for part in at.markdown)
    click(at, "runs_undo")
    assert len(names(at)) == 3
    click(at, "runs_undo")
    assert len(names(at)) == 4


def test_a_thousand_runs(runs: Path) -> None:
    """How long that takes is measured by `python -m benchmarks.runs_page`."""
    for i in range(1000):
        write_synthetic_run(runs, i, ("completed", "failed", "stopped")[i % 3], epochs=1)
    at = page()
    assert len(names(at)) == 1000
    assert len(names(at.run())) == 1000


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
