"""The app as a process, and a browser tab that watches over itself: what the browser tests drive."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from covidviz.paths import PROJECT
from covidviz.store.reader import Run
from covidviz.store.runs import list_run_dirs

LOCAL = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:")
# Streamlit looks for its server below the page's path first; it is not there.
HARMLESS = re.compile(r"/_stcore/(health|host-config)$")
IDLE = """() => { const app = document.querySelector('[data-testid="stApp"]');
  return app && app.dataset.testScriptState === 'notRunning' && app.dataset.testConnectionState === 'CONNECTED'
    && !document.querySelector('[data-testid="stSkeleton"],[data-stale="true"]') }"""
PATIENCE_MS = 60_000


@dataclass
class Server:
    """The app on a port of its own. `runs`, `data` and `cache` are its folders."""

    root: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def __post_init__(self) -> None:
        for folder in (self.runs, self.data, self.cache):
            folder.mkdir(parents=True)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def start(self) -> None:
        if not self.url:
            with socket.socket() as one:
                one.bind(("127.0.0.1", 0))
                self.url = f"http://127.0.0.1:{one.getsockname()[1]}"
        environment = {
            **os.environ,
            "COVIDVIZ_RUNS_DIR": str(self.runs),
            "COVIDVIZ_DATA_DIR": str(self.data),
            "COVIDVIZ_DATA_ROOTS": "",
            "COVIDVIZ_CACHE_DIR": str(self.cache),
            "OMP_NUM_THREADS": "1",  # threads of small trainings wait for each other longer than they work
        }
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless", "true"]
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--server.port", self.url.rpartition(":")[2], "--server.fileWatcherType", "none"],
                cwd=PROJECT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.wait_until(self.healthy, "the server did not start")

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def end(self) -> None:
        """The server and the trainings it started; the scheduler ends when its folder is gone."""
        self.stop()
        for path in list_run_dirs(self.runs):
            status = Run(path).status()
            if status.state == "running" and status.pid not in (None, os.getpid()):  # ours: a run written by a test
                with contextlib.suppress(ProcessLookupError):
                    os.kill(status.pid, signal.SIGKILL)
        shutil.rmtree(self.runs, ignore_errors=True)

    def run(self, run_id: str) -> Run:
        return Run(self.runs / run_id)

    def wait_until(self, true: Callable[[], bool], otherwise: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                log = (self.root / "server.log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{otherwise}\n{log}")
            time.sleep(0.1)


@dataclass
class Tab:
    """A browser tab and what it did: `frames` counts the messages that it sent over the websocket."""

    page: Any
    server: Server
    frames: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: None if LOCAL.match(request.url) else self.faults.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._console)
        page.on("websocket", lambda socket: socket.on("framesent", self._sent))

    def _console(self, message: Any) -> None:
        if message.type == "error" and not HARMLESS.search(message.location.get("url", "")):
            self.faults.append(f"{message.text} ({message.location.get('url', '')})")

    def _sent(self, _: Any) -> None:
        self.frames += 1

    def open(self, path: str) -> None:
        self.page.goto(self.server.url + path)
        self.idle()

    def idle(self) -> None:
        self.page.wait_for_function(IDLE)

    def button(self, key: str) -> Any:
        return self.page.locator(f".st-key-{key} button:visible").first

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.page.url).query))

    def overflows(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def severe(self, *rules: str) -> list[str]:
        """What axe-core finds serious or critical, in words; of these rules only, where some are named."""
        from axe_playwright_python.sync_playwright import Axe  # here: benchmarks drive the app without it

        # `preload` would fetch every style sheet again, for rules on video and orientation; it took most of the time.
        only = {"runOnly": list(rules)} if rules else {}
        answer = Axe().run(self.page, options={"preload": False, "resultTypes": ["violations"], **only}).response
        assert len(answer["passes"]) > (0 if rules else 10), "axe looked at nothing"
        return [
            f"{one['id']}: {' '.join(map(str, node['target']))}: {node['html'][:200]} {node['failureSummary']}"
            for one in answer["violations"] if one["impact"] in ("serious", "critical") for node in one["nodes"]
        ]  # fmt: skip
