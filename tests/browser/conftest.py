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

PROJECTOR = {"width": 1280, "height": 720}
REQUIRED = os.environ.get("COVIDVIZ_REQUIRE_BROWSER") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a profile, as a person has; without one the tests are skipped, or fail where
    COVIDVIZ_REQUIRE_BROWSER=1.

    The profile keeps what scripts were compiled to: a private window compiles Streamlit's anew for each page, which
    took half of the browser's time.
    """
    path = find_chromium()
    if path is None and REQUIRED:
        pytest.fail("no Chromium found, and COVIDVIZ_REQUIRE_BROWSER=1 asks for the browser tests")
    if path is None:
        pytest.skip("no Chromium found")
    with sync_playwright() as playwright:
        profile = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=path, viewport=PROJECTOR
        )
        yield profile
        profile.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running app with empty folders."""
    app = Server(tmp_path_factory.mktemp("app"))
    app.start()
    yield app
    app.end()


@pytest.fixture
def open_tab(chromium: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tab]]:
    """Makes tabs of a `viewport` and `color_scheme`; with `private` options (as Playwright's `new_context`) each is a
    window without the profile.

    With COVIDVIZ_SHOTS=FOLDER each tab leaves a picture of how it looked at the end.
    """
    expect.set_options(timeout=PATIENCE_MS)
    contexts, tabs = [], []

    def make(viewport: Any = PROJECTOR, color_scheme: str | None = None, **private: Any) -> Tab:
        context = chromium
        if private:
            context = chromium.browser.new_context(**private)
            contexts.append(context)
        page = context.new_page()
        page.set_viewport_size(viewport)
        if color_scheme:
            page.emulate_media(color_scheme=color_scheme)
        tabs.append(Tab(page, server))
        return tabs[-1]

    yield make
    if folder := os.environ.get("COVIDVIZ_SHOTS"):
        for k, tab in enumerate(tabs):
            if not tab.page.is_closed():
                tab.page.screenshot(path=Path(folder) / f"{request.node.name}-{k}.png")
    forget(chromium, server)
    for page in chromium.pages[1:]:
        page.close()
    for context in contexts:
        context.close()
    faults = [fault for tab in tabs for fault in tab.faults]
    assert not faults, faults


def forget(profile: Any, server: Server) -> None:
    """What pages have kept in the browser."""
    session = profile.new_cdp_session(profile.pages[0])
    kept = {"origin": server.url, "storageTypes": "cookies,local_storage"}
    session.send("Storage.clearDataForOrigin", kept)
    session.detach()


@pytest.fixture
def tab(open_tab: Callable[..., Tab]) -> Tab:
    """One tab at projector size."""
    return open_tab()
