"""A real Chromium and a real server for each module, with folders of their own.

A page fails its test when it asks for anything that is not this server, or writes an error to the console.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import find_chromium
from driver import PATIENCE_MS, Server, Tab
from playwright.sync_api import expect, sync_playwright

REQUIRED = os.environ.get("COVIDVIZ_REQUIRE_BROWSER") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; without one the tests are skipped, or fail where COVIDVIZ_REQUIRE_BROWSER=1."""
    path = find_chromium()
    if path is None and REQUIRED:
        pytest.fail("no Chromium found, and COVIDVIZ_REQUIRE_BROWSER=1 asks for the browser tests")
    if path is None:
        pytest.skip("no Chromium found")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running app with empty folders."""
    app = Server(tmp_path_factory.mktemp("app"))
    app.start()
    yield app
    app.end()


@pytest.fixture
def open_tab(chromium: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tab]]:
    """Makes tabs, each in a browser context of its own (options as Playwright's `new_context`).

    With COVIDVIZ_SHOTS=FOLDER each tab leaves a picture of how it looked at the end.
    """
    expect.set_options(timeout=PATIENCE_MS)
    contexts, tabs = [], []

    def make(**options: Any) -> Tab:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        contexts.append(context)
        tabs.append(Tab(context.new_page(), server))
        return tabs[-1]

    yield make
    if folder := os.environ.get("COVIDVIZ_SHOTS"):
        for k, tab in enumerate(tabs):
            if not tab.page.is_closed():
                tab.page.screenshot(path=Path(folder) / f"{request.node.name}-{k}.png")
    for context in contexts:
        context.close()
    faults = [fault for tab in tabs for fault in tab.faults]
    assert not faults, faults


@pytest.fixture
def tab(open_tab: Callable[..., Tab]) -> Tab:
    """One tab at projector size."""
    return open_tab()
