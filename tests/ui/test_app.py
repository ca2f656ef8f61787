"""The app as a whole: the launcher, its settings, what it may not import, and the URL's run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from synthetic import write_synthetic_run

from covidviz.paths import PROJECT
from covidviz.ui import nav, state
from covidviz.ui.state import known_run

PAGES = sorted(nav.PAGES.glob("*.py"))
OPEN = """
import sys
from streamlit.testing.v1 import AppTest
main, *pages = sys.argv[1:]
for page in pages:
    at = AppTest.from_file(main, default_timeout=60)
    at.switch_page(page).run()
    assert not at.exception, (page, at.exception)
    heavy = [name for name in ("torch", "torchvision", "sklearn", "matplotlib") if name in sys.modules]
    assert not heavy, (page, heavy)
print(len(pages), "opened")
"""


def test_no_page_imports_torch(runs: Path) -> None:
    write_synthetic_run(runs, 1, artefacts=True)
    command = [sys.executable, "-c", OPEN, str(PROJECT / "covidviz" / "ui" / "main.py"), *map(str, PAGES)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"{len(PAGES)} opened", done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_pages_hold_no_logic(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 50


def test_the_launcher_only_launches() -> None:
    text = (PROJECT / "streamlit_app.py").read_text()
    assert 'st.App("covidviz/ui/main.py"' in text
    assert len(text.splitlines()) < 15


def test_the_server_is_closed_and_quiet_by_default() -> None:
    config = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert set(config["server"]["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert config["browser"]["gatherUsageStats"] is False
    assert config["client"]["showErrorDetails"] == "none"
    assert config["runner"] == {"postScriptGC": False, "magicEnabled": False}
    assert {"light", "dark"} <= set(config["theme"])


def test_no_asset_reaches_outside() -> None:
    for file in [*nav.ASSETS.iterdir(), PROJECT / ".streamlit" / "config.toml"]:
        outside = re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", file.read_text())
        assert "http" not in outside, file
        assert "url(" not in outside.replace("url(#", ""), file


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(theme: str) -> None:
    colors = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text())["theme"][theme]
    for back in ("backgroundColor", "secondaryBackgroundColor"):
        assert _contrast(colors["textColor"], colors[back]) > 10
        assert _contrast(colors["primaryColor"], colors[back]) > 4.5
        assert _contrast(colors["linkColor"], colors[back]) > 4.5
    for name, back in colors.items():
        if name.endswith("BackgroundColor") and name[:3] not in ("sec", "dat", "cod"):
            assert _contrast(colors["textColor"], back) > 7, name
    # What app.css puts on primary buttons.
    light, dark = re.search(r"light-dark\((#\w+), (#\w+)\)", nav.STYLE.read_text()).groups()  # type: ignore[union-attr]
    on_button = "#ffffff" if theme == "light" and light == "#fff" else dark
    assert _contrast(on_button, colors["primaryColor"]) > 4.5


@pytest.mark.parametrize("text", [None, "", "..", "../runs", "/etc", "20260101-000000-x-0000", "a" * 500, "x\0y", 7])
def test_only_an_existing_run_is_a_run(runs: Path, text: object) -> None:
    (runs / ".trash").mkdir()
    assert known_run(text) is None


def test_the_urls_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = write_synthetic_run(runs, 1)
    asked = {"run": run_dir.name, "cell": "0-1", "img": "abc", "split": "val", "other": "x"}
    monkeypatch.setattr(state.st, "query_params", asked)
    assert state.current_run() == run_dir.name
    assert state.get("split", ("train", "val")) == "val"
    assert state.get("split", ("train",), "train") == "train"
    assert state.params(img=None, order="worst") == {
        "run": run_dir.name, "cell": "0-1", "split": "val", "order": "worst",
    }  # fmt: skip


def test_another_run_drops_what_belonged_to_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Url(dict[str, str]):
        written: dict[str, str]

        def from_dict(self, values: dict[str, str]) -> None:
            self.written = values

    url = Url(run="a", cell="0-1", img="x", split="val")
    monkeypatch.setattr(state.st, "query_params", url)
    state.link(run="b")
    assert url.written == {"run": "b", "split": "val"}
    state.link(img="y")
    assert url.written == {"run": "a", "cell": "0-1", "img": "y", "split": "val"}
