"""The Predict page: what it draws, what the routes take and leave, what is said of an image, and the table."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.errors import CovidvizError, InputError
from covidviz.jobs import compute
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.thresholds import Chosen, save_thresholds
from covidviz.ui import lab_answers, nav, predict_answers, predict_page, predict_words, routes
from covidviz.ui.predict_table import table
from covidviz.ui.predict_words import hint, twin
from covidviz.ui.routes import ROUTES

Event = dict[str, Any]
MAIN = nav.PAGES.parent / "covidviz" / "ui" / "main.py"
VECTOR = base64.b64encode(b"\0" * 8).decode()


class FakeWorker:
    """Answers with given events, and looks at the upload while it is there."""

    def __init__(self) -> None:
        self.events: list[Event] = [{"event": "done", "prob": [0.2, 0.7, 0.1]}]
        self.asked: list[dict[str, Any]] = []
        self.content: list[bytes] = []
        self.fails = ""

    def warm(self) -> None: ...

    def ask(self, kind: str, session: str, deliver: Callable[[Event], object], **request: Any) -> compute.Job:
        if self.fails:
            raise CovidvizError(self.fails)
        self.asked.append({"kind": kind, "session": session, **request})
        if "path" in request:
            self.content.append(Path(request["path"]).read_bytes())
        job = compute.Job(lambda: None, deliver)
        for event in self.events:
            compute._deliver(job, dict(event))
        return job


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeWorker:
    one = FakeWorker()
    monkeypatch.setattr(predict_answers, "worker", lambda: one)
    monkeypatch.setattr(predict_page, "worker", lambda: one)
    (tmp_path / "uploads").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "uploads"))
    return one


@pytest.fixture
def client(fake: FakeWorker) -> TestClient:
    return TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1")


@pytest.fixture
def run(runs: Path) -> Run:
    folder = write_synthetic_run(runs, 1, artefacts=True, name="a *run*")
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / layout.BEST).write_bytes(b"weights")
    return Run(folder)


def post(client: TestClient, run: Run | str, what: str, body: bytes | dict[str, Any], **headers: str) -> Any:
    name = run if isinstance(run, str) else run.id
    own = {"X-Covidviz-Token": lab_answers.token(), "X-Covidviz-Session": "s1", **headers}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/predicting/{name}/{what}", content=content, headers=own)


def lines(response: Any) -> list[Event]:
    assert response.status_code == 200
    return [json.loads(line) for line in response.text.splitlines()]


def left(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "uploads").iterdir()]


# --- the page


def test_an_example_of_each_class_is_offered_that_was_not_learned_from(run: Run) -> None:
    samples = run.samples()
    found = predict_page.examples(run, ["covid19", "normal", "pneumonia", "gone"])
    ids = [one["url"].removeprefix(f"/img/{run.id}/").removesuffix(".f.webp") for one in found]
    rows = samples.set_index("sample_id").loc[ids]
    assert set(rows["split"]) == {"test"}
    assert [rows[f"label_{name}"].iloc[k] for k, name in enumerate(("covid19", "normal", "pneumonia"))] == [1, 1, 1]
    samples[samples["split"] == "train"].to_parquet(run.dir / layout.SAMPLES)
    assert predict_page.examples(Run(run.dir), ["covid19"]) == []


def page(**query: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    for key, value in query.items():
        at.query_params[key] = value
    at.switch_page(nav.PREDICT).run()
    assert not at.exception
    return at


def component(at: AppTest) -> dict[str, Any] | None:
    found = [one.proto for one in at.get("bidi_component") if one.proto.id.endswith("-predict")]
    return json.loads(found[0].json) if found else None


def test_the_page_hands_over_the_run_and_its_saved_thresholds(run: Run, fake: FakeWorker) -> None:
    save_thresholds(run.dir, {"covid19": Chosen(0.3)})
    drawn = component(page(run=run.id))
    assert drawn is not None
    assert (drawn["run"], drawn["name"], drawn["multi"], drawn["side"]) == (run.id, "a *run*", False, 64)
    assert drawn["classes"] == ["covid19", "normal", "pneumonia"]
    assert drawn["thresholds"] == [0.3, None, None]
    assert drawn["token"] == lab_answers.token()
    assert drawn["limit_mb"] == 64


def test_without_runs_or_weights_it_says_what_is_missing(runs: Path, fake: FakeWorker) -> None:
    assert "There are no runs yet" in page().info[0].value
    for k, (state, said) in enumerate((
        ("queued", "not started"), ("running", "first epoch"), ("failed", "failed"), ("stopped", "no weights"),
        ("completed", "no weights"),
    )):  # fmt: skip
        folder = write_synthetic_run(runs, k, state, name=state)
        at = page(run=folder.name)
        assert said in at.info[0].value.replace("\\", "")
        assert component(at) is None


# --- the routes


def test_an_image_is_there_while_it_is_looked_at_and_gone_after(
    client: TestClient, run: Run, fake: FakeWorker, tmp_path: Path
) -> None:
    fake.events.insert(0, {"event": "progress", "what": "loading the network", "done": 0, "total": 0})
    queued, progress, done = lines(post(client, run, "image", b"an image"))
    assert (queued["event"], progress["event"], done["event"]) == ("queued", "progress", "done")
    assert done["called"] == [1]
    assert fake.content == [b"an image"]
    asked = fake.asked[0]
    assert (asked["kind"], asked["session"], asked["run_dir"]) == ("predict", "s1", str(run.dir))
    assert Path(asked["path"]).is_relative_to(tmp_path / "uploads")
    assert left(tmp_path) == []
    post(client, run, "image?dicom=1", b"an image")
    assert [Path(one["path"]).suffix for one in fake.asked] == ["", ".dcm"]


def test_saved_thresholds_decide(client: TestClient, run: Run) -> None:
    save_thresholds(run.dir, {"covid19": Chosen(0.2)})
    assert lines(post(client, run, "image", b"x"))[-1]["called"] == [0]
    save_thresholds(run.dir, {name: Chosen(0.9) for name in ("covid19", "normal", "pneumonia")})
    assert lines(post(client, run, "image", b"x"))[-1]["called"] == []


@pytest.mark.parametrize("prob", [[None, 0.1, 0.2], [0.5, 0.5]])
def test_probabilities_that_are_none_decide_nothing(
    client: TestClient, run: Run, fake: FakeWorker, prob: list[float | None]
) -> None:
    fake.events = [{"event": "done", "prob": prob}]
    assert lines(post(client, run, "image", b"x"))[-1]["called"] == []


@pytest.mark.parametrize(
    "headers", [{"X-Covidviz-Token": "guessed"}, {"X-Covidviz-Session": "../x"}, {"Host": "evil.example"}]
)
def test_only_this_page_may_ask(
    client: TestClient, run: Run, fake: FakeWorker, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes.st, "get_option", lambda name: ["127.0.0.1"] if name == "server.allowedHosts" else 64)
    for what in ("image", "near", "csv"):
        assert post(client, run, what, b"{}", **headers).status_code == 403
    assert not fake.asked
    assert client.get(f"/predicting/{run.id}/image").status_code == 405


def test_what_is_no_run_or_no_question_is_refused(client: TestClient, run: Run, fake: FakeWorker) -> None:
    assert post(client, "20200101-000000-gone-0000", "image", b"x").status_code == 404
    assert post(client, "..%2F..", "image", b"x").status_code == 404
    assert post(client, run, "other", b"x").status_code == 400
    assert "vectors" in lines(post(client, run, "near", b"no JSON"))[-1]["message"]
    assert "vectors" in lines(post(client, run, "near", {"rows": 1}))[-1]["message"]
    assert post(client, run, "csv", b"[]").status_code == 400
    assert not fake.asked


def test_too_large_is_refused_whatever_the_head_says(
    client: TestClient, run: Run, fake: FakeWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes.st, "get_option", lambda name: 1 if name == "server.maxUploadSize" else [])
    assert post(client, run, "image", b"x" * 1_000_001).status_code == 413

    def chunks() -> Any:
        yield b"x"

    own = {"X-Covidviz-Token": lab_answers.token(), "X-Covidviz-Session": "s1"}
    assert client.post(f"/predicting/{run.id}/image", content=chunks(), headers=own).status_code == 400

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    with pytest.raises(InputError, match="larger than 1 MB"):
        asyncio.run(predict_answers.received(endless(), dicom=False, limit=1_000_000))
    assert left(tmp_path) == []
    assert not fake.asked


def test_errors_come_as_lines_and_leave_nothing(client: TestClient, run: Run, fake: FakeWorker, tmp_path: Path) -> None:
    fake.events = [{"event": "error", "message": "no image"}]
    assert lines(post(client, run, "image", b"x"))[-1] == {"event": "error", "message": "no image"}
    fake.events = [{"event": "error", "message": compute.DIED}]
    assert lines(post(client, run, "image", b"x"))[-1]["worker"] is True
    fake.fails = "the compute worker can't be started"
    assert lines(post(client, run, "image", b"x"))[-1] == {"event": "error", "message": fake.fails}
    assert left(tmp_path) == []


def test_uploads_wait_for_room_and_old_ones_are_swept(fake: FakeWorker, tmp_path: Path) -> None:
    async def one(content: bytes) -> AsyncIterator[bytes]:
        yield content

    async def many() -> None:
        most = [
            await predict_answers.received(one(b"x"), dicom=False, limit=9) for _ in range(predict_answers.MOST_UPLOADS)
        ]
        waits = asyncio.ensure_future(predict_answers.received(one(b"y"), dicom=False, limit=9))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waits.done()
        assert len(left(tmp_path)) == len(most) + 1  # the new one
        most[0].close()
        (await waits).close()
        for upload in most:
            upload.close()

    old, new = (tmp_path / "uploads" / f"{predict_answers.PREFIX}{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    asyncio.run(many())
    assert left(tmp_path) == [new.name]


def test_near_comes_with_words_and_pictures(client: TestClient, run: Run, fake: FakeWorker) -> None:
    ids = run.samples()["sample_id"].tolist()
    nearest = [{"sample_id": name, "labels": ["normal"], "distance": 0.1} for name in ids[:2]]
    answer = {"nearest": nearest, "distance": 0.1, "nearer": 100, "beyond": 3.0, "twin": 0.5}
    fake.events = [{"event": "done", "of": 100, "answers": [answer, {**answer, "twin": 0.01, "beyond": None}]}]
    done = lines(post(client, run, "near", {"vectors": [VECTOR, VECTOR]}))[-1]
    assert fake.asked == [{"kind": "near", "session": "s1", "run_dir": str(run.dir), "vectors": [VECTOR, VECTOR]}]
    first, second = done["answers"]
    assert (first["level"], first["twin"]) == ("alien", "")
    assert second["level"] == "unlike"
    assert second["twin"]
    assert second["hint"].startswith("Apart from that one: unlike")
    assert [one["v"] for one in first["nearest"]] == [None, None]  # these images are invented


# --- words


@pytest.mark.parametrize(
    ("nearer", "of", "beyond", "level", "said"),
    [
        (18, 18, 9.0, "unknown", "(18)"),
        (0, 100, 0.2, "usual", "all 100 of them"),
        (95, 100, 0.9, "usual", "5 % of them"),
        (96, 100, 0.9, "unusual", "96 % of the"),
        (98, 100, 0.9, "unusual", "98 %"),
        (99, 100, 1.0, "unusual", "99 %"),
        (100, 100, 1.4, "unlike", "all 100 of"),
        (2997, 3000, 0.9, "unlike", "99 %"),  # not rounded to all
        (19, 19, 1.2, "unusual", "all 19"),  # one of 20 such images would be the farthest
        (322, 322, 1.5, "alien", "1.5 times"),
        (322, 322, float("nan"), "unlike", "all 322"),
        (321, 322, 1.5, "unlike", "99 %"),
    ],
)
def test_words_follow_the_numbers(nearer: int, of: int, beyond: float, level: str, said: str) -> None:
    found = hint(nearer, of, beyond)
    assert found.level == level
    assert said in found.text


def test_of_images_of_the_same_kind_few_are_called_unlike() -> None:
    """Wherever a new image would rank among 999 of its kind: 1 % and 5 %, not more."""
    levels = [hint(nearer, 999, 1.0).level for nearer in range(1000)]
    assert levels.count("unlike") == 10
    assert levels.count("unusual") == 40


def test_a_twin_is_told_by_its_distance() -> None:
    assert "Training had this picture" in twin(predict_words.TWIN)
    assert twin(predict_words.TWIN * 1.01) == twin(float("nan")) == ""


# --- the table


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_the_table_has_a_line_for_each_image(run: Run) -> None:
    answer = {"nearest": [{"sample_id": "ab12", "labels": ["normal"], "distance": 0.25}], "distance": 0.3, "nearer": 90,
              "of": 100, "hint": "Usual.", "twin": ""}  # fmt: skip
    rows = [
        {
            "name": "one.png",
            "prob": [0.2, 0.7, 0.1],
            "called": [1],
            "remarks": ["small"],
            "answer": answer,
            "error": "",
        },
        {"name": "two.png", "error": "no image, really"},
        {"name": "three.png", "prob": [None, 1, 0], "called": [], "answer": None, "error": ""},
    ]
    one, two, three = read(table(run, json.dumps({"rows": rows}).encode()))
    assert one == {
        "file": "one.png", "called": "normal", "prob_covid19": "0.2", "prob_normal": "0.7", "prob_pneumonia": "0.1",
        "distance_to_training": "0.3", "share_of_validation_nearer": "0.9", "hint": "Usual.",
        "nearest_training_image": "ab12", "nearest_labels": "normal", "nearest_distance": "0.25", "note": "small",
        "run": run.id,
    }  # fmt: skip
    assert (two["file"], two["note"], two["prob_normal"]) == ("two.png", "no image, really", "")
    assert (three["prob_covid19"], three["prob_normal"], three["called"]) == ("", "1.0", "")


@pytest.mark.parametrize(
    "name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", '=cmd|" /C calc"!A0', "-"]
)
def test_no_cell_is_a_formula(runs: Path, name: str) -> None:
    folder = write_synthetic_run(runs, 1, classes=(name, "other"), critical_class=None)
    rows = [{"name": name, "prob": [1, 0], "called": [0], "remarks": [name], "error": name}]
    content = table(Run(folder), json.dumps({"rows": rows}).encode())
    for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")):
        assert not [cell for cell in line if cell.strip().startswith(("=", "+", "-", "@", "\uff1d"))]


@pytest.mark.parametrize("rows", [None, 7, [7], "text", [None], [["a", "b", "c"]]])
def test_rows_that_are_none_are_refused(run: Run, rows: object) -> None:
    with pytest.raises(InputError, match="rows"):
        table(run, json.dumps({"rows": rows}).encode())


def test_rows_of_wrong_types_do_no_harm(run: Run) -> None:
    row = {"name": ["x" * 5000], "prob": "abc", "called": [9, "x", -1, None], "answer": [1], "remarks": {"a": 1}}
    [one] = read(table(run, json.dumps({"rows": [row]}).encode()))
    assert len(one["file"]) <= 1001
    assert one["called"] == ""


def test_there_is_a_limit(run: Run) -> None:
    with pytest.raises(InputError, match="at most 10,000"):
        table(run, json.dumps({"rows": [{}] * 10_001}).encode())
