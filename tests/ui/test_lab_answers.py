"""POST /lab: who may ask, what comes back line by line, and that nobody computes for a browser that is gone."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from explored import make_dataset
from starlette.applications import Starlette
from starlette.testclient import TestClient

from covidviz.data.manifest import load_manifest
from covidviz.jobs import compute
from covidviz.ui import lab_answers, routes
from covidviz.ui.routes import ROUTES

Event = dict[str, Any]


class FakeWorker:
    """Answers with given events; without an end the job stays open until it is cancelled."""

    def __init__(self) -> None:
        self.events: list[Event] = [{"event": "done"}]
        self.asked: list[dict[str, Any]] = []
        self.cancelled = 0

    def ask(self, kind: str, session: str, deliver: Callable[[Event], object], **request: Any) -> compute.Job:
        self.asked.append({"kind": kind, "session": session, **request})
        job = compute.Job(self._cancel, deliver)
        for event in self.events:
            compute._deliver(job, dict(event))
        return job

    def _cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeWorker:
    one = FakeWorker()
    monkeypatch.setattr(lab_answers, "worker", lambda: one)
    return one


@pytest.fixture
def client(runs: Path) -> TestClient:
    lab_answers._dataset.cache_clear()
    return TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise", 36)


def body(data: Path | str, kind: str = "lab", **more: Any) -> dict[str, Any]:
    config = {"data": str(data), "weights": "none", "image_size": 64, "head": "8", "epochs": 2, "device": "cpu"}
    config |= more.pop("config", {})
    return {"token": lab_answers.token(), "session": "s1", "kind": kind, "config": config, **more}


def lines(response: Any) -> list[Event]:
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["cache-control"] == "no-store"
    return [json.loads(line) for line in response.text.splitlines()]


def test_the_config_arrives_resolved_and_the_events_come_back(client: TestClient, fake: FakeWorker, data: Path) -> None:
    fake.events = [{"event": "epoch", "epoch": 1}, {"event": "done", "prob": [[0.1, 0.9]]}]
    events = lines(client.post("/lab", json=body(data)))
    assert events == [{"event": "queued"}, *fake.events]
    asked = fake.asked[0]
    assert (asked["kind"], asked["session"]) == ("lab", "s1")
    assert asked["config"]["classes"] == ["covid19", "normal", "pneumonia"]
    assert asked["config"]["loss"] == "cross_entropy"
    assert asked["config"]["critical_class"] == "covid19"
    assert fake.cancelled == 0


def test_a_sweep_brings_its_own_fields_and_nothing_else(client: TestClient, fake: FakeWorker, data: Path) -> None:
    more = {"field": "lr", "values": [0.1, 0.2], "id": 7, "background": False, "version": "x"}
    lines(client.post("/lab", json=body(data, "sweep", **more)))
    asked = fake.asked[0]
    assert (asked["field"], asked["values"]) == ("lr", [0.1, 0.2])
    assert "background" not in asked
    assert asked["version"] != "x"


def test_another_version_after_the_dataset_changed(client: TestClient, fake: FakeWorker, data: Path) -> None:
    lines(client.post("/lab", json=body(data)))
    table = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(table[:-1]) + "\n")
    lab_answers._dataset.cache_clear()  # as time does
    lines(client.post("/lab", json=body(data)))
    first, second = fake.asked
    assert first["version"] != second["version"]


def test_pictures_of_the_validation_split_are_offered_with_open(
    client: TestClient, fake: FakeWorker, data: Path
) -> None:
    samples = load_manifest(data).samples
    done = lines(client.post("/lab", json=body(data, "open")))[-1]
    assert done["root"] == str(data)
    for split, status in (("val", 200), ("train", 404)):
        for name in samples.loc[samples["split"] == split, "sample_id"]:
            assert client.get(f"/dataset/{done['word']}/{name}.webp").status_code == status


def test_without_the_token_nothing_is_asked(
    client: TestClient, fake: FakeWorker, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("", "x" * 43, None, 7, [], "é", "\ud800"):
        raw = json.dumps({**body(data), "token": given})
        assert client.post("/lab", content=raw.encode()).status_code in (400, 403)
    without = {key: value for key, value in body(data).items() if key != "token"}
    assert client.post("/lab", json=without).status_code == 403
    monkeypatch.setattr(routes.st, "get_option", lambda name: ["127.0.0.1"] if name == "server.allowedHosts" else None)
    rebound = TestClient(Starlette(routes=ROUTES), base_url="http://evil.example:8501")
    assert rebound.post("/lab", json=body(data)).status_code == 403
    assert not fake.asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"[" * 60_000, b'{"a":' * 9_000])
def test_bodies_that_are_none(client: TestClient, fake: FakeWorker, content: bytes) -> None:
    assert client.post("/lab", content=content).status_code == 400
    assert not fake.asked


def test_a_body_has_a_limit_and_a_session_a_form(client: TestClient, fake: FakeWorker, data: Path) -> None:
    assert client.post("/lab", json=body(data, extra="x" * 70_000)).status_code == 400
    for session in ("", "x" * 65, "a b", 7, None):
        assert client.post("/lab", json=body(data, session=session)).status_code == 400
    assert client.get("/lab").status_code == 405
    assert not fake.asked


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "dance"}, "kind: 'dance' given"),
    ({"config": {"lr": -1}}, "lr: -1 given"),
    ({"config": {"lr": "x" * 9_000}}, "lr: "),
    ({"config": {"nothing": 1}}, "nothing: no such setting"),
    ({"config": {"classes": "covid19,zebra"}}, "zebra"),
    ({"config": {"data": "gone"}}, "gone"),
    ({"config": {"data": "a\0b"}}, "no path may hold"),
    ({"config": {"data": "x" * 9_000}}, "x"),
    ({"config": {"monitor": "val_recall_zebra"}}, "zebra"),
    ({"config": {"weights": "/nowhere.pth"}}, "weights: '/nowhere.pth' is no file"),
]


@pytest.mark.parametrize(("more", "said"), BAD)
def test_what_cant_be_used_is_an_error_in_one_sentence(
    client: TestClient, fake: FakeWorker, data: Path, more: dict[str, Any], said: str
) -> None:
    events = lines(client.post("/lab", json=body(data, **more)))
    assert [event["event"] for event in events] == ["queued", "error"]
    assert said in events[1]["message"]
    assert len(events[1]["message"]) < 600
    assert not fake.asked


def test_a_config_that_is_none(client: TestClient, fake: FakeWorker) -> None:
    for config in (None, [], "x", 7):
        asked = {"token": lab_answers.token(), "session": "s", "kind": "lab", "config": config}
        assert lines(client.post("/lab", json=asked))[-1]["event"] == "error"


def test_datasets_outside_the_roots_are_refused_as_in_new_run(
    client: TestClient, fake: FakeWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = make_dataset(tmp_path / "elsewhere" / "mine", 18)
    address: list[str] = ["0.0.0.0"]
    monkeypatch.setattr(routes.st, "get_option", lambda name: address[0] if name == "server.address" else None)
    events = lines(client.post("/lab", json=body(elsewhere)))
    assert "not below a data folder" in events[-1]["message"]
    address[0] = "127.0.0.1"
    lab_answers._dataset.cache_clear()
    assert lines(client.post("/lab", json=body(elsewhere)))[-1]["event"] == "done"


def test_when_the_browser_goes_away_the_job_is_cancelled(fake: FakeWorker, data: Path, runs: Path) -> None:
    """Both ways in which a server tells: as a message (spec 2.3), and when it is looked for (2.4)."""
    raw = json.dumps(body(data)).encode()
    fake.events = [{"event": "epoch", "epoch": 1}]  # and no end

    async def visit(spec: str) -> list[bytes]:
        sent: list[bytes] = []
        left = asyncio.Event()
        bodies = [{"type": "http.request", "body": raw, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if bodies:
                return bodies.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if b'"epoch"' in sent[-1]:
                left.set()

        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": spec}, "method": "POST", "path": "/lab",
            "headers": [(b"host", b"127.0.0.1"), (b"content-length", str(len(raw)).encode())], "query_string": b"",
            "root_path": "", "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await Starlette(routes=ROUTES)(scope, receive, send)
        return sent

    for count, spec in enumerate(("2.3", "2.4"), start=1):
        sent = asyncio.run(asyncio.wait_for(visit(spec), 60))
        assert b'"queued"' in sent[1]
        assert fake.cancelled == count


def test_ctrl_c_does_not_wait_for_an_answer(
    client: TestClient, fake: FakeWorker, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real uvicorn, which is asked to end while an answer is open."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=ROUTES), port=0, log_level="error"))
    monkeypatch.setattr(signal, "getsignal", lambda number: server.handle_exit)
    thread = threading.Thread(target=server.run)  # no signals in a thread, so they are only looked at
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    fake.events = [{"event": "epoch", "epoch": 1}]  # and no end
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/lab", json.dumps(body(data)))
    response = connection.getresponse()
    assert [json.loads(response.readline())["event"] for _ in range(2)] == ["queued", "epoch"]
    server.handle_exit(signal.SIGINT, None)
    assert json.loads(response.readline()) == {"event": "error", "message": "the server was ended"}
    thread.join(60)
    assert not thread.is_alive()
    assert fake.cancelled == 1


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[compute.Worker]:
    one = compute.Worker()
    monkeypatch.setattr(lab_answers, "worker", lambda: one)
    yield one
    one.end()


def test_from_a_browser_to_the_worker_and_back(client: TestClient, real: compute.Worker, data: Path) -> None:
    opened = lines(client.post("/lab", json=body(data, "open")))
    assert [event["event"] for event in opened if event["event"] != "progress"] == ["queued", "done"]
    done = opened[-1]
    assert len(done["val"]["ids"]) == 12
    assert client.get(f"/dataset/{done['word']}/{done['val']['ids'][0]}.webp").status_code == 200
    trained = lines(client.post("/lab", json=body(data)))
    assert [event["event"] for event in trained] == ["queued", "epoch", "epoch", "done"]
    assert len(trained[-1]["prob"]) == 12
    refused = lines(client.post("/lab", json=body(data, config={"trainable": "all"})))
    assert "accepted in the lab" in refused[-1]["message"]
    shutil.rmtree(data)
    lab_answers._dataset.cache_clear()
    assert lines(client.post("/lab", json=body(data)))[-1]["event"] == "error"
